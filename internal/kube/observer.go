package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// Kinds of objects that an Observer watches.
type Kinds uint

// What may be observed; a role watches no more than it decides about.
const (
	Services Kinds = 1 << iota
	Pools
	Classes
	Namespaces
	Nodes
	Endpoints
	Speakers

	AllKinds = Services | Pools | Classes | Namespaces | Nodes | Endpoints | Speakers
)

// Observer keeps an lb.World up to date from watches.
type Observer struct {
	changed chan struct{}
	synced  []toolscache.InformerSynced

	// speakers names the headless Service whose EndpointSlices tell which speaker
	// pods are ready.
	speakers lb.Key

	mu         sync.Mutex
	services   table[lb.Key, *record]
	shown      map[netip.Addr][]lb.Key // Services whose status may show an address
	pools      table[string, lb.Pool]
	poolStatus map[string]v1alpha1.AddressPool
	classes    table[string, lb.Class]
	classObj   map[string]v1alpha1.LoadBalancerClass
	namespaces table[string, lb.Namespace]
	nodes      table[string, lb.Node]
	slices     map[lb.Key]map[string]slice
	endpoints  table[lb.Key, lb.Endpoints]
	speaking   table[string, lb.Speaker]
	built      []lb.Built // where the world is read once; a controller has its drivers' own words
	clusterUID string
}

// Observe starts watching the kinds. speakers is the key of the speakers' headless
// Service, or zero where they are not pods.
func Observe(ctx context.Context, c cache.Cache, kinds Kinds, speakers lb.Key) (*Observer, error) {
	o := newObserver(speakers)
	for _, w := range []struct {
		kind  Kinds
		watch func(context.Context, *Observer, cache.Cache) error
	}{
		{Services, watch(&corev1.Service{}, o.setService, o.removeService)},
		{Pools, watch(&v1alpha1.AddressPool{}, o.setPool, o.removePool)},
		{Classes, watch(&v1alpha1.LoadBalancerClass{}, o.setClass, o.removeClass)},
		{Namespaces, watch(&corev1.Namespace{}, o.setNamespace, o.removeNamespace)},
		{Nodes, watch(&corev1.Node{}, o.setNode, o.removeNode)},
		{Endpoints, watch(&discoveryv1.EndpointSlice{}, o.setSlice, o.removeSlice)},
		{Speakers, watch(&v1alpha1.Speaker{}, o.setSpeaker, o.removeSpeaker)},
	} {
		if kinds&w.kind == 0 {
			continue
		}
		if err := w.watch(ctx, o, c); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func newObserver(speakers lb.Key) *Observer {
	return &Observer{
		changed:    make(chan struct{}, 1),
		speakers:   speakers,
		services:   newTable[lb.Key, *record](lb.Key.Compare),
		shown:      make(map[netip.Addr][]lb.Key),
		pools:      newTable[string, lb.Pool](cmp.Compare[string]),
		poolStatus: make(map[string]v1alpha1.AddressPool),
		classes:    newTable[string, lb.Class](cmp.Compare[string]),
		classObj:   make(map[string]v1alpha1.LoadBalancerClass),
		namespaces: newTable[string, lb.Namespace](cmp.Compare[string]),
		nodes:      newTable[string, lb.Node](cmp.Compare[string]),
		slices:     make(map[lb.Key]map[string]slice),
		endpoints:  newTable[lb.Key, lb.Endpoints](lb.Key.Compare),
		speaking:   newTable[string, lb.Speaker](cmp.Compare[string]),
	}
}

// watch makes a starter for one kind. set and remove run under the lock and tell
// whether the world changed.
func watch[T client.Object](example T, set, remove func(T) bool) func(context.Context, *Observer, cache.Cache) error {
	return func(ctx context.Context, o *Observer, c cache.Cache) error {
		informer, err := c.GetInformer(ctx, example)
		if err != nil {
			return fmt.Errorf("watch %T: %w", example, err)
		}
		apply := func(f func(T) bool) func(any) {
			return func(obj any) {
				if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
					obj = gone.Obj
				}
				value, ok := obj.(T)
				if !ok {
					return
				}
				o.mu.Lock()
				changed := f(value)
				o.mu.Unlock()
				if changed {
					o.signal()
				}
			}
		}
		registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    apply(set),
			UpdateFunc: func(_, obj any) { apply(set)(obj) },
			DeleteFunc: apply(remove),
		})
		if err != nil {
			return fmt.Errorf("watch %T: %w", example, err)
		}
		o.synced = append(o.synced, registration.HasSynced)
		return nil
	}
}

func (o *Observer) signal() { poke(o.changed) }

// Changed fires after the world changed; several changes may fire once.
func (o *Observer) Changed() <-chan struct{} { return o.changed }

// WaitForSync returns when everything that existed at the start was seen. Before
// that the world must not be planned: what is missing would be taken away.
func (o *Observer) WaitForSync(ctx context.Context) error {
	if !toolscache.WaitForCacheSync(ctx.Done(), o.synced...) {
		return fmt.Errorf("wait for the first list of every kind: %w", context.Cause(ctx))
	}
	return nil
}

// Synced tells whether everything that existed at the start was seen.
func (o *Observer) Synced() bool {
	for _, synced := range o.synced {
		if !synced() {
			return false
		}
	}
	return true
}

// World is a copy of what is known now.
func (o *Observer) World() lb.World {
	o.mu.Lock()
	defer o.mu.Unlock()
	services := make([]lb.Service, 0, len(o.services.rows))
	for _, k := range o.services.keys() {
		services = append(services, o.services.rows[k].service)
	}
	return lb.World{
		Services:   services,
		Pools:      o.pools.list(),
		Classes:    o.classes.list(),
		Namespaces: o.namespaces.list(),
		Nodes:      o.livingNodes(),
		Endpoints:  o.endpoints.list(),
		Speakers:   o.speaking.list(),
		Built:      slices.Clone(o.built),
	}
}

