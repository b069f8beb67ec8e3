package kube

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/lb"
)

// correspondence is one Service at the API server and what the Observer makes of
// its events and of the answers to our writes.
type correspondence struct {
	t        fatal
	observer *Observer
	server   *stored
	events   []*corev1.Service // that did not arrive yet

	want      ServiceStatus
	sent      []byte // a write without an answer
	applied   bool
	version   uint64 // that it was applied as
	lost      []byte // a write whose answer was lost before it was done, if it ever is
	confirmed uint64
	history   map[uint64]ServiceStatus // at the API server
	sending   []ServiceStatus          // since the last confirmed write
}

func correspond(t fatal) *correspondence {
	var clock uint64 = 100
	c := &correspondence{t: t, observer: newObserver(lb.Key{}), server: newStored("web", &clock), history: make(map[uint64]ServiceStatus)}
	c.happened()
	c.deliver()
	c.news(true)
	return c
}

func (c *correspondence) happened() {
	c.history[c.server.version()] = StatusFrom(c.server.service)
	c.events = append(c.events, c.server.service)
}

func (c *correspondence) record() *record { return c.observer.services.rows[c.server.key()] }

func (c *correspondence) begin(want ServiceStatus) bool {
	from, ok := c.observer.begin(c.server.key(), want)
	c.want = want
	if !ok {
		return false
	}
	base := from.status
	if from.unsure {
		base = from.want.unlike(from.status)
	}
	patch, err := base.patch(from.want, from.uid, metav1.Now().Time)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sent, c.applied = patch, false
	c.sending = append(c.sending, from.want)
	return true
}

func (c *correspondence) apply() {
	c.do(c.sent)
	c.applied, c.version, c.lost = true, c.server.version(), nil
}

func (c *correspondence) do(patch []byte) {
	changed, err := c.server.patch(patch)
	if err != nil {
		c.t.Fatalf("%s: %v", patch, err)
	}
	if changed {
		c.happened()
	}
}

func (c *correspondence) answer() {
	c.observer.done(c.server.key(), c.version)
	c.confirmed, c.sent = c.version, nil
	c.sending = []ServiceStatus{c.want}
}

func (c *correspondence) refuse() {
	c.observer.failed(c.server.key(), true)
	c.sent = nil
}

func (c *correspondence) loseAnswer() {
	c.observer.failed(c.server.key(), false)
	if !c.applied {
		c.lost = c.sent
	}
	c.sent = nil
}

func (c *correspondence) deliver() {
	if c.observer.setService(c.events[0]) {
		c.observer.signal()
	}
	c.events = c.events[1:]
}

func (c *correspondence) editSpec() {
	c.server.change(func(s *corev1.Service) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, "edit", fmt.Sprint(c.server.version()))
	})
	c.happened()
}

// meddle is somebody else's write to the status.
func (c *correspondence) meddle(f func(*corev1.Service)) {
	c.server.change(f)
	c.happened()
}

// finish lets everything arrive, and writes again as the writer would.
func (c *correspondence) finish(want ServiceStatus) {
	if c.sent != nil {
		c.loseAnswer()
	}
	for range 5 {
		if c.begin(want) {
			c.apply()
			c.answer()
		}
		for len(c.events) > 0 {
			c.deliver()
		}
	}
	if got := StatusFrom(c.server.service); !got.says(want) || c.begin(want) {
		c.t.Fatalf("at rest the Service says\n%+v, the observer thinks\n%+v, it should say\n%+v", got, c.record().status, want)
	}
}

func (c *correspondence) held(want ...string) {
	c.t.Helper()
	if got := c.record().service.Held; !slices.Equal(got, addrs(want...)) {
		c.t.Fatalf("the Service counts as holding %v, want %v", got, want)
	}
}

func (c *correspondence) shows(want ...string) {
	c.t.Helper()
	if got := c.record().shown(); !slices.Equal(got, addrs(want...)) {
		c.t.Fatalf("the Service counts as showing %v, want %v", got, want)
	}
	checkIndex(c.t, c.observer)
}

func (c *correspondence) news(want bool) {
	c.t.Helper()
	select {
	case <-c.observer.Changed():
		if !want {
			c.t.Fatal("the observer asks for a plan although nothing changed")
		}
	default:
		if want {
			c.t.Fatal("the observer asks for no plan although something changed")
		}
	}
}

