//go:build lab

package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/build"
)

// ownerEnv makes this test binary a process that starts a lab by that name and waits to be killed.
const ownerEnv = "FAIRLEAD_LAB_TEST_OWNER"

func TestMain(m *testing.M) {
	if name := os.Getenv(ownerEnv); name != "" {
		if _, err := lab.Up(context.Background(), lab.Options{Name: name, Nodes: 1}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("up")
		select {}
	}
	os.Exit(m.Run())
}

func up(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	var progress bytes.Buffer
	o.Progress = &progress
	start := time.Now()
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Logf("lab %s is up after %s", l.Name(), time.Since(start).Round(100*time.Millisecond))
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func clients(t *testing.T, l *lab.Lab) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(l.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func runPod(t *testing.T, l *lab.Lab, node, name string, port int32) *corev1.Pod {
	t.Helper()
	pod, err := l.RunPod(t.Context(), node, name, map[string]string{"app": name}, port)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// expose makes a dual-stack Service for the pods labelled app=name and returns its node port.
func expose(t *testing.T, l *lab.Lab, name string, port int32) uint16 {
	t.Helper()
	dual := corev1.IPFamilyPolicyPreferDualStack
	svc, err := clients(t, l).CoreV1().Services(metav1.NamespaceDefault).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, IPFamilyPolicy: &dual,
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(port)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return uint16(svc.Spec.Ports[0].NodePort)
}

// answers waits until addr answers an HTTP request from a host, and says who did.
func answers(t *testing.T, from *lab.Host, addr string) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	var last lab.Outcome
	for time.Now().Before(deadline) {
		probing := lab.Probe{From: from, Addr: addr, HTTP: true, Every: 50 * time.Millisecond}.Start()
		time.Sleep(100 * time.Millisecond) // the pace of the probe, not a wait for a condition
		last = probing.Stop()
		for name := range last.Answers {
			return name
		}
	}
	t.Fatalf("nobody answers %s from %s: %s", addr, from.Name(), last)
	return ""
}

func addr(ip netip.Addr, port uint16) string { return netip.AddrPortFrom(ip, port).String() }

func TestLightLabServesPodBehindNodePort(t *testing.T) {
	l := up(t, lab.Options{})
	runPod(t, l, "n1", "web", 8080)
	port := expose(t, l, "web", 8080)
	for _, from := range []*lab.Host{l.Client(), l.Remote(), l.Router()} {
		for _, node := range l.Nodes() {
			for _, ip := range []netip.Addr{node.IP4(), node.IP6()} {
				if got := answers(t, from, addr(ip, port)); got != "web" {
					t.Errorf("%s from %s: %q answered, want web", ip, from.Name(), got)
				}
			}
		}
	}
}

func TestDeletedPodIsGone(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1})
	pod := runPod(t, l, "n1", "web", 8080)
	target := netip.AddrPortFrom(netip.MustParseAddr(pod.Status.PodIP), 8080).String()
	if got := answers(t, l.Node(1), target); got != "web" {
		t.Fatalf("%q answered", got)
	}
	if _, err := l.Kubectl(t.Context(), "delete", "pod", "web", "--wait", "--timeout=10s"); err != nil {
		t.Fatal(err)
	}
	if conn, err := l.Node(1).Dial(t.Context(), "tcp", target); err == nil {
		conn.Close()
		t.Error("its address still answers")
	}
}

func TestDeploymentOnLightNodes(t *testing.T) {
	l := up(t, lab.Options{Nodes: 2})
	for _, args := range [][]string{
		{"create", "deployment", "web", "--image=any", "--replicas=4", "--port=8080"},
		{"rollout", "status", "deployment/web", "--timeout=20s"},
		{"scale", "deployment/web", "--replicas=1"},
		{"wait", "--for=jsonpath={.status.replicas}=1", "deployment/web", "--timeout=20s"},
	} {
		if _, err := l.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTwoLabsDoNotMeet(t *testing.T) {
	a, b := up(t, lab.Options{Nodes: 1}), up(t, lab.Options{Nodes: 1})
	runPod(t, a, "n1", "in-a", 8080)
	runPod(t, b, "n1", "in-b", 8080)
	for l, want := range map[*lab.Lab]string{a: "in-a", b: "in-b"} {
		if got := answers(t, l.Client(), addr(l.Node(1).IP4(), expose(t, l, want, 8080))); got != want {
			t.Errorf("in lab %s %q answered, want %q", l.Name(), got, want)
		}
	}
	if err := a.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := b.Kubectl(t.Context(), "get", "pods", "-o", "name"); err != nil || out != "pod/in-b\n" {
		t.Errorf("after the other lab's end: %q, %v", out, err)
	}
}

func TestSweepRemovesLabOfKilledOwner(t *testing.T) {
	name := fmt.Sprintf("orphan-%d", os.Getpid())
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+name)
	stdout, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 2)
	if _, err := stdout.Read(word); err != nil || string(word) != "up" {
		t.Fatalf("owner said %q, %v", word, err)
	}
	l, err := lab.Attach(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Kubectl(t.Context(), "get", "nodes"); err != nil {
		t.Errorf("Sweep harmed the lab of a living owner: %v", err)
	}
	pid, err := l.Host("fabric").PID(t.Context(), "etcd")
	if err != nil {
		t.Fatal(err)
	}

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob("/sys/fs/cgroup/*/fairlead-lab-" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/run/fairlead-lab/" + name, "/var/lib/fairlead-lab/" + name, fmt.Sprintf("/proc/%d", pid)} {
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
	}
	if len(left) > 0 {
		t.Errorf("left after Sweep: %v", left)
	}
}

func TestAttachedLabIsTheSame(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1})
	again, err := lab.Attach(l.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Node(1).Start(t.Context(), "sleeper", "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Node(1).PID(t.Context(), "sleeper"); err != nil {
		t.Error(err)
	}
	if _, err := lab.Up(t.Context(), lab.Options{Name: l.Name()}); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("a second lab of the same name: %v", err)
	}
	if _, err := l.Kubectl(t.Context(), "get", "nodes"); err != nil {
		t.Errorf("the second Up harmed the first lab: %v", err)
	}
}

