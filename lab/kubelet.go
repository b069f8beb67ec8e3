package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/lab/images"
)

// kubeletSysctls are machine-wide settings that kubelet writes when they
// differ from what it wants.
var kubeletSysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// startRealKubelet starts containerd, gives it the images, then the kubelet.
func (l *Lab) startRealKubelet(ctx context.Context, i int) error {
	h := l.Node(i)
	if err := l.writeNodeFiles(h, i); err != nil {
		return fmt.Errorf("%s: %w", h.name, err)
	}
	if err := h.Start(ctx, "containerd", "containerd", "--config=/etc/kubernetes/containerd.toml"); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := poll(waiting, 50*time.Millisecond, h.name+"'s containerd answers", func(ctx context.Context) error {
		_, err := h.Output(ctx, "ctr", "version")
		return err
	})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, archive := range append(append([]string{}, l.archives...), l.options.Images...) {
		g.Go(func() error { return h.LoadImage(gctx, archive) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	ips := l.options.Family.list(nodeIP4(i).String(), nodeIP6(i).String())
	return h.Start(ctx, kubeletProcess, "kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig=/etc/kubernetes/kubelet.conf",
		"--hostname-override="+h.name, "--node-ip="+strings.Join(ips, ","), "--root-dir=/var/lib/kubelet", "--v=2")
}

// LoadImage imports an image archive (OCI or docker save) from the host into a real node.
func (h *Host) LoadImage(ctx context.Context, archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	// Through stdin, because the node may not see the file. Its containerd does the unpacking only with
	// --local=false, which wants a path; locally is as fast.
	_, err = h.pipe(ctx, f, "ctr", "--namespace=k8s.io", "images", "import", "--local", "-")
	if err != nil {
		return fmt.Errorf("import image %s: %w", archive, err)
	}
	return nil
}

// LoadImage imports an image archive into every real node.
func (l *Lab) LoadImage(ctx context.Context, archive string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range l.Nodes() {
		g.Go(func() error { return h.LoadImage(ctx, archive) })
	}
	return g.Wait()
}

func (l *Lab) writeNodeFiles(h *Host, i int) error {
	server, err := l.pki.server("system:node:"+h.name, []string{h.name}, nodeIP4(i), nodeIP6(i))
	if err != nil {
		return err
	}
	user, group := nodeUser(h.name)
	if err := l.writeKubeconfig(filepath.Join(h.configDir(), "kubelet.conf"), apiServer, user, group); err != nil {
		return err
	}
	network, err := l.cniConfig(i)
	if err != nil {
		return err
	}
	return writeFiles(h.configDir(), map[string][]byte{
		"ca.crt":      l.pki.ca,
		"kubelet.crt": server.cert, "kubelet.key": server.key,
		"kubelet.yaml":       []byte(l.kubeletConfig(h.name)),
		"containerd.toml":    []byte(containerdConfig()),
		"net.d/lab.conflist": network,
	})
}

func (l *Lab) kubeletConfig(node string) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false   # the machine may bind its controllers to cgroup v1
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /%s/%s
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
tlsCertFile: /etc/kubernetes/kubelet.crt
tlsPrivateKeyFile: /etc/kubernetes/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: /etc/kubernetes/ca.crt}}
authorization: {mode: Webhook}
clusterDomain: cluster.local
resolvConf: /etc/resolv.conf
evictionHard: {memory.available: 100Mi, nodefs.available: "1%%", imagefs.available: "1%%", nodefs.inodesFree: "1%%"}
imageGCHighThresholdPercent: 100   # an image that is gone cannot be pulled again
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: %s
nodeLeaseDurationSeconds: %d       # renewed four times as often
syncFrequency: 20s
shutdownGracePeriod: 0s
`, cgroupName(l.options.Name), node, min(l.heartbeat(), 5*time.Second), max(1, int((4*l.heartbeat()).Seconds())))
}

func containerdConfig() string {
	return fmt.Sprintf(`version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '%s'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true   # root may lack CAP_SYS_RESOURCE, and then runc cannot go below its own value
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = '%s'
      SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['%s']
  conf_dir = '/etc/kubernetes/net.d'
`, images.Pause, runcPath, cniPath)
}

func (l *Lab) cniConfig(i int) ([]byte, error) {
	type object = map[string]any
	var ranges []any
	for _, cidr := range podCIDRs(l.options.Family, i) {
		ranges = append(ranges, []object{{"subnet": cidr}})
	}
	return json.MarshalIndent(object{
		"cniVersion": "1.0.0", "name": "lab",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
				// On tmpfs: after a crash no pod has an address any more.
				"ipam": object{"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": ranges},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}, "backend": "nftables"},
		},
	}, "", "  ")
}