func TestWhatIsSentCountsAtOnce(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.held("192.0.2.1")
	c.shows("192.0.2.1")
	if !c.record().service.Marked {
		t.Error("a Service that is being written is not marked as ours")
	}
	if c.begin(assigned("192.0.2.1")) {
		t.Error("it is written twice")
	}
}

func TestAnEventOlderThanAWriteBringsItsSpecOnly(t *testing.T) {
	c := correspond(t)
	c.editSpec()
	c.begin(assigned("192.0.2.1"))
	c.deliver() // while writing
	c.held("192.0.2.1")
	c.editSpec()
	c.apply()
	c.answer()
	c.deliver() // after
	c.held("192.0.2.1")
	c.shows("192.0.2.1")
	c.deliver() // the write's own
	c.held("192.0.2.1")
	c.news(false)
}

func TestAWriteWhoseEventWasFasterIsOneWrite(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.deliver()
	c.held("192.0.2.1")
	c.answer()
	c.held("192.0.2.1")
	c.shows("192.0.2.1")
	c.news(false)
	if c.begin(assigned("192.0.2.1")) {
		t.Error("it is written again")
	}
}

func TestAMovingServiceShowsBothAddressesUntilItsWriteIsConfirmed(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.answer()
	c.deliver()
	c.begin(assigned("192.0.2.2"))
	c.shows("192.0.2.1", "192.0.2.2")
	c.held("192.0.2.2")
	c.apply()
	c.answer()
	c.shows("192.0.2.2")
}

func TestARefusedWriteIsTakenBack(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.answer()
	c.begin(assigned("192.0.2.2"))
	c.refuse()
	c.held("192.0.2.1")
	c.shows("192.0.2.1")
	c.deliver()
	c.held("192.0.2.1")
}

func TestAnUnsureWriteIsSentAgainWhole(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.loseAnswer()
	c.held("192.0.2.1")
	c.shows("192.0.2.1")
	// The decision is another one now. The write that nobody knows of must not stay,
	// although no event told of it.
	c.begin(refused())
	c.shows("192.0.2.1")
	c.apply()
	c.answer()
	c.shows()
	c.finish(refused())
}

func TestAnUnsureWriteThatAnEventShowsIsNotSentAgain(t *testing.T) {
	for _, eventFirst := range []bool{true, false} {
		c := correspond(t)
		c.begin(assigned("192.0.2.1"))
		c.apply()
		if eventFirst {
			c.deliver()
			c.loseAnswer()
		} else {
			c.loseAnswer()
			c.deliver()
		}
		if c.begin(assigned("192.0.2.1")) {
			t.Errorf("it is sent again (event first: %v)", eventFirst)
		}
		c.shows("192.0.2.1")
	}
}

func TestAServiceCountsAsOursUntilItsReleaseIsConfirmed(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.answer()
	c.deliver()
	marked := func(want bool, when string) {
		t.Helper()
		if got := c.record().service.Marked; got != want {
			t.Errorf("%s: marked %v, want %v", when, got, want)
		}
	}
	c.begin(ServiceStatus{})
	marked(true, "the release is on its way")
	c.loseAnswer()
	marked(true, "its answer is lost")
	c.begin(ServiceStatus{})
	c.refuse()
	marked(true, "it is refused the second time")
	c.begin(ServiceStatus{})
	c.apply()
	marked(true, "it is done, but there is no answer yet")
	c.answer()
	marked(false, "it is confirmed")
}

func TestAServiceCountsAsFinalizedFromTheAnswerToTheReleaseOfIt(t *testing.T) {
	c := correspond(t)
	counts := func(finalized bool, class, when string) {
		t.Helper()
		if s := c.record().service; s.Finalized != finalized || s.CloudClass != class {
			t.Errorf("%s: finalized %v for class %q, want %v for %q", when, s.Finalized, s.CloudClass, finalized, class)
		}
	}
	c.begin(inCloud("public", ""))
	counts(false, "public", "the first write is on its way")
	c.apply()
	counts(false, "public", "it is done, but there is no answer yet")
	c.answer()
	counts(true, "public", "it is confirmed")
	c.news(true)
	c.deliver()
	counts(true, "public", "it is seen")
	c.news(false)
	c.begin(inCloud("public", "lb-1", "192.0.2.1"))
	counts(true, "public", "another write is on its way")
	c.loseAnswer()
	counts(true, "public", "its answer is lost")
	c.begin(ServiceStatus{})
	counts(false, "public", "the release is on its way")
	c.refuse()
	counts(false, "public", "the release was refused, but the write before is unsure still")
	c.finish(inCloud("public", "lb-1", "192.0.2.1"))
	counts(true, "public", "it is wanted again")
	c.begin(ServiceStatus{})
	c.loseAnswer()
	counts(false, "public", "nobody knows of the release")
	c.begin(inCloud("public", ""))
	counts(false, "public", "it is wanted again, but nobody knows of the release")
	c.apply()
	c.answer()
	counts(true, "public", "finalizer and note are confirmed again")
	c.begin(ServiceStatus{})
	c.apply()
	c.answer()
	counts(false, "", "the release is confirmed")
	c.news(true)
}

