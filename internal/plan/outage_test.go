package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
)

// lan is a cluster of which every node has a speaker; all hear each other.
func lan(names ...string) Outage {
	var o Outage
	o.Kubelets = make(map[string]Kubelet)
	for _, name := range names {
		o.Nodes = append(o.Nodes, lb.Node{Name: name, Alive: true})
		o.Speakers = append(o.Speakers, lb.Speaker{Node: name, Hearing: &lb.Hearing{Boot: "boot-" + name, Quorate: true, Counted: len(names) - 1}})
	}
	return o
}

func (o *Outage) speaker(node string) *lb.Speaker {
	return &o.Speakers[slices.IndexFunc(o.Speakers, func(s lb.Speaker) bool { return s.Node == node })]
}

func (o *Outage) node(name string) *lb.Node {
	return &o.Nodes[slices.IndexFunc(o.Nodes, func(n lb.Node) bool { return n.Name == name })]
}

// says lets speakers write that they do not hear a node.
func (o *Outage) says(state, node string, by ...string) {
	for _, who := range by {
		h := o.speaker(who).Hearing
		h.Missing = slices.DeleteFunc(h.Missing, func(m lb.Missing) bool { return m.Node == node })
		h.Missing = append(h.Missing, lb.Missing{Node: node, State: state, Since: time.Unix(int64(len(o.Kubelets)), 0)})
		o.count(h)
	}
}

// count sets how many neighbours a speaker counts, as package speaker does.
func (o *Outage) count(h *lb.Hearing) {
	h.Counted = len(o.Speakers) - 1
	for _, m := range h.Missing {
		if m.State != vouched {
			h.Counted--
		}
	}
}

// crash is the power cut of a node, which all others saw; its kubelet is silent.
func (o *Outage) crash(node string) {
	for _, s := range o.Speakers {
		if s.Node != node {
			o.says(dead, node, s.Node)
		}
	}
	o.Kubelets[node] = KubeletSilent
}

// backs makes a pod on each node that backs a Service, which is ours unless its name
// begins with "other".
func (o *Outage) backs(service string, nodes ...string) {
	key := lb.Key{Namespace: "shop", Name: service}
	if !strings.HasPrefix(service, "other") {
		o.Services = append(o.Services, lb.Service{Key: key, LoadBalancer: true, Marked: true})
	}
	for _, node := range nodes {
		o.Backends = append(o.Backends, lb.Backend{Service: key, Family: lb.IPv4, Pod: podOn(service, node), Node: node, Ready: true})
	}
}

func podOn(service, node string) lb.Pod {
	return lb.Pod{Namespace: "shop", Name: service + "-" + node, UID: "uid-" + service + "-" + node}
}

// obey does what Relief says, as the API server and the EndpointSlice controller would.
func (o *Outage) obey(r Relief) {
	ready := func(pod lb.Pod, is bool) {
		for i := range o.Backends {
			if o.Backends[i].Pod == pod {
				o.Backends[i].Ready = is
			}
		}
	}
	for _, w := range r.Withdraw {
		o.Withdrawn = append(o.Withdrawn, w)
		ready(w.Pod, false)
	}
	for _, w := range r.Restore {
		ready(w.Pod, true)
	}
	for _, w := range slices.Concat(r.Restore, r.Forget) {
		o.Withdrawn = slices.DeleteFunc(o.Withdrawn, func(x lb.Withdrawal) bool { return x == w })
	}
}

// inShort has one line for each thing to do.
func inShort(r Relief) []string {
	var out []string
	for _, node := range r.Ask {
		out = append(out, "ask "+node)
	}
	for what, list := range map[string][]lb.Withdrawal{"withdraw ": r.Withdraw, "restore ": r.Restore, "forget ": r.Forget} {
		for _, w := range list {
			out = append(out, what+w.Pod.Name)
		}
	}
	for _, h := range r.Held {
		out = append(out, fmt.Sprintf("hold %s: %s", h.Node, h.Refusal.Reason))
	}
	slices.Sort(out)
	return out
}

