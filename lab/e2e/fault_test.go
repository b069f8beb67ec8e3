//go:build lab

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
)

// invariants are what must hold at every moment that a client of the API server
// can see: no address on two Services, and no working address taken away that
// nobody gave up.
type invariants struct {
	mu      sync.Mutex
	shown   map[string][]string // addresses by Service
	seen    map[string][]string // events by Service, for who reads the failure
	asked   map[string]bool     // Services whose address may change
	broken  []string
	changes int

	cancel context.CancelFunc
	done   chan struct{}
}

// invariants watches from now on. No Service in these tests shares an address.
func (c *cluster) invariants() *invariants {
	c.t.Helper()
	v := &invariants{shown: make(map[string][]string), seen: make(map[string][]string), asked: make(map[string]bool), done: make(chan struct{})}
	var list corev1.ServiceList
	if err := c.api.List(c.t.Context(), &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		c.t.Fatal(err)
	}
	for i := range list.Items {
		v.see(watch.Event{Type: watch.Added, Object: &list.Items[i]})
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	v.cancel = cancel
	w, err := c.api.Watch(ctx, &corev1.ServiceList{}, client.InNamespace(metav1.NamespaceDefault),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(v.done)
		defer w.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-w.ResultChan():
				if !open {
					if ctx.Err() == nil {
						v.fail("the watch ended: what came after was not seen")
					}
					return
				}
				v.see(e)
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-v.done })
	return v
}

// mayChange says that a Service's addresses were given up, by a request or a deletion.
func (v *invariants) mayChange(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[name] = true
}

func (v *invariants) fail(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.broken = append(v.broken, fmt.Sprintf(format, args...))
}

func (v *invariants) see(e watch.Event) {
	s, ok := e.Object.(*corev1.Service)
	if !ok {
		v.fail("the watch says %s: %+v", e.Type, e.Object)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes++
	var now []string
	if e.Type != watch.Deleted {
		for _, i := range s.Status.LoadBalancer.Ingress {
			now = append(now, i.IP)
		}
	}
	v.seen[s.Name] = append(v.seen[s.Name], fmt.Sprintf("%s %s %v finalizers %v deleted %v", s.ResourceVersion, e.Type, now, s.Finalizers, s.DeletionTimestamp != nil))
	before := v.shown[s.Name]
	if len(before) > 0 && !slices.Equal(before, now) && !v.asked[s.Name] && s.DeletionTimestamp == nil {
		v.broken = append(v.broken, fmt.Sprintf("version %s: Service %s had %v, and now %v, although nobody asked; %s", s.ResourceVersion, s.Name, before, now, v.events(s.Name)))
	}
	for other, addrs := range v.shown {
		for _, a := range now {
			if other != s.Name && slices.Contains(addrs, a) {
				v.broken = append(v.broken, fmt.Sprintf("version %s: Services %s and %s both show %s; %s", s.ResourceVersion, s.Name, other, a, v.events(s.Name, other)))
			}
		}
	}
	v.shown[s.Name] = now
}

// events are what was seen of Services.
func (v *invariants) events(names ...string) string {
	var out strings.Builder
	for _, name := range names {
		fmt.Fprintf(&out, "\n    %s: %s", name, strings.Join(v.seen[name], "\n          "))
	}
	return out.String()
}

// held ends the watch once it has seen what is there now, and fails the test if
// something was broken on the way.
func (c *cluster) held(v *invariants) {
	c.t.Helper()
	var list corev1.ServiceList
	if err := c.api.List(c.t.Context(), &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		c.t.Fatal(err)
	}
	c.eventually(10*time.Second, "the watch has caught up", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, s := range list.Items {
			if got := len(v.shown[s.Name]); got != len(s.Status.LoadBalancer.Ingress) {
				return fmt.Errorf("it knows %d addresses of %s", got, s.Name)
			}
		}
		return nil
	})
	v.cancel()
	<-v.done
	c.t.Logf("%d changes of Services watched", v.changes)
	if len(v.broken) > 0 {
		c.t.Errorf("%d times broken:\n%s", len(v.broken), strings.Join(v.broken[:min(len(v.broken), 20)], "\n"))
	}
}

