package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// records holds one file a pod, so that a restarted kubelet finds its pods.
// It is on the machine's tmpfs: after a crash there are none, rightly.
const records = "/run/lab-pods"

// record is a pod that runs.
type record struct {
	UID     string
	PID     int
	IPs     []string
	Index   int // 0 with host network
	Started time.Time
}

type pods struct {
	cfg     Config
	prefix  []netip.Prefix
	running map[string]record // by UID
}

func newPods(cfg Config) (*pods, error) {
	p := &pods{cfg: cfg, running: map[string]record{}}
	for _, cidr := range cfg.PodCIDRs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, err
		}
		p.prefix = append(p.prefix, prefix)
	}
	if err := os.MkdirAll(records, 0o755); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(records + "/*")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		var r record
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if json.Unmarshal(data, &r) == nil && alive(r.PID) {
			p.running[r.UID] = r
		}
	}
	return p, ensureBridge(p.prefix)
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

// follow keeps processes and pods the same until ctx ends.
func follow(ctx context.Context, cfg Config, api *api, pods *pods) {
	one := func(kind string, p pod) {
		if err := pods.sync(ctx, api, p, kind == "DELETED"); err != nil && ctx.Err() == nil {
			log.Printf("pod %s/%s: %v", p.Metadata.Namespace, p.Metadata.Name, err)
		}
	}
	for ctx.Err() == nil {
		err := api.watch(ctx, cfg.Node, func(list []pod) {
			known := map[string]bool{}
			for _, p := range list {
				known[p.Metadata.UID] = true
				one("LISTED", p)
			}
			for uid := range pods.running {
				if !known[uid] {
					pods.stop(uid)
				}
			}
		}, one)
		if err == nil || ctx.Err() != nil {
			continue
		}
		log.Printf("watch pods: %v", err)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond): // do not spin while the API server is away
		}
	}
}

// sync makes the process match the pod, and the pod's status match the process.
func (p *pods) sync(ctx context.Context, api *api, pod pod, deleted bool) error {
	uid := pod.Metadata.UID
	if deleted {
		p.stop(uid)
		return nil
	}
	if pod.Metadata.DeletionTimestamp != nil {
		p.stop(uid)
		err := api.do(ctx, "DELETE", pod.path(), object{"gracePeriodSeconds": 0, "preconditions": object{"uid": uid}}, nil)
		if isNotFound(err) {
			return nil
		}
		return err
	}
	r, ok := p.running[uid]
	if ok && !alive(r.PID) {
		p.stop(uid)
		ok = false
	}
	if !ok {
		var err error
		if r, err = p.start(pod); err != nil {
			return err
		}
	}
	if pod.ready() && len(pod.Status.PodIPs) > 0 && pod.Status.PodIPs[0].IP == r.IPs[0] {
		return nil
	}
	return api.do(ctx, "PATCH", pod.path()+"/status", podStatus(p.cfg, pod, r), nil)
}

func podStatus(cfg Config, pod pod, r record) object {
	now := time.Now().UTC().Format(time.RFC3339)
	ips := []object{{"$patch": "replace"}} // a pod that starts again has a new address, not one more
	var conditions, containers []object
	for _, kind := range []string{"PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"} {
		conditions = append(conditions, object{"type": kind, "status": "True", "lastTransitionTime": now})
	}
	for _, ip := range r.IPs {
		ips = append(ips, object{"ip": ip})
	}
	for _, c := range pod.Spec.Containers {
		containers = append(containers, object{
			"name": c.Name, "image": c.Image, "imageID": c.Image, "containerID": "lab://" + strconv.Itoa(r.PID),
			"ready": true, "started": true, "restartCount": 0,
			"state": object{"running": object{"startedAt": r.Started.UTC().Format(time.RFC3339)}},
		})
	}
	return object{"status": object{
		"phase": "Running", "hostIP": cfg.IPs[0], "podIP": r.IPs[0], "podIPs": ips, "startTime": r.Started.UTC().Format(time.RFC3339),
		"conditions": conditions, "containerStatuses": containers,
	}}
}

// start makes the pod's process, then its network, then lets it serve.
func (p *pods) start(pod pod) (record, error) {
	r := record{UID: pod.Metadata.UID, Started: time.Now()}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	gate, open, err := os.Pipe()
	if err != nil {
		return r, err
	}
	defer open.Close()
	log, err := os.OpenFile("/var/log/"+pod.Metadata.Name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		gate.Close()
		return r, err
	}
	defer log.Close()
	cmd := exec.Command(self, PodCommand, pod.Metadata.Name, strconv.Itoa(pod.port()))
	cmd.ExtraFiles = []*os.File{gate}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWUTS}
	if !pod.Spec.HostNetwork {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
		r.Index = p.freeIndex()
	}
	err = cmd.Start()
	gate.Close()
	if err != nil {
		return r, fmt.Errorf("start pod process: %w", err)
	}
	go func() { _ = cmd.Wait() }() // how a pod's process ends is seen by alive
	r.PID = cmd.Process.Pid
	if err := p.connect(&r); err != nil {
		_ = cmd.Process.Kill()
		return r, fmt.Errorf("connect pod: %w", err)
	}
	if _, err := open.Write([]byte("go")); err != nil {
		return r, err
	}
	p.running[r.UID] = r
	data, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	return r, os.WriteFile(filepath.Join(records, r.UID), data, 0o644)
}

func (p *pods) connect(r *record) error {
	if r.Index == 0 {
		r.IPs = p.cfg.IPs
		return nil
	}
	for _, prefix := range p.prefix {
		r.IPs = append(r.IPs, nth(prefix, r.Index).String())
	}
	return plugPod(r.PID, r.Index, p.prefix)
}

// port is what the pod serves on: the first containerPort, or 8080.
func (p *pod) port() int {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			return port.ContainerPort
		}
	}
	return 8080
}

// freeIndex is the lowest host number of the pod CIDR above the gateway's.
func (p *pods) freeIndex() int {
	used := map[int]bool{}
	for _, r := range p.running {
		used[r.Index] = true
	}
	i := 2
	for used[i] {
		i++
	}
	return i
}

func (p *pods) stop(uid string) {
	r, ok := p.running[uid]
	if !ok {
		return
	}
	// With the process goes its network namespace, and with that the cable.
	if err := unix.Kill(r.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		log.Printf("stop pod %s: %v", uid, err)
	}
	delete(p.running, uid)
	os.Remove(filepath.Join(records, uid))
}
