//go:build lab

package lab_test

import (
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

func TestRealNodesRunContainers(t *testing.T) {
	l := up(t, lab.Options{Kubelets: true, NodeMonitorGrace: 4 * time.Second})
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := l.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	runPod(t, l, "n1", "web", 8080)
	port := expose(t, l, "web", 8080)
	kubectl("run", "nginx", "--image=nginx", "--image-pull-policy=IfNotPresent", "--labels=app=nginx", `--overrides={"spec":{"nodeName":"n2"}}`)
	kubectl("wait", "--for=condition=Ready", "pod/nginx", "--timeout=60s")
	nginx := expose(t, l, "nginx", 80)

	if got := kubectl("exec", "nginx", "--", "sh", "-c", "hostname; ls /etc/nginx/nginx.conf"); got != "nginx\n/etc/nginx/nginx.conf\n" {
		t.Errorf("exec in the pod says %q", got)
	}
	if got := kubectl("logs", "nginx"); strings.Contains(got, "emerg") {
		t.Errorf("nginx complains: %s", got)
	}
	for _, from := range []*lab.Host{l.Client(), l.Remote()} {
		for _, node := range l.Nodes() {
			answers(t, from, addr(node.IP4(), port))
			answers(t, from, addr(node.IP6(), port))
			answers(t, from, addr(node.IP4(), nginx))
			answers(t, from, addr(node.IP6(), nginx))
		}
	}

	must(t, l.Node(1).Crash(t.Context()))
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	start := time.Now()
	must(t, l.Node(1).Recover(t.Context()))
	must(t, l.WaitNodesReady(t.Context(), "n1"))
	t.Logf("n1 is Ready %s after Recover", time.Since(start).Round(100*time.Millisecond))
	kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
	if got := answers(t, l.Client(), addr(l.Node(3).IP4(), port)); got != "web" {
		t.Errorf("%q answers after the crash, want web", got)
	}
}