// converge waits until want of the Services have an address, the others say that
// the pool is exhausted, and none is left that is being deleted.
func (c *cluster) converge(limit time.Duration, total, want int) {
	c.t.Helper()
	c.eventually(limit, fmt.Sprintf("%d of %d Services have an address", want, total), func() error {
		var list corev1.ServiceList
		if err := c.api.List(c.t.Context(), &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return err
		}
		services, with, exhausted := 0, 0, 0
		var odd []string
		for _, s := range list.Items {
			if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
				continue
			}
			services++
			status := kube.StatusFrom(&s)
			switch {
			case s.DeletionTimestamp != nil:
				odd = append(odd, fmt.Sprintf("%s is deleted and still there with %v", s.Name, s.Finalizers))
			case len(status.Addresses) == 1 && status.Finalizer && !status.Foreign && status.Condition.True:
				with++
			case len(status.Addresses) == 0 && !status.Finalizer && status.Condition.Reason == "PoolExhausted":
				exhausted++
			default:
				odd = append(odd, fmt.Sprintf("%s says %+v", s.Name, status))
			}
		}
		if services != total || with != want || exhausted != total-want || len(odd) > 0 {
			return fmt.Errorf("%d Services, %d with an address, %d exhausted; odd are %d: %s",
				services, with, exhausted, len(odd), strings.Join(odd[:min(len(odd), 5)], "; "))
		}
		return nil
	})
}

func (c *cluster) delete(name string) {
	c.t.Helper()
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	if err := c.api.Delete(c.t.Context(), s); err != nil {
		c.t.Fatal(err)
	}
}

// chaos kills and restarts a controller until during has returned, and at least
// that many times. It returns with the controller running.
func (c *cluster) chaos(random *rand.Rand, kills int, during func()) {
	c.t.Helper()
	fabric := c.Host("fabric")
	kubeconfig, err := fabric.Kubeconfig(controllerUser)
	if err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); during() }()
	finished := false
	for killed := 0; !finished || killed < kills; killed++ {
		select { // not sooner: the schedule is the test
		case <-time.After(50*time.Millisecond + time.Duration(random.Int64N(int64(250*time.Millisecond)))):
		case <-c.t.Context().Done():
			return
		}
		c.stop(fabric, "controller", syscall.SIGKILL)
		if err := fabric.Start(c.t.Context(), "controller", program, "controller", "--address=0", "--leader-elect=false", "--kubeconfig="+kubeconfig, "--log-level=debug"); err != nil {
			c.t.Fatal(err)
		}
		select {
		case <-done:
			finished = true
		default:
		}
	}
}

func TestAControllerThatCrashesAnywhereConverges(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	const seed = 1
	random := rand.New(rand.NewPCG(seed, 0))
	c.pool("lan", "172.31.0.100-172.31.0.199")
	v := c.invariants()
	c.controller("controller", "--leader-elect=false")

	const total = 150
	c.chaos(random, 30, func() {
		for i := range total {
			if err := c.api.Create(t.Context(), newService(fmt.Sprintf("s%03d", i))); err != nil {
				t.Error(err)
				return
			}
			<-time.After(20 * time.Millisecond) // spread over the schedule
		}
	})
	c.converge(30*time.Second, total, 100)

	gone := random.Perm(total)[:total/2]
	c.chaos(random, 30, func() {
		for _, i := range gone {
			name := fmt.Sprintf("s%03d", i)
			v.mayChange(name)
			if err := c.api.Delete(t.Context(), newService(name)); err != nil {
				t.Error(err)
				return
			}
			<-time.After(40 * time.Millisecond)
		}
	})
	c.converge(30*time.Second, total/2, total/2)
	c.held(v)
}