// livingNodes corrects what Kubernetes says of a node by what it says of the
// speaker's pod there: a speaker that crashes leaves its node ready.
func (o *Observer) livingNodes() []lb.Node {
	nodes := o.nodes.list()
	silent := make(map[string]bool)
	for _, s := range o.slices[o.speakers] {
		for _, n := range s.silent {
			silent[n] = true
		}
	}
	serving := o.endpoints.rows[o.speakers].Nodes
	for i := range nodes {
		_, ready := slices.BinarySearch(serving, nodes[i].Name)
		nodes[i].Alive = nodes[i].Alive && (ready || !silent[nodes[i].Name])
	}
	return nodes
}

func (o *Observer) setService(s *corev1.Service) bool {
	key := lb.Key{Namespace: s.Namespace, Name: s.Name}
	seen := record{uid: string(s.UID), version: versionOf(s), service: ServiceFrom(s), status: StatusFrom(s)}
	r := o.services.rows[key]
	if r == nil || r.uid != seen.uid {
		o.hide(key)
		seen.seen = seen.status
		o.services.set(key, &seen)
		o.show(key, &seen)
		return true
	}
	o.hide(key)
	shown := r.shown()
	changed := r.observe(seen)
	o.show(key, r)
	// An address that is let go may be what another Service waits for.
	return changed || len(r.shown()) < len(shown)
}

func (o *Observer) removeService(s *corev1.Service) bool {
	key := lb.Key{Namespace: s.Namespace, Name: s.Name}
	o.hide(key)
	return o.services.remove(key)
}

// show indexes the addresses that clients may see on a Service; hide undoes it.
func (o *Observer) show(key lb.Key, r *record) {
	for _, addr := range r.shown() {
		o.shown[addr] = append(o.shown[addr], key)
	}
}

func (o *Observer) hide(key lb.Key) {
	r := o.services.rows[key]
	if r == nil {
		return
	}
	for _, addr := range r.shown() {
		rest := slices.DeleteFunc(o.shown[addr], func(k lb.Key) bool { return k == key })
		if len(rest) == 0 {
			delete(o.shown, addr)
			continue
		}
		o.shown[addr] = rest
	}
}

func (o *Observer) setPool(p *v1alpha1.AddressPool) bool {
	o.poolStatus[p.Name] = *p
	return o.pools.set(p.Name, PoolFrom(p))
}

func (o *Observer) removePool(p *v1alpha1.AddressPool) bool {
	delete(o.poolStatus, p.Name)
	return o.pools.remove(p.Name)
}

func (o *Observer) setClass(c *v1alpha1.LoadBalancerClass) bool {
	o.classObj[c.Name] = *c
	return o.classes.set(c.Name, ClassFrom(c))
}

func (o *Observer) removeClass(c *v1alpha1.LoadBalancerClass) bool {
	delete(o.classObj, c.Name)
	return o.classes.remove(c.Name)
}

func (o *Observer) setNamespace(n *corev1.Namespace) bool {
	if n.Name == metav1.NamespaceSystem {
		o.clusterUID = string(n.UID)
	}
	return o.namespaces.set(n.Name, NamespaceFrom(n))
}

func (o *Observer) removeNamespace(n *corev1.Namespace) bool { return o.namespaces.remove(n.Name) }

func (o *Observer) setNode(n *corev1.Node) bool { return o.nodes.set(n.Name, NodeFrom(n)) }

func (o *Observer) removeNode(n *corev1.Node) bool { return o.nodes.remove(n.Name) }

func (o *Observer) setSlice(s *discoveryv1.EndpointSlice) bool {
	seen := sliceFrom(s)
	if o.slices[seen.service] == nil {
		o.slices[seen.service] = make(map[string]slice, 1)
	}
	o.slices[seen.service][s.Name] = seen
	changed := o.endpoints.set(seen.service, endpointsOf(seen.service, o.slices[seen.service]))
	return changed && o.followed(seen.service) || seen.service == o.speakers
}

// followed tells whether a decision may depend on where a Service's endpoints are: in
// a big cluster they change all the time.
func (o *Observer) followed(service lb.Key) bool {
	r := o.services.rows[service]
	return r != nil && r.service.Local
}

func (o *Observer) removeSlice(s *discoveryv1.EndpointSlice) bool {
	service := sliceFrom(s).service
	delete(o.slices[service], s.Name)
	if len(o.slices[service]) == 0 {
		delete(o.slices, service)
		return o.endpoints.remove(service) && o.followed(service) || service == o.speakers
	}
	changed := o.endpoints.set(service, endpointsOf(service, o.slices[service]))
	return changed && o.followed(service) || service == o.speakers
}

func (o *Observer) setSpeaker(s *v1alpha1.Speaker) bool {
	return o.speaking.set(s.Name, SpeakerFrom(s))
}

func (o *Observer) removeSpeaker(s *v1alpha1.Speaker) bool { return o.speaking.remove(s.Name) }

// PoolObjects are the pools as they were last seen, by name.
func (o *Observer) PoolObjects() map[string]v1alpha1.AddressPool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.poolStatus)
}

// ClassObjects are the classes as they were last seen, by name.
func (o *Observer) ClassObjects() map[string]v1alpha1.LoadBalancerClass {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.classObj)
}

// versionOf reads the resource version as the number that it is (KEP-5504 makes
// the order of resource versions part of the API); 0 where it is none.
func versionOf(o metav1.Object) uint64 {
	n, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
