package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/lab/build"
	"fairlead.dev/fairlead/lab/inside/kubelet"
)

const (
	proxyUser = "system:kube-proxy"

	kubeletProcess   = "kubelet"
	kubeProxyProcess = "kube-proxy"
)

// heartbeat is how often nodes renew their Lease: four times within what the
// controller manager tolerates, and every 10 s by default as in Kubernetes.
func (l *Lab) heartbeat() time.Duration {
	return min(max(l.options.NodeMonitorGrace/4, 250*time.Millisecond), 10*time.Second)
}

// startNodes makes the Node objects, starts what runs on the nodes, and waits
// until all are Ready.
func (l *Lab) startNodes(ctx context.Context) error {
	clients, err := l.clientset()
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for i := 1; i <= l.options.Nodes; i++ {
		g.Go(func() error { return l.joinNode(gctx, clients, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return l.WaitNodesReady(ctx, l.nodeNames()...)
}

// joinNode makes the Node object of a booted machine, and starts what runs on it.
func (l *Lab) joinNode(ctx context.Context, clients kubernetes.Interface, i int) error {
	// The object comes before the kubelet, so that node i surely owns pod CIDR i and
	// the routes between nodes can be static.
	_, err := clients.CoreV1().Nodes().Create(ctx, l.nodeObject(i), metav1.CreateOptions{})
	if err := unlessExists(err); err != nil {
		return fmt.Errorf("make Node %s: %w", nodeName(i), err)
	}
	return l.startNode(ctx, i)
}

func (l *Lab) nodeNames() []string {
	var names []string
	for _, n := range l.Nodes() {
		names = append(names, n.name)
	}
	return names
}

func (l *Lab) nodeObject(i int) *corev1.Node {
	name := nodeName(i)
	cidrs := podCIDRs(l.options.Family, i)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Spec: corev1.NodeSpec{PodCIDR: cidrs[0], PodCIDRs: cidrs},
	}
	if i == 1 && l.options.FirstNodeIsControlPlane {
		node.Labels["node-role.kubernetes.io/control-plane"] = ""
		node.Labels[corev1.LabelNodeExcludeBalancers] = ""
		node.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
	}
	return node
}

// startNode starts everything that belongs on a booted node.
func (l *Lab) startNode(ctx context.Context, i int) error {
	h := l.Node(i)
	if err := l.masquerade(ctx, i); err != nil {
		return err
	}
	if !l.options.NoKubeProxy {
		if _, err := h.Kubeconfig(proxyUser); err != nil {
			return err
		}
		err := h.Start(ctx, kubeProxyProcess, "kube-proxy", "--kubeconfig=/etc/kubernetes/system-kube-proxy.conf",
			"--hostname-override="+h.name, "--proxy-mode=nftables", "--conntrack-max-per-core=0",
			"--cluster-cidr="+strings.Join(l.options.Family.list(podCIDR4, podCIDR6), ","))
		if err != nil {
			return err
		}
	}
	if l.options.Kubelets {
		return l.startRealKubelet(ctx, i)
	}
	return l.startLightKubelet(ctx, i)
}

func nodeUser(name string) (user, group string) { return "system:node:" + name, "system:nodes" }

func (l *Lab) startLightKubelet(ctx context.Context, i int) error {
	h := l.Node(i)
	user, group := nodeUser(h.name)
	p, err := l.pki.client(user, group)
	if err != nil {
		return err
	}
	cfg := kubelet.Config{
		Node: h.name, API: apiServer, CA: l.pki.ca, Cert: p.cert, Key: p.key,
		IPs:       l.options.Family.list(nodeIP4(i).String(), nodeIP6(i).String()),
		PodCIDRs:  podCIDRs(l.options.Family, i),
		Heartbeat: l.heartbeat(), LeaseDuration: 4 * l.heartbeat(),
	}
	if err := writeJSON(filepath.Join(h.configDir(), "kubelet.json"), cfg); err != nil {
		return err
	}
	return h.Start(ctx, kubeletProcess, "inside", "kubelet", "/etc/kubernetes/kubelet.json")
}

// masquerade lets pods speak to whoever has no route to them. Traffic within
// the cluster keeps its addresses.
func (l *Lab) masquerade(ctx context.Context, i int) error {
	cidrs := podCIDRs(Dual, i)
	rules := fmt.Sprintf(`table inet lab {
	chain postrouting {
		type nat hook postrouting priority 110
		ip saddr %s ip daddr != { %s, %s, 172.31.0.0-172.31.0.99 } masquerade
		ip6 saddr %s ip6 daddr != { %s, %s, fd31::-fd31::99 } masquerade
	}
}
`, cidrs[0], podCIDR4, serviceCIDR4, cidrs[1], podCIDR6, serviceCIDR6)
	_, err := l.Node(i).pipe(ctx, strings.NewReader(rules), "nft", "-f", "-")
	return err
}

// WaitNodesReady waits until the named nodes are Ready in the API.
func (l *Lab) WaitNodesReady(ctx context.Context, names ...string) error {
	return l.waitNodes(ctx, names, true)
}

// WaitNodesNotReady waits until the controller manager has noticed that the
// named nodes are gone.
func (l *Lab) WaitNodesNotReady(ctx context.Context, names ...string) error {
	return l.waitNodes(ctx, names, false)
}

func (l *Lab) waitNodes(ctx context.Context, names []string, ready bool) error {
	clients, err := l.clientset()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for _, name := range names {
		what := fmt.Sprintf("node %s has Ready=%t", name, ready)
		err := poll(ctx, 100*time.Millisecond, what, func(ctx context.Context) error { return nodeReady(ctx, clients, name, ready) })
		if err != nil {
			return err
		}
	}
	return nil
}

func nodeReady(ctx context.Context, clients *kubernetes.Clientset, name string, want bool) error {
	node, err := clients.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && (c.Status == corev1.ConditionTrue) == want {
			return nil
		}
	}
	return fmt.Errorf("conditions are %v", node.Status.Conditions)
}

// programsPath is where a program family is inside every machine.
func programsPath(family string) string { return "/opt/lab/" + family }

var (
	runcPath = programsPath(build.RuncFamily) + "/runc"
	cniPath  = programsPath(build.CNIFamily)
)