func TestReplicasThatTakeOverFromEachOtherKeepTheInvariants(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	c.pool("lan", "172.31.0.100-172.31.0.119")
	v := c.invariants()
	replicas := 0
	start := func() string {
		replicas++
		name := fmt.Sprintf("controller-%d", replicas)
		c.controller(name)
		return name
	}
	leader := start()
	c.eventually(20*time.Second, "the first leads", func() error {
		if !c.leading(leader) {
			return errors.New("it does not")
		}
		return nil
	})
	standby := start()
	created, deleted := 0, 0
	churn := func(n int) {
		for range n {
			c.service(fmt.Sprintf("s%03d", created))
			created++
			if created%3 == 0 {
				v.mayChange(fmt.Sprintf("s%03d", deleted))
				c.delete(fmt.Sprintf("s%03d", deleted))
				deleted++
			}
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
		churn(12)
		c.stop(c.Host("fabric"), leader, sig)
		churn(3) // while nobody leads
		c.eventually(30*time.Second, standby+" takes over", func() error {
			if !c.leading(standby) {
				return errors.New("it does not lead")
			}
			return nil
		})
		leader, standby = standby, start()
	}
	churn(3)
	c.converge(20*time.Second, created-deleted, 20)
	c.held(v)
}

// fault is how the proxy answers a write instead of letting it through.
type fault struct {
	name string
	do   func(w http.ResponseWriter, pass func() (done bool))
}

var faults = []fault{
	{"409", status(http.StatusConflict, metav1.StatusReasonConflict)},
	{"429", func(w http.ResponseWriter, _ func() bool) {
		w.Header().Set("Retry-After", "1")
		writeStatus(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests)
	}},
	{"500", status(http.StatusInternalServerError, metav1.StatusReasonInternalError)},
	{"503", status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable)},
	{"cut before", func(http.ResponseWriter, func() bool) { panic(http.ErrAbortHandler) }},
	{"cut after", func(_ http.ResponseWriter, pass func() bool) { pass(); panic(http.ErrAbortHandler) }},
	{"malformed", func(w http.ResponseWriter, pass func() bool) {
		pass()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"PartialObjectMetadata","metadata":{"name":`)
	}},
}

func status(code int, reason metav1.StatusReason) func(http.ResponseWriter, func() bool) {
	return func(w http.ResponseWriter, _ func() bool) { writeStatus(w, code, reason) }
}

func writeStatus(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"injected","reason":%q,"code":%d}`, reason, code)
}

// inRow is how many faults a Service meets before its write is let through. With
// twice as many the writer's patience would be the longest part of the test.
const inRow = 4

// faultyProxy stands between a controller and the API server. The writes of each
// Service's status meet faults in turn, beginning with another one for each
// Service, before they are let through; again makes them meet the next ones.
type faultyProxy struct {
	next http.Handler

	mu     sync.Mutex
	met    map[string]int // faults met by Service
	count  map[string]int // by fault
	offset int
}

func (p *faultyProxy) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offset += inRow
	clear(p.met)
}

func (p *faultyProxy) pick(path string) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	met := p.met[path]
	if met == inRow {
		return nil
	}
	p.met[path]++
	f := &faults[(met+p.offset+int(path[len(path)-len("0/status")]))%len(faults)]
	p.count[f.name]++
	return f
}

func (p *faultyProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/services/") || !strings.HasSuffix(r.URL.Path, "/status") {
		p.next.ServeHTTP(w, r)
		return
	}
	f := p.pick(r.URL.Path)
	if f == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	f.do(w, func() bool {
		answer := httptest.NewRecorder()
		p.next.ServeHTTP(answer, r)
		return answer.Code == http.StatusOK
	})
}