func check(t *testing.T, o Outage, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, inShort(Relieve(o)), compareValues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOutage(t *testing.T) {
	cases := []struct {
		name  string
		nodes string // a to c if empty
		world func(o *Outage)
		want  []string
	}{
		{name: "nothing is dead: nothing is done", world: func(o *Outage) {}},
		{name: "the pods of a dead node are withdrawn", world: func(o *Outage) { o.crash("b") }, want: []string{"withdraw web-b"}},
		{name: "the kubelet is asked first", world: func(o *Outage) { o.crash("b"); delete(o.Kubelets, "b") }, want: []string{"ask b"}},
		{name: "the kubelet is asked as soon as one speaker says so", world: func(o *Outage) { o.says(dead, "b", "a") },
			want: []string{"ask b", "hold b: StillHeard"}},
		{name: "a kubelet that answers knows its pods better", world: func(o *Outage) { o.crash("b"); o.Kubelets["b"] = KubeletAnswers },
			want: []string{"ask b", "hold b: KubeletAnswers"}},
		{name: "what Kubernetes calls dead is none of ours", world: func(o *Outage) { o.crash("b"); o.node("b").Alive = false }},
		{name: "one of three is no majority", world: func(o *Outage) { o.crash("b"); o.says(suspected, "b", "c") }, want: []string{"hold b: NoMajority"}},
		{name: "of two, neither outvotes the other", nodes: "a b", world: func(o *Outage) { o.crash("b") }, want: []string{"hold b: NoMajority"}},
		{name: "a speaker that vouches holds all", nodes: "a b c d e", world: func(o *Outage) { o.crash("b"); o.says("Vouched", "b", "e") },
			want: []string{"hold b: StillHeard"}},
		{name: "a speaker that never heard it has no say", nodes: "a b c d e", world: func(o *Outage) { o.crash("b"); o.says(unheard, "b", "e") },
			want: []string{"withdraw web-b"}},
		{name: "a speaker that began when it was dead has no say", nodes: "a b c d e", world: func(o *Outage) {
			o.crash("b")
			o.speaker("e").Hearing.Missing = nil // it counts three still
		}, want: []string{"withdraw web-b"}},
		{name: "a speaker that has not written yet holds all", nodes: "a b c d e", world: func(o *Outage) {
			o.crash("b")
			h := o.speaker("e").Hearing
			h.Missing = nil
			o.count(h)
		}, want: []string{"hold b: StillHeard"}},
		{name: "a speaker that got its goodbye holds all", nodes: "a b c d e", world: func(o *Outage) { o.crash("b"); o.says("Left", "b", "e") },
			want: []string{"hold b: StillHeard"}},
		{name: "who lost its quorum has no vote", world: func(o *Outage) { o.crash("b"); o.speaker("c").Hearing.Quorate = false },
			want: []string{"hold b: NoMajority"}},
		{name: "who cannot reach the API server holds nothing", nodes: "a b c d e", world: func(o *Outage) {
			o.crash("b")
			h := o.speaker("e").Hearing // what it wrote before
			h.Missing = nil
			o.count(h)
			o.node("e").Alive = false
		}, want: []string{"withdraw web-b"}},
		{name: "the word of a node that just booted, and is not ready yet, counts", world: func(o *Outage) { o.crash("b"); o.node("c").Alive = false },
			want: []string{"withdraw web-b"}},
		{name: "who stops has no vote", world: func(o *Outage) { o.crash("b"); o.speaker("c").Leaving = true }, want: []string{"hold b: NoMajority"}},
		{name: "whoever a majority calls dead has no vote", nodes: "a b c d e", world: func(o *Outage) {
			o.crash("e")
			o.crash("b")
			h := o.speaker("e").Hearing // it died first, and says that it hears b
			h.Missing = nil
			o.count(h)
		}, want: []string{"hold b: TooManyDead", "withdraw web-e"}},
		{name: "a node that lost its quorum lives", world: func(o *Outage) { o.crash("b"); o.speaker("b").Hearing.Quorate = false },
			want: []string{"hold b: NodeContradicts"}},
		{name: "a node that misses its accusers lives", nodes: "a b c d e", world: func(o *Outage) { o.crash("b"); o.says(dead, "e", "b") },
			want: []string{"hold b: NodeContradicts"}},
		{name: "the last ready endpoint stays", world: func(o *Outage) { o.backs("single", "b"); o.crash("b") },
			want: []string{"hold b: LastEndpoint", "withdraw web-b"}},
		{name: "an endpoint that terminates, or is not ready, is nothing to fall back on", world: func(o *Outage) {
			o.backs("pair", "b", "c")
			o.Backends[len(o.Backends)-1].Ready = false
			o.crash("b")
		}, want: []string{"hold b: LastEndpoint", "withdraw web-b"}},
		{name: "an endpoint on a node in doubt is nothing to fall back on", nodes: "a b c d e", world: func(o *Outage) {
			o.backs("pair", "b", "e")
			o.crash("b")
			o.says(dead, "e", "a")
		}, want: []string{"ask e", "hold b: LastEndpoint", "hold e: StillHeard", "withdraw web-b"}},
		{name: "the last one of somebody else's Service stays too", world: func(o *Outage) {
			o.Backends = append(o.Backends, lb.Backend{Service: lb.Key{Namespace: "shop", Name: "other"}, Family: lb.IPv4, Pod: podOn("web", "b"), Node: "b", Ready: true})
			o.crash("b")
		}, want: []string{"hold b: LastEndpoint"}},
		{name: "the last one of a family stays", world: func(o *Outage) {
			o.Backends = append(o.Backends, lb.Backend{Service: lb.Key{Namespace: "shop", Name: "web"}, Family: lb.IPv6, Pod: podOn("web", "b"), Node: "b", Ready: true})
			o.crash("b")
		}, want: []string{"hold b: LastEndpoint"}},
		{name: "a pod of both families goes where both are served elsewhere", world: func(o *Outage) {
			for _, node := range []string{"b", "c"} {
				o.Backends = append(o.Backends, lb.Backend{Service: lb.Key{Namespace: "shop", Name: "web"}, Family: lb.IPv6, Pod: podOn("web", node), Node: node, Ready: true})
			}
			o.crash("b")
		}, want: []string{"withdraw web-b"}},
		{name: "an endpoint outside of the cluster is one to fall back on", world: func(o *Outage) {
			o.backs("pair", "b")
			o.Backends = append(o.Backends, lb.Backend{Service: lb.Key{Namespace: "shop", Name: "pair"}, Family: lb.IPv4, Ready: true})
			o.crash("b")
		}, want: []string{"withdraw pair-b", "withdraw web-b"}},
		{name: "pods that back no Service of ours stay", world: func(o *Outage) { o.backs("other", "a", "b"); o.crash("b") }, want: []string{"withdraw web-b"}},
		{name: "of two dead nodes in a small cluster, only the first goes", nodes: "a b c d e", world: func(o *Outage) { o.crash("c"); o.crash("b") },
			want: []string{"hold b: TooManyDead", "withdraw web-c"}},
		{name: "a node of which nothing can be withdrawn does not hold back another", nodes: "a b c d e f g", world: func(o *Outage) {
			o.Backends = slices.DeleteFunc(o.Backends, func(b lb.Backend) bool { return b.Node == "b" })
			o.crash("b")
			o.crash("c")
		}, want: []string{"withdraw web-c"}},
		{name: "of twenty nodes, two go", nodes: "a b c d e f g h i j k l m n o p q r s t", world: func(o *Outage) { o.crash("b"); o.crash("c"); o.crash("d") },
			want: []string{"hold d: TooManyDead", "withdraw web-b", "withdraw web-c"}},
		{name: "when half of a cluster is silent, the other half says nothing", nodes: "a b c d", world: func(o *Outage) {
			o.says(dead, "c", "a", "b")
			o.says(dead, "d", "a", "b")
			o.Kubelets["c"], o.Kubelets["d"] = KubeletSilent, KubeletSilent
		}, want: []string{"hold c: StillHeard", "hold d: StillHeard"}},
		{name: "a node without heartbeats is left alone", world: func(o *Outage) { o.crash("b"); o.speaker("b").Hearing = nil }},
		{name: "a node that is deleted is nobody's", world: func(o *Outage) {
			o.crash("b")
			o.Nodes = slices.DeleteFunc(o.Nodes, func(n lb.Node) bool { return n.Name == "b" })
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			nodes := strings.Fields(c.nodes)
			if c.nodes == "" {
				nodes = []string{"a", "b", "c"}
			}
			o := lan(nodes...)
			o.backs("web", nodes...)
			c.world(&o)
			check(t, o, c.want...)
		})
	}
}

// afterCrash is a world in which the pod of b was withdrawn.
func afterCrash(t *testing.T) Outage {
	t.Helper()
	o := lan("a", "b", "c")
	o.backs("web", "a", "b", "c")
	o.crash("b")
	check(t, o, "withdraw web-b")
	o.obey(Relieve(o))
	return o
}

func (o *Outage) heardAgain() {
	for i := range o.Speakers {
		o.Speakers[i].Hearing.Missing = nil
		o.count(o.Speakers[i].Hearing)
	}
}

func TestAPodIsWithdrawnOnceForEachDeath(t *testing.T) {
	o := afterCrash(t)
	check(t, o)
	o.Backends[1].Ready = true // its kubelet said so
	check(t, o)
	o.heardAgain()
	o.obey(Relieve(o))
	o.crash("b")
	check(t, o, "withdraw web-b")
}

func TestPodsThatComeLaterGoToo(t *testing.T) {
	o := afterCrash(t)
	o.backs("late", "b", "c")
	delete(o.Kubelets, "b") // nobody asks again
	check(t, o, "withdraw late-b")
}

func TestANodeThatWasNeverDownGetsItsPodsBack(t *testing.T) {
	o := afterCrash(t)
	o.speaker("a").Hearing.Missing = nil
	o.count(o.speaker("a").Hearing)
	check(t, o, "hold b: StillHeard") // c says still that it is dead
	o.heardAgain()
	check(t, o, "restore web-b")
	o.obey(Relieve(o))
	check(t, o)
}

func TestANodeThatWasDownIsLeftToItsKubelet(t *testing.T) {
	o := afterCrash(t)
	o.speaker("b").Hearing.Boot = "another"
	check(t, o) // it fills the brake until all hear it
	o.heardAgain()
	check(t, o, "forget web-b")
}

func TestPodsComeBackOnlyWhereKubernetesSeesTheNodeReady(t *testing.T) {
	o := afterCrash(t)
	o.heardAgain()
	o.node("b").Alive = false
	check(t, o)
	o.node("b").Alive = true
	o.speaker("b").Hearing.Quorate = false
	check(t, o)
	o.speaker("b").Hearing.Quorate = true
	o.node("a").Alive, o.node("c").Alive = false, false // what they wrote may be old
	check(t, o)
	o.node("a").Alive, o.node("c").Alive = true, true
	o.speaker("c").Hearing.Quorate = false // two of three: itself and a
	check(t, o, "restore web-b")
	o.speaker("a").Hearing.Quorate = false
	check(t, o)
}

func TestSpeakersThatNeverHeardANodeDoNotBringItBack(t *testing.T) {
	o := afterCrash(t)
	for _, name := range []string{"a", "c"} { // all were restarted, and count each other
		h := o.speaker(name).Hearing
		h.Missing, h.Counted, h.Boot = nil, 1, "another"
	}
	check(t, o)
}

func TestPodsOfADeletedNodeAreForgotten(t *testing.T) {
	o := afterCrash(t)
	o.Nodes = slices.Delete(o.Nodes, 1, 2)
	check(t, o, "forget web-b")
}

func TestANodeThatKubernetesCallsDeadMakesRoomForTheNext(t *testing.T) {
	o := lan("a", "b", "c", "d", "e")
	o.backs("web", "a", "b", "c", "d", "e")
	o.crash("b")
	o.obey(Relieve(o))
	o.crash("c")
	check(t, o, "hold c: TooManyDead")
	o.node("b").Alive = false
	check(t, o, "withdraw web-c")
}
