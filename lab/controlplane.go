package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const apiServerProcess = "kube-apiserver"

// startControlPlane starts etcd, the API server, the controller manager and
// the scheduler in the fabric, and waits until the API server is ready.
func (l *Lab) startControlPlane(ctx context.Context) error {
	if err := l.writeControlPlaneFiles(); err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	err := l.fabric().Start(ctx, "etcd", "etcd", "--data-dir=/var/lib/etcd", "--unsafe-no-fsync", // its disk need not survive the machine
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn")
	if err != nil {
		return err
	}
	if err := l.StartAPIServer(ctx); err != nil {
		return err
	}
	services := l.serviceCIDRs()
	const conf = "/etc/kubernetes/"
	err = l.fabric().Start(ctx, "kube-controller-manager", "kube-controller-manager",
		"--kubeconfig="+conf+"system-kube-controller-manager.conf",
		"--authentication-kubeconfig="+conf+"system-kube-controller-manager.conf",
		"--authorization-kubeconfig="+conf+"system-kube-controller-manager.conf",
		"--service-account-private-key-file="+conf+"sa.key", "--root-ca-file="+conf+"ca.crt",
		"--service-cluster-ip-range="+services, "--use-service-account-credentials", "--leader-elect=false",
		"--node-monitor-grace-period="+l.options.NodeMonitorGrace.String(),
		"--node-monitor-period="+(l.heartbeat()/2).String(),
		"--kube-api-qps=500", "--kube-api-burst=1000")
	if err != nil {
		return err
	}
	return l.fabric().Start(ctx, "kube-scheduler", "kube-scheduler", "--leader-elect=false",
		"--kubeconfig="+conf+"system-kube-scheduler.conf",
		"--authentication-kubeconfig="+conf+"system-kube-scheduler.conf",
		"--authorization-kubeconfig="+conf+"system-kube-scheduler.conf")
}

func (l *Lab) serviceCIDRs() string {
	return strings.Join(l.options.Family.list(serviceCIDR4, serviceCIDR6), ",")
}

func (l *Lab) writeControlPlaneFiles() error {
	server, err := l.pki.server("kube-apiserver",
		[]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"},
		netip.MustParseAddr("127.0.0.1"), apiIP4, apiIP6, netip.MustParseAddr(serviceAPI4), netip.MustParseAddr(serviceAPI6))
	if err != nil {
		return err
	}
	toKubelet, err := l.pki.client("kube-apiserver-kubelet-client", adminGroup)
	if err != nil {
		return err
	}
	accounts, err := l.pki.client("service-accounts") // only the key is used
	if err != nil {
		return err
	}
	fabric := l.fabric()
	err = writeFiles(fabric.configDir(), map[string][]byte{
		"ca.crt":        l.pki.ca,
		"apiserver.crt": server.cert, "apiserver.key": server.key,
		"to-kubelet.crt": toKubelet.cert, "to-kubelet.key": toKubelet.key,
		"sa.key": accounts.key,
	})
	if err != nil {
		return err
	}
	for _, user := range []string{"system:kube-controller-manager", "system:kube-scheduler"} {
		if _, err := fabric.Kubeconfig(user); err != nil {
			return err
		}
	}
	return nil
}

// StartAPIServer starts the API server and waits until it is ready.
func (l *Lab) StartAPIServer(ctx context.Context) error {
	const conf = "/etc/kubernetes/"
	err := l.fabric().Start(ctx, apiServerProcess, apiServerProcess,
		"--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+apiIP4.String(), "--bind-address=::", fmt.Sprintf("--secure-port=%d", apiPort),
		"--tls-cert-file="+conf+"apiserver.crt", "--tls-private-key-file="+conf+"apiserver.key", "--client-ca-file="+conf+"ca.crt",
		"--kubelet-client-certificate="+conf+"to-kubelet.crt", "--kubelet-client-key="+conf+"to-kubelet.key",
		"--kubelet-certificate-authority="+conf+"ca.crt", "--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+conf+"sa.key", "--service-account-signing-key-file="+conf+"sa.key",
		"--service-cluster-ip-range="+l.serviceCIDRs(),
		// No kube-proxy runs here: webhooks and aggregated APIs are called at their pods.
		"--enable-aggregator-routing")
	if err != nil {
		return err
	}
	clients, err := l.clientset()
	if err != nil {
		return err
	}
	if err := l.apiReady(ctx, clients); err != nil {
		return err
	}
	return l.allowKubeProxy(ctx, clients)
}

// apiReady waits for the API server, and gives up at once if it ended.
func (l *Lab) apiReady(ctx context.Context, clients *kubernetes.Clientset) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ended := make(chan string, 1)
	waiting, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if how, err := l.fabric().Wait(waiting, apiServerProcess); err == nil {
			ended <- how
		}
	})
	defer watcher.Wait()
	defer stop()
	return poll(ctx, 50*time.Millisecond, "API server is ready", func(ctx context.Context) error {
		select {
		case how := <-ended:
			return fatal(fmt.Errorf("the API server ended (%s), see %s", how, l.fabric().LogFile(apiServerProcess)))
		default:
		}
		return clients.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

func (l *Lab) allowKubeProxy(ctx context.Context, clients *kubernetes.Clientset) error {
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "lab:kube-proxy"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: proxyUser}},
	}
	_, err := clients.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	return unlessExists(err)
}
