package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"fairlead.dev/fairlead/lab/build"
)

// apiServer is the API server's address inside the lab.
var apiServer = "https://" + netip.AddrPortFrom(apiIP4, apiPort).String()

// RESTConfig lets this process speak to the API server as an administrator.
// Its connections are opened inside the lab.
func (l *Lab) RESTConfig() *rest.Config {
	cfg, err := l.UserConfig(adminUser, adminGroup)
	if err != nil {
		panic(err) // signing with a key in memory
	}
	return cfg
}

// UserConfig is RESTConfig for a user of any name and groups, to try what RBAC allows.
func (l *Lab) UserConfig(user string, groups ...string) (*rest.Config, error) {
	p, err := l.pki.client(user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            apiServer,
		TLSClientConfig: rest.TLSClientConfig{CAData: l.pki.ca, CertData: p.cert, KeyData: p.key},
		Dial:            l.fabric().Dial,
		QPS:             -1, // client-side throttling would be measured as slowness of what is tested
	}, nil
}

// Client set for the lab's own needs.
func (l *Lab) clientset() (*kubernetes.Clientset, error) {
	return kubernetes.NewForConfig(l.RESTConfig())
}

// Kubeconfig is a file for the administrator that programs find inside every machine.
func (l *Lab) Kubeconfig() string { return "/etc/kubernetes/admin.conf" }

// HostKubeconfig is a file for the administrator that programs on the host can
// use: export KUBECONFIG=…; kubectl get nodes.
func (l *Lab) HostKubeconfig() string { return filepath.Join(runDir(l.options.Name), "kubeconfig") }

// Kubeconfig makes a file for a user, readable inside this machine.
func (h *Host) Kubeconfig(user string, groups ...string) (string, error) {
	file := strings.ReplaceAll(user, ":", "-") + ".conf"
	return "/etc/kubernetes/" + file, h.lab.writeKubeconfig(filepath.Join(h.configDir(), file), apiServer, user, groups...)
}

func (l *Lab) writeKubeconfig(path, server, user string, groups ...string) error {
	p, err := l.pki.client(user, groups...)
	if err != nil {
		return err
	}
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["lab"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: l.pki.ca}
	cfg.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: p.cert, ClientKeyData: p.key}
	cfg.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: user}
	cfg.CurrentContext = "lab"
	return clientcmd.WriteToFile(*cfg, path)
}

// KubectlCommand prepares kubectl as an administrator. It runs in the fabric
// and sees the host's files, except those in /etc, /opt, /run and /var.
func (l *Lab) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := l.fabric().Command(ctx, "kubectl", args...)
	// Every lab's API server has the same address, so a shared cache would mix them up.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig(), "KUBECACHEDIR=/var/cache/kubectl")
	return cmd
}

// Kubectl runs kubectl and returns what it printed.
func (l *Lab) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := l.KubectlCommand(ctx, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// startForwarder carries a port of 127.0.0.1 to the API server, for people.
func (l *Lab) startForwarder() (port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("listen for the API server: %w", err)
	}
	defer listener.Close()
	path, err := l.fabric().netns()
	if err != nil {
		return 0, err
	}
	if err := l.forward(listener.(*net.TCPListener), path, netip.AddrPortFrom(apiIP4, apiPort).String()); err != nil {
		return 0, err
	}
	port = listener.Addr().(*net.TCPAddr).Port
	return port, l.writeKubeconfig(l.HostKubeconfig(), "https://127.0.0.1:"+strconv.Itoa(port), adminUser, adminGroup)
}

// Publish makes a service of the host reachable inside the machine, as long as the
// lab runs: connections to the address at in there are carried to addr out here.
// Programs of the lab reach 127.0.0.1 of the host in no other way.
func (h *Host) Publish(at, addr netip.AddrPort) error {
	var listener net.Listener
	err := h.Do(func() (err error) {
		listener, err = net.Listen("tcp", at.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("publish %s on %s: %w", addr, h.name, err)
	}
	defer listener.Close()
	return h.lab.forward(listener.(*net.TCPListener), "/proc/self/ns/net", addr.String())
}

// forward starts a program that carries the connections of a listener to addr in the
// network namespace at path. It ends with the lab.
func (l *Lab) forward(listener *net.TCPListener, path, addr string) error {
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	cgroup, err := makeCgroup(l.options.Name, "host", false)
	if err != nil {
		return err
	}
	leaf, err := os.Open(cgroup)
	if err != nil {
		return err
	}
	defer leaf.Close()
	cmd := exec.Command(l.programs.Path(build.InsideFamily, "inside"), "forward", path, addr)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(leaf.Fd())}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start forwarder: %w", err)
	}
	l.machines.Go(func() { _ = cmd.Wait() })
	return nil
}
