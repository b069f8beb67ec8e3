// Package kubelet stands in for the kubelet on a light node: it keeps the
// Node and its Lease alive, and runs each pod as an echo server in a network
// namespace with an address of the node's pod CIDR.
//
// It is no container runtime: whatever a pod's image, it is an echo server on
// the first container port. It runs inside the node, so a node that is
// crashed, frozen or cut off misses its heartbeats for the true reason.
package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config is read from a JSON file.
type Config struct {
	Node     string
	API      string   // https://...
	CA       []byte   // PEM
	Cert     []byte   // PEM, of the user system:node:<Node>
	Key      []byte   // PEM
	IPs      []string // the node's own addresses
	PodCIDRs []string
	// Heartbeat is the time between two renewals of the Lease.
	Heartbeat time.Duration
	// LeaseDuration must be well above Heartbeat.
	LeaseDuration time.Duration
}

// Run works until it is told to stop. Pods go on without it; the next Run
// finds them again.
func Run(configFile string) error {
	data, err := os.ReadFile(configFile)
	if err != nil {
		return err
	}
	var cfg Config
	if err := json.Unmarshal(data, &cfg); err != nil {
		return fmt.Errorf("read %s: %w", configFile, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	api, err := newAPI(cfg)
	if err != nil {
		return err
	}
	pods, err := newPods(cfg)
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	both.Go(func() { heartbeat(ctx, cfg, api) })
	both.Go(func() { follow(ctx, cfg, api, pods) })
	both.Wait()
	return nil
}

// heartbeat renews the Lease and repeats the Node's conditions, which the
// controller-manager sets to Unknown when heartbeats were missed.
func heartbeat(ctx context.Context, cfg Config, api *api) {
	tick := time.NewTicker(cfg.Heartbeat)
	defer tick.Stop()
	for {
		if err := beat(ctx, cfg, api); err != nil && ctx.Err() == nil {
			log.Printf("heartbeat: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func beat(ctx context.Context, cfg Config, api *api) error {
	// A heartbeat that hangs in a cut wire must not delay the first one after the repair.
	ctx, cancel := context.WithTimeout(ctx, max(cfg.Heartbeat, time.Second))
	defer cancel()
	now := time.Now().UTC()
	lease := object{"spec": object{
		"holderIdentity":       cfg.Node,
		"leaseDurationSeconds": int(cfg.LeaseDuration.Seconds()),
		"renewTime":            now.Format("2006-01-02T15:04:05.000000Z07:00"),
	}}
	const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
	err := api.do(ctx, "PATCH", leases+"/"+cfg.Node, lease, nil)
	if isNotFound(err) {
		lease["apiVersion"], lease["kind"] = "coordination.k8s.io/v1", "Lease"
		lease["metadata"] = object{"name": cfg.Node}
		err = api.do(ctx, "POST", leases, lease, nil)
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return api.do(ctx, "PATCH", "/api/v1/nodes/"+cfg.Node+"/status", nodeStatus(cfg, now), nil)
}

func nodeStatus(cfg Config, now time.Time) object {
	condition := func(kind, status, reason string) object {
		return object{
			"type": kind, "status": status, "reason": reason, "message": "the lab says so",
			"lastHeartbeatTime": now.Format(time.RFC3339),
		}
	}
	// Without replacing the list, a patch merges it by type, and both InternalIPs are one.
	addresses := []object{{"$patch": "replace"}, {"type": "Hostname", "address": cfg.Node}}
	for _, ip := range cfg.IPs {
		addresses = append(addresses, object{"type": "InternalIP", "address": ip})
	}
	capacity := object{"cpu": "64", "memory": "64Gi", "pods": "250"}
	return object{"status": object{
		"addresses":   addresses,
		"capacity":    capacity,
		"allocatable": capacity,
		"nodeInfo": object{
			"kubeletVersion": "lab", "containerRuntimeVersion": "lab", "operatingSystem": "linux", "architecture": "amd64",
			"machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "", "kubeProxyVersion": "",
		},
		"conditions": []object{
			condition("Ready", "True", "KubeletReady"),
			condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
			condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
			condition("PIDPressure", "False", "KubeletHasSufficientPID"),
		},
	}}
}