// faulty starts a proxy in the fabric and returns a kubeconfig that leads to it.
// HTTP/1.1, so that a cut ends a connection and not only a stream of it.
func (c *cluster) faulty() (*faultyProxy, string) {
	c.t.Helper()
	fabric := c.Host("fabric")
	cfg, err := c.UserConfig(controllerUser)
	if err != nil {
		c.t.Fatal(err)
	}
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	target, err := url.Parse(cfg.Host)
	if err != nil {
		c.t.Fatal(err)
	}
	next := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
	}
	p := &faultyProxy{next: next, met: make(map[string]int), count: make(map[string]int)}
	server := httptest.NewUnstartedServer(p)
	server.Listener.Close()
	err = fabric.Do(func() (err error) {
		server.Listener, err = net.Listen("tcp", net.JoinHostPort(fabric.IP4().String(), "0"))
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	server.StartTLS()
	c.t.Cleanup(func() { closeServer(server) })
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["proxy"] = &clientcmdapi.Cluster{Server: "https://" + server.Listener.Addr().String(), InsecureSkipTLSVerify: true}
	kubeconfig.Contexts["proxy"] = &clientcmdapi.Context{Cluster: "proxy"}
	kubeconfig.CurrentContext = "proxy"
	file := filepath.Join(c.t.TempDir(), "proxy.conf")
	if err := clientcmd.WriteToFile(*kubeconfig, file); err != nil {
		c.t.Fatal(err)
	}
	return p, file
}

// closeServer ends a server whose clients come back: Close alone waits for the
// watches that they open meanwhile.
func closeServer(s *httptest.Server) {
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	for {
		select {
		case <-closed:
			return
		case <-time.After(50 * time.Millisecond):
			s.CloseClientConnections()
		}
	}
}

func TestEveryFaultOfAWriteIsOvercome(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	proxy, kubeconfig := c.faulty()
	c.pool("lan", "172.31.0.100-172.31.0.119")
	v := c.invariants()
	c.controllerBy(kubeconfig)
	const total = 30
	for i := range total {
		c.service(fmt.Sprintf("s%02d", i))
	}
	c.converge(40*time.Second, total, 20)

	t.Run("also of releases and moves", func(t *testing.T) {
		proxy.again()
		for i := range 5 { // whose addresses go to those that wait
			v.mayChange(fmt.Sprintf("s%02d", i))
			c.delete(fmt.Sprintf("s%02d", i))
		}
		for i := 5; i < 8; i++ { // those become ClusterIP
			v.mayChange(fmt.Sprintf("s%02d", i))
			c.edit(fmt.Sprintf("s%02d", i), ofType(corev1.ServiceTypeClusterIP))
		}
		// One moves to an address that is being released, and frees its own for another.
		v.mayChange("s08")
		c.edit("s08", annotated("fairlead.dev/addresses", "172.31.0.100"))
		c.converge(60*time.Second, total-8, 20)
		c.wantState("s08", "172.31.0.100")
		for i := 5; i < 8; i++ {
			c.eventually(60*time.Second, "what is no load balancer any more carries nothing of ours", func() error {
				if s := c.get(fmt.Sprintf("s%02d", i)); len(s.Finalizers)+len(s.Status.Conditions)+len(s.Status.LoadBalancer.Ingress) > 0 {
					return fmt.Errorf("%s carries %v %+v", s.Name, s.Finalizers, s.Status)
				}
				return nil
			})
		}
	})
	c.held(v)
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	for _, f := range faults {
		if proxy.count[f.name] < total/3 {
			t.Errorf("fault %s was met %d times only", f.name, proxy.count[f.name])
		}
	}
	t.Logf("faults met: %v", proxy.count)
}

// controllerBy starts a controller that finds the API server by a file of ours.
func (c *cluster) controllerBy(kubeconfig string) {
	c.t.Helper()
	c.start(c.Host("fabric"), "controller", kubeconfig, "controller", "--address=0", "--leader-elect=false")
}

func TestAControllerCutOffTakesUpWhatHappenedMeanwhile(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	n1 := c.Node(1)
	c.pool("lan", "172.31.0.100-172.31.0.109")
	v := c.invariants()
	c.role(n1, "controller", controllerUser, "controller", "--address=0", "--leader-elect=false")
	for i := range 12 {
		c.service(fmt.Sprintf("s%02d", i))
	}
	c.converge(10*time.Second, 12, 10)

	if err := n1.CutFromAPI(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := time.After(20 * time.Second)
	for i := range 4 {
		v.mayChange(fmt.Sprintf("s%02d", i))
		c.delete(fmt.Sprintf("s%02d", i))
	}
	v.mayChange("s04")
	c.edit("s04", annotated("fairlead.dev/addresses", "172.31.0.100"))
	for i := 12; i < 16; i++ {
		c.service(fmt.Sprintf("s%02d", i))
	}
	c.edit("s05", func(s *corev1.Service) { s.Spec.Ports[0].Port = 8080 })
	<-cut
	if err := n1.JoinAPI(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.converge(60*time.Second, 12, 10)
	c.wantState("s04", "172.31.0.100")
	c.wantState("s05", "172.31.0.105")
	c.held(v)
}