func TestUsersMayWhatRBACAllows(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1})
	if _, err := l.Kubectl(t.Context(), "create", "clusterrolebinding", "viewers", "--clusterrole=view", "--group=viewers"); err != nil {
		t.Fatal(err)
	}
	cfg, err := l.UserConfig("jane", "viewers")
	if err != nil {
		t.Fatal(err)
	}
	jane, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for { // the authorizer learns of the binding through a watch
		_, err = jane.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("jane cannot read: %v", err)
	}
	err = jane.CoreV1().Services("default").Delete(t.Context(), "kubernetes", metav1.DeleteOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("jane deletes: %v, want Forbidden", err)
	}
}

func TestHostKubeconfigWorksOnTheHost(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1})
	cfg, err := clientcmd.BuildConfigFromFlags("", l.HostKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	onHost, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	version, err := onHost.Discovery().ServerVersion()
	if err != nil || version.GitVersion != build.Kubernetes {
		t.Errorf("the API server says it is %v, %v; want %s", version, err, build.Kubernetes)
	}
}

func TestProcessesInAMachine(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1})
	h := l.Node(1)
	if err := h.StartEnv(t.Context(), []string{"GREETING=hello"}, "greet", "sh", "-c", "echo $GREETING from $(hostname); exit 7"); err != nil {
		t.Fatal(err)
	}
	how, err := h.Wait(t.Context(), "greet")
	if err != nil || how != "exit status 7" {
		t.Errorf("it ended with %q, %v", how, err)
	}
	log, err := os.ReadFile(h.LogFile("greet"))
	if err != nil || string(log) != "hello from n1\n" {
		t.Errorf("log %q, %v", log, err)
	}
	if err := h.Signal(t.Context(), "greet", 9); err == nil {
		t.Error("a signal to an ended process succeeded")
	}
	var exit *exec.ExitError
	if err := h.Command(t.Context(), "sh", "-c", "exit 3").Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit status of a command: %v, want 3", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_ = h.Command(ctx, "sleep", "4242").Run() // ends with ctx
	if out, err := h.Output(t.Context(), "pgrep", "-f", "sleep 4242"); err == nil {
		t.Errorf("the command outlives its context as pid %s", out)
	}
}