func TestAFinalizerOfOthersLetsNoDriverLooseBeforeTheNote(t *testing.T) {
	c := correspond(t)
	c.meddle(func(s *corev1.Service) { s.Finalizers = append(s.Finalizers, Finalizer) })
	c.deliver()
	if s := c.record().service; !s.Finalized {
		t.Error("the finalizer is not seen")
	}
	c.begin(inCloud("public", ""))
	if s := c.record().service; s.Finalized {
		t.Error("the note is on its way, and the Service counts as finalized")
	}
	c.apply()
	c.answer()
	if s := c.record().service; !s.Finalized {
		t.Error("finalizer and note are confirmed, and the Service does not count as finalized")
	}
}

func TestTheEndOfAServiceIsNotWrittenAgain(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.answer()
	c.deliver()
	// The last finalizer goes, and with it the Service: the answer has the version
	// before, and the next event is the deletion.
	c.begin(ServiceStatus{})
	c.version = gone
	c.answer()
	c.shows()
	c.held()
	if c.begin(ServiceStatus{}) {
		t.Error("it is written again")
	}
}

func TestAnUnsureWriteToAServiceThatIsNotOursAnyMoreIsForgotten(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.loseAnswer()
	c.shows("192.0.2.1")
	c.observer.abandon(c.server.key())
	c.shows()
	c.held()
}

func TestARefusalDoesNotSettleAnEarlierUnsureWrite(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.loseAnswer()
	c.begin(assigned("192.0.2.1"))
	c.refuse() // such as 429
	c.shows("192.0.2.1")
	c.finish(refused())
}

func TestAWriteThatChangesNothingHidesNoEvent(t *testing.T) {
	c := correspond(t)
	// Somebody else writes an address; the event comes while our write, which does
	// not know of it, is on its way, and which the API server finds done already.
	c.begin(refused())
	c.apply()
	c.answer()
	c.deliver()
	c.meddle(func(s *corev1.Service) {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.9"}}
		s.Status.Conditions = nil
	})
	c.begin(ServiceStatus{})
	c.apply() // takes off a condition that is gone: no new version
	c.deliver()
	c.held()
	c.answer()
	c.news(true)
	c.held("192.0.2.9")
	c.shows("192.0.2.9")
	c.finish(ServiceStatus{})
}

func TestSomebodyElsesWriteIsSeen(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.apply()
	c.answer()
	c.meddle(func(s *corev1.Service) { s.Status.LoadBalancer.Ingress = nil })
	c.deliver()
	c.held("192.0.2.1") // of our own write
	c.deliver()
	c.held()
	c.news(true)
	c.finish(assigned("192.0.2.1"))
}

func TestAnAnswerToTheServiceBeforeDoesNotCountForItsSuccessor(t *testing.T) {
	c := correspond(t)
	c.begin(assigned("192.0.2.1"))
	c.observer.removeService(c.server.service)
	checkIndex(t, c.observer)
	c.server.change(func(s *corev1.Service) { s.UID = "another" })
	c.observer.setService(c.server.service)
	c.held()
	c.observer.done(c.server.key(), 1)
	c.observer.failed(c.server.key(), false)
	c.held()
	c.shows()
	if c.record().unsure > 0 {
		t.Error("the successor counts as written")
	}
}

// Whatever the order of writes, answers that are lost or late, and events: decisions
// never count on something older than the last confirmed write, an address that the
// API server may show is never taken for free, and in the end the Service says what
// it should.
func TestNoInterleavingLosesTrackOfAService(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { interleave(rt, false) })
}

// With somebody else writing the status too, what they write is noticed.
func TestNoInterleavingWithMeddlersLosesTrackOfAService(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { interleave(rt, true) })
}

