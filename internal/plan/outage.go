package plan

import (
	"cmp"
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// Kubelet is what the kubelet of a node said when it was asked whether it lives.
type Kubelet int

// The answers of a kubelet.
const (
	KubeletUnasked Kubelet = iota
	KubeletSilent
	KubeletAnswers
)

// Outage is everything that taking dead nodes' pods out of service depends on.
type Outage struct {
	Nodes    []lb.Node    // by name
	Speakers []lb.Speaker // by node
	Services []lb.Service
	Backends []lb.Backend
	// Kubelets by node; only those of nodes in Relief.Ask matter.
	Kubelets map[string]Kubelet
	// Withdrawn are the pods that were taken out of service and not put back yet.
	Withdrawn []lb.Withdrawal
}

// Relief is what to do about dead nodes.
type Relief struct {
	// Gone are the nodes of which pods may be withdrawn; Backends matter only where
	// there are any.
	Gone []string
	// Ask the kubelets of these nodes whether they live.
	Ask []string
	// Withdraw these pods: they are unready from now on.
	Withdraw []lb.Withdrawal // by pod
	// Restore these pods, where nobody else wrote on them meanwhile.
	Restore []lb.Withdrawal
	// Forget these pods: their kubelet knows better.
	Forget []lb.Withdrawal
	// Held are the nodes of which nothing, or not all, is withdrawn, with the reason.
	Held []Held
}

// Held is why a node's pods stay in service although a speaker calls the node dead.
type Held struct {
	Node    string
	Refusal lb.Refusal
	// Pods that are held; 0 is all of the node.
	Pods int
}

// Relieve decides which pods are taken out of service because their node is dead, and
// which are put back.
//
// Pods are withdrawn when all of this is so: Obituaries have no doubt; Kubernetes still
// calls the node ready, since otherwise it has done so itself; the node's kubelet does
// not answer, since one that lives knows its pods better, and would contradict; and the
// brake lets go. Of those, the pods that are ready and back a Service of ours.
//
// The brake: one node or a tenth of all at a time, the first to die first; a node counts
// until its pods are back, or Kubernetes calls it dead itself. And a pod stays which is
// the last ready endpoint of any Service, in either family, that is on no node that
// anybody calls dead.
//
// A pod is withdrawn once for each death: whoever makes it ready again was right.
//
// Pods are put back when more than half of the speakers hear the node, none calls it
// dead, Kubernetes calls it ready, and its speaker is the process that it was.
func Relieve(o Outage) Relief {
	r := relief{Outage: o, polled: poll(o.Nodes, o.Speakers)}
	r.begun = begun(o.Withdrawn, r.polled.nodes)
	r.undo()
	var gone []lb.Obituary
	for _, obituary := range r.polled.obituaries() {
		if r.mayWithdraw(obituary) {
			gone = append(gone, obituary)
		}
	}
	slices.SortFunc(gone, func(x, y lb.Obituary) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Node, y.Node))
	})
	for _, g := range gone {
		r.out.Gone = append(r.out.Gone, g.Node)
	}
	r.brake(gone)
	slices.Sort(r.out.Ask)
	slices.SortFunc(r.out.Withdraw, func(x, y lb.Withdrawal) int { return x.Pod.Compare(y.Pod) })
	slices.SortStableFunc(r.out.Held, func(x, y Held) int { return cmp.Compare(x.Node, y.Node) })
	return r.out
}

// relief is a Relief in the making.
type relief struct {
	Outage
	polled *ballot
	begun  map[string]bool // nodes
	out    Relief
}

// begun are the nodes with withdrawn pods that Kubernetes does not call dead itself.
func begun(withdrawn []lb.Withdrawal, nodes map[string]*lb.Node) map[string]bool {
	out := make(map[string]bool)
	for _, w := range withdrawn {
		if n := nodes[w.Node]; n != nil && n.Alive {
			out[w.Node] = true
		}
	}
	return out
}

// undo sorts what was withdrawn.
func (r *relief) undo() {
	for _, w := range r.Withdrawn {
		node, speaker := r.polled.nodes[w.Node], r.polled.speakers[w.Node]
		switch {
		case node == nil || speaker == nil || speaker.Hearing == nil:
			r.out.Forget = append(r.out.Forget, w)
		case len(r.polled.accusers[w.Node]) > 0:
			// It counts for the brake until nobody calls it dead.
		case speaker.Hearing.Boot != w.Boot:
			// Another process speaks. Perhaps the machine was down, and what ran in the pods
			// is gone: their kubelet finds out.
			r.out.Forget = append(r.out.Forget, w)
		case node.Alive && r.polled.back(w.Node):
			r.out.Restore = append(r.out.Restore, w)
		}
	}
}

