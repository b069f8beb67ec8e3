package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

const (
	// KeysSettle is the least time between two steps of a rotation: an API server whose
	// cache is behind may give a speaker that starts the keys of the step before.
	KeysSettle = time.Minute
	// KeysPatience is how long a step waits for a node that Kubernetes cannot reach.
	KeysPatience = 24 * time.Hour
)

// HeartbeatKey names a key of heartbeats. The secret itself is no part of a decision.
type HeartbeatKey struct {
	ID   string // as in lb.Hearing.Keys
	Made time.Time
}

// Rotation is everything that the next step of changing the key of heartbeats depends
// on. All of it is in the cluster: whoever leads next goes on from there.
type Rotation struct {
	// Keys as they are given to the speakers: the first signs, all are accepted.
	Keys []HeartbeatKey
	// Age is how long Keys have been these.
	Age time.Duration
	// Asked is set where a person asked for a new key.
	Asked bool
	// KeyAge is how old the newest key becomes before another is made; 0 is for ever.
	KeyAge   time.Duration
	Nodes    []lb.Node
	Speakers []lb.Speaker
	Now      time.Time
}

// KeyStep is what to do about the keys.
type KeyStep struct {
	Do KeyChange
	// Keep are the ids of the keys that stay, in their new order. AddKey puts the new
	// one behind them.
	Keep []string
	// Left are the nodes that the step does not wait for any longer: Kubernetes could
	// not reach them for KeysPatience, and they may not hear the others after it.
	Left []string
	// Wait is set where there is something to do and not yet: the reason.
	Wait string
	// Again is when to look again though nothing else changes; 0 is never.
	Again time.Duration
}

// KeyChange is a change of the keys.
type KeyChange string

// The changes of a rotation, in their order: old; old,new; new,old; new.
const (
	KeepKeys KeyChange = ""
	// AddKey makes all accept a new key before anybody signs with it.
	AddKey KeyChange = "add"
	// SignWithKey makes the newest sign, while those before are accepted.
	SignWithKey KeyChange = "sign"
	// DropKeys ends all but the newest, with which everybody signs by now.
	DropKeys KeyChange = "drop"
)

// RotateKeys decides on the next step.
//
// Two speakers hear each other while the one has the keys before a step and the other
// those after it, and not when they are two steps apart. So a step waits until every
// speaker has the keys of the one before. Not for those that exchange no heartbeats,
// that have left, or whose node is gone or out of service: when they come back they
// read the keys first. And not for more than KeysPatience for a node that Kubernetes
// cannot reach. It may well hear its neighbours while it does not hear the API server,
// and will not any more; but a node that nobody repairs for a day would keep a key
// alive for ever, which may be rotated because it leaked. It must be fewer than half of
// the speakers: those who lose their neighbours then also lose the quorum and fall
// silent, and not those who did as they were told.
func RotateKeys(r Rotation) KeyStep {
	if len(r.Keys) == 0 {
		return KeyStep{Do: AddKey}
	}
	next, due := r.next()
	if next.Do == KeepKeys {
		next.Again = due
		return next
	}
	if r.Age < KeysSettle {
		return KeyStep{Wait: "the keys changed less than a minute ago", Again: KeysSettle - r.Age}
	}
	late, unreached, all := r.behind()
	switch {
	case len(late) > 0:
		return KeyStep{Wait: fmt.Sprintf("these nodes do not report the keys %s: %s", strings.Join(r.ids(), ", "), some(append(late, unreached...)))}
	case len(unreached) == 0:
		return next
	case r.Age < KeysPatience:
		return KeyStep{Again: KeysPatience - r.Age, Wait: fmt.Sprintf(
			"Kubernetes cannot reach these nodes, which may not know the keys %s: %s", strings.Join(r.ids(), ", "), some(unreached))}
	case 2*len(unreached) >= all:
		return KeyStep{Wait: fmt.Sprintf(
			"Kubernetes cannot reach half of the speakers or more, which may not know the keys %s: %s", strings.Join(r.ids(), ", "), some(unreached))}
	}
	next.Left = unreached
	return next
}

// next is the step that follows when nobody must be waited for. Without one, due is
// when the newest key is old enough; 0 is never.
func (r *Rotation) next() (step KeyStep, due time.Duration) {
	newest := 0
	for i := range r.Keys {
		if r.Keys[i].Made.After(r.Keys[newest].Made) {
			newest = i
		}
	}
	ids := r.ids()
	switch {
	case newest > 0:
		rest := slices.Delete(slices.Clone(ids), newest, newest+1)
		return KeyStep{Do: SignWithKey, Keep: append([]string{ids[newest]}, rest...)}, 0
	case len(ids) > 1:
		return KeyStep{Do: DropKeys, Keep: ids[:1]}, 0
	case r.Asked:
		return KeyStep{Do: AddKey, Keep: ids}, 0
	case r.KeyAge <= 0:
		return KeyStep{}, 0
	}
	if due = r.KeyAge - r.Now.Sub(r.Keys[0].Made); due <= 0 {
		return KeyStep{Do: AddKey, Keep: ids}, 0
	}
	return KeyStep{}, due
}

// behind are the nodes whose speakers do not report the keys, apart those that
// Kubernetes cannot reach; all is how many could.
func (r *Rotation) behind() (late, unreached []string, all int) {
	nodes := make(map[string]*lb.Node, len(r.Nodes))
	for i := range r.Nodes {
		nodes[r.Nodes[i].Name] = &r.Nodes[i]
	}
	want := r.ids()
	for i := range r.Speakers {
		s := &r.Speakers[i]
		node := nodes[s.Node]
		if s.Hearing == nil || s.Leaving || node == nil || node.OutOfService {
			continue
		}
		all++
		switch {
		case slices.Equal(s.Hearing.Keys, want):
		case node.Alive:
			late = append(late, s.Node)
		default:
			unreached = append(unreached, s.Node)
		}
	}
	return late, unreached, all
}

func (r *Rotation) ids() []string {
	out := make([]string, len(r.Keys))
	for i := range r.Keys {
		out[i] = r.Keys[i].ID
	}
	return out
}

// some lists the first few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