func interleave(rt *rapid.T, meddlers bool) {
	c := correspond(rt)
	status := rapid.SampledFrom([]ServiceStatus{{}, refused(), assigned("192.0.2.1"), assigned("192.0.2.2"), assigned("192.0.2.1", "fd00::1"),
		inCloud("public", ""), inCloud("public", "lb-1", "192.0.2.1"), inCloud("public", "lb-2", "192.0.2.2"), inCloud("other", "")})
	actions := map[string]func(*rapid.T){
		"begin": func(rt *rapid.T) {
			if c.sent != nil {
				rt.Skip()
			}
			c.begin(status.Draw(rt, "want"))
		},
		"apply": func(rt *rapid.T) {
			if c.sent == nil || c.applied {
				rt.Skip()
			}
			c.apply()
		},
		"applyLost": func(rt *rapid.T) {
			if c.lost == nil {
				rt.Skip()
			}
			c.do(c.lost)
			c.lost = nil
		},
		"answer": func(rt *rapid.T) {
			if c.sent == nil || !c.applied {
				rt.Skip()
			}
			c.answer()
		},
		"refuse": func(rt *rapid.T) {
			if c.sent == nil || c.applied {
				rt.Skip()
			}
			c.refuse()
		},
		"loseAnswer": func(rt *rapid.T) {
			if c.sent == nil {
				rt.Skip()
			}
			c.loseAnswer()
		},
		"deliver": func(rt *rapid.T) {
			if len(c.events) == 0 {
				rt.Skip()
			}
			c.deliver()
		},
		"editSpec": func(*rapid.T) { c.editSpec() },
		"": func(rt *rapid.T) {
			c.checkHeld(rt)
			checkIndex(c.t, c.observer)
			if meddlers {
				return
			}
			if StatusFrom(c.server.service).Condition.Reason != "" && !c.record().service.Marked {
				rt.Fatal("the Service carries our condition and does not count as marked")
			}
			c.checkCloud(rt)
			for _, a := range StatusFrom(c.server.service).Addresses {
				if !slices.Contains(c.record().shown(), a) {
					rt.Fatalf("the API server shows %s, the observer %v", a, c.record().shown())
				}
			}
		},
	}
	if meddlers {
		actions["meddle"] = func(rt *rapid.T) {
			what := rapid.SampledFrom([]string{"", "192.0.2.1", "198.51.100.7"}).Draw(rt, "foreign")
			c.meddle(func(s *corev1.Service) {
				s.Status.LoadBalancer.Ingress = nil
				if what != "" {
					s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: what}}
				}
				if rapid.Bool().Draw(rt, "all") {
					s.Status.Conditions, s.Finalizers = nil, nil
				}
				if rapid.Bool().Draw(rt, "annotates") {
					metav1.SetMetaDataAnnotation(&s.ObjectMeta, AnnotationLoadBalancerID, rapid.SampledFrom([]string{"lb-1", "mine"}).Draw(rt, "id"))
				}
			})
		}
	}
	rt.Repeat(actions)
	c.lost = nil
	c.finish(status.Draw(rt, "at last"))
}

// checkCloud: a driver is let loose only while the API server holds on to the Service
// for it, and what it may have made is not forgotten.
func (c *correspondence) checkCloud(rt *rapid.T) {
	r, there := c.record(), StatusFrom(c.server.service)
	if s := r.service; s.Finalized && (!there.Finalizer || s.CloudClass != "" && there.Cloud.Class == "") {
		rt.Fatalf("the Service counts as finalized for class %q; the API server says %+v", s.CloudClass, there)
	}
	if pending := r.writing || r.unsure > 0; !pending && r.service.CloudClass != there.Cloud.Class {
		rt.Fatalf("the Service counts as of class %q; the API server says %+v", r.service.CloudClass, there)
	}
}

// checkHeld: what counts as held is what the API server said at the last confirmed
// write or later, or what was sent since.
func (c *correspondence) checkHeld(rt *rapid.T) {
	held := c.record().service.Held
	for version, s := range c.history {
		if version >= c.confirmed && slices.Equal(s.Addresses, held) {
			return
		}
	}
	for _, s := range c.sending {
		if slices.Equal(s.Addresses, held) {
			return
		}
	}
	rt.Fatalf("held %v is older than the write confirmed as %d; history %v, sent since %v", held, c.confirmed, c.history, c.sending)
}