// mayWithdraw tells whether a node is dead beyond doubt, and holds it or has its
// kubelet asked where not.
func (r *relief) mayWithdraw(o lb.Obituary) bool {
	if !r.polled.nodes[o.Node].Alive {
		return false // Kubernetes knows, and has marked the pods itself
	}
	if !r.begun[o.Node] && r.Kubelets[o.Node] != KubeletSilent {
		// The question takes a while: it begins when the first speaker calls the node dead.
		r.out.Ask = append(r.out.Ask, o.Node)
	}
	if o.Doubt != nil {
		r.hold(o.Node, *o.Doubt, 0)
		return false
	}
	if r.begun[o.Node] {
		return true
	}
	if r.Kubelets[o.Node] == KubeletAnswers {
		r.hold(o.Node, *lb.Refuse(lb.KubeletAnswers, "look at its speaker and at its network",
			"%d of %d speakers call node %q dead, but its kubelet answers", o.Say, o.Of, o.Node), 0)
	}
	return r.Kubelets[o.Node] == KubeletSilent
}

func (r *relief) hold(node string, refusal lb.Refusal, pods int) {
	r.out.Held = append(r.out.Held, Held{Node: node, Refusal: refusal, Pods: pods})
}

// brake withdraws the pods of as many nodes as may be; dead are in the order in which
// they go.
func (r *relief) brake(dead []lb.Obituary) {
	limit := max(1, len(r.Nodes)/10)
	used := len(r.begun)
	if len(dead) == 0 {
		return
	}
	elsewhere, ours := r.servedElsewhere(), r.ours()
	for _, o := range dead {
		counted := r.begun[o.Node]
		if !counted && used >= limit {
			r.hold(o.Node, *lb.Refuse(lb.TooManyDead, "look at the nodes and at what joins them",
				"node %q is dead, but the pods of %d others are out of service, and no more than %d of %d nodes may be", o.Node, used, limit, len(r.Nodes)), 0)
			continue
		}
		if r.withdraw(o, ours, elsewhere) && !counted {
			used++
		}
	}
}

// service is a Service in one family.
type service struct {
	lb.Key
	lb.Family
}

// servedElsewhere are the Services with a ready endpoint on no node that is in doubt.
func (r *relief) servedElsewhere() map[service]bool {
	out := make(map[service]bool)
	for i := range r.Backends {
		if b := &r.Backends[i]; b.Ready && !r.doubtful(b.Node) {
			out[service{b.Service, b.Family}] = true
		}
	}
	return out
}

// doubtful tells whether anybody calls a node dead.
func (r *relief) doubtful(node string) bool {
	if node == "" {
		return false // outside of the cluster
	}
	n := r.polled.nodes[node]
	return n == nil || !n.Alive || len(r.polled.accusers[node]) > 0
}

// ours are the Services that we balance.
func (r *relief) ours() map[lb.Key]bool {
	out := make(map[lb.Key]bool)
	for i := range r.Services {
		if s := &r.Services[i]; s.LoadBalancer && s.Marked {
			out[s.Key] = true
		}
	}
	return out
}

// withdraw takes the pods of a dead node out of service, but for those that are the
// last of a Service, and tells whether there were any.
func (r *relief) withdraw(o lb.Obituary, ours map[lb.Key]bool, elsewhere map[service]bool) (some bool) {
	backs, last := make(map[lb.Pod]bool), make(map[lb.Pod]lb.Key)
	for i := range r.Backends {
		b := &r.Backends[i]
		if b.Node != o.Node || !b.Ready || b.Pod == (lb.Pod{}) {
			continue
		}
		backs[b.Pod] = backs[b.Pod] || ours[b.Service]
		if !elsewhere[service{b.Service, b.Family}] {
			last[b.Pod] = b.Service
		}
	}
	for _, w := range r.Withdrawn {
		if w.Boot == o.Boot {
			delete(backs, w.Pod) // once for each death
		}
	}
	held, example := 0, lb.Key{}
	for pod, of := range backs {
		key, isLast := last[pod]
		switch {
		case !of: // no Service of ours sends anybody there
		case isLast:
			if held == 0 || key.Compare(example) < 0 {
				example = key
			}
			held++
		default:
			some = true
			r.out.Withdraw = append(r.out.Withdraw, lb.Withdrawal{Pod: pod, Node: o.Node, Boot: o.Boot,
				Account: fmt.Sprintf("%d of %d speakers call node %q dead", o.Say, o.Of, o.Node)})
		}
	}
	if held > 0 {
		r.hold(o.Node, *lb.Refuse(lb.LastEndpoint, "run more than one replica, on more than one node",
			"node %q is dead, but %d of its pods are the last ready endpoint of a Service, such as %q", o.Node, held, example), held)
	}
	return some
}
