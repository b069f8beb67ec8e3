package controller

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
)

// safe is a Secret with a keyring, as the API server has it.
type safe struct {
	changed chan struct{}

	mu      sync.Mutex
	ring    kube.Keyring
	err     error    // of reading
	refuse  []error  // of the next writes
	history []string // the ids of every keyring that was written
	secrets [][]byte // that were ever there
}

func newSafe(ring kube.Keyring) *safe {
	s := &safe{changed: make(chan struct{}, 1)}
	s.set(ring, nil)
	return s
}

// set is a write of anybody.
func (s *safe) set(ring kube.Keyring, err error) {
	s.mu.Lock()
	s.ring, s.err = ring, err
	for _, key := range ring.Keys {
		s.secrets = append(s.secrets, key.Secret)
	}
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *safe) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *safe) Changed() <-chan struct{} { return s.changed }

func (s *safe) Keyring() (kube.Keyring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring, s.err
}

func (s *safe) Write(_ context.Context, ring kube.Keyring) error {
	s.mu.Lock()
	if len(s.refuse) > 0 {
		err := s.refuse[0]
		s.refuse = s.refuse[1:]
		s.mu.Unlock()
		return err
	}
	s.history = append(s.history, strings.Join(names(ring), " "))
	s.mu.Unlock()
	s.set(ring, nil)
	return nil
}

// names are the ids of keys, as the speakers report them.
func names(ring kube.Keyring) []string {
	var secrets liveness.Keyring
	for _, k := range ring.Keys {
		secrets = append(secrets, k.Secret)
	}
	out := []string{}
	for _, id := range secrets.IDs() {
		out = append(out, id.String())
	}
	return out
}

// keyOf is a key that was made so long ago.
func keyOf(octet byte, age time.Duration) kube.HeartbeatKey {
	return kube.HeartbeatKey{Secret: bytes.Repeat([]byte{octet}, keyOctets), Made: time.Now().Add(-age).Truncate(time.Second)}
}

// keeper runs keys on a safe, in a bubble, with three speakers.
type keeper struct {
	t    *testing.T
	safe *safe
	keys *keys
	log  *written
	end  func()
	dead []string // nodes that Kubernetes cannot reach: their speakers report nothing new
	has  map[string][]string
}

func newKeeper(t *testing.T, ring kube.Keyring) *keeper {
	k := &keeper{t: t, safe: newSafe(ring), log: &written{}, has: make(map[string][]string)}
	k.start()
	t.Cleanup(func() { k.end(); k.tellsNoKey() })
	return k
}

// start is a controller that begins to lead.
func (k *keeper) start() {
	k.keys = newKeys(k.safe, 30*24*time.Hour, slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	k.safe.set(k.safe.Keyring()) // its watch begins with what is there
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan error, 1)
	go func() { done <- k.keys.run(ctx) }()
	k.end = func() {
		cancel()
		if err := <-done; err != nil {
			k.t.Error(err)
		}
	}
	k.tell()
}

// restart is another controller that leads from now on.
func (k *keeper) restart() {
	k.end()
	k.start()
}

// tell gives the controller the world as it is.
func (k *keeper) tell() {
	w := &lb.World{}
	for _, node := range []string{"a", "b", "c"} {
		w.Nodes = append(w.Nodes, lb.Node{Name: node, Alive: !slices.Contains(k.dead, node)})
		w.Speakers = append(w.Speakers, lb.Speaker{Node: node, Hearing: &lb.Hearing{Keys: k.has[node]}})
	}
	k.keys.want(w)
}

// pass lets time pass, in which the living speakers take what the Secret has, one a
// second.
func (k *keeper) pass(d time.Duration) {
	k.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(time.Second, time.Until(end)))
		ring, err := k.safe.Keyring()
		for _, node := range []string{"a", "b", "c"} {
			if now := names(ring); err == nil && len(now) > 0 && !slices.Contains(k.dead, node) && !slices.Equal(now, k.has[node]) {
				k.has[node] = now
				k.tell()
				break
			}
		}
		synctest.Wait()
	}
}

func (k *keeper) ring() kube.Keyring {
	ring, err := k.safe.Keyring()
	if err != nil {
		k.t.Error(err)
	}
	return ring
}

// said counts a message in the log.
func (k *keeper) said(message string) int { return strings.Count(k.log.text(), message) }

// tellsNoKey looks for every key in the log, in every form.
func (k *keeper) tellsNoKey() {
	for _, secret := range k.safe.secrets {
		for _, form := range []string{
			string(secret), strings.Trim(strconv.Quote(string(secret)), `"`), base64.StdEncoding.EncodeToString(secret),
			hex.EncodeToString(secret), strings.Trim(fmt.Sprintf("%d", secret), "[]"),
		} {
			if strings.Contains(k.log.text(), form) {
				k.t.Errorf("the log has a key:\n%s", k.log.text())
			}
		}
	}
}

func TestTheFirstKeyIsMadeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Rotate: "asked before there was one"})
		synctest.Wait()
		ring := k.ring()
		if len(ring.Keys) != 1 || len(ring.Keys[0].Secret) != 32 || bytes.Equal(ring.Keys[0].Secret, make([]byte, 32)) || !ring.Keys[0].Made.Equal(time.Now()) {
			t.Fatalf("the keys are %v", ring.Keys)
		}
		k.pass(24 * time.Hour)
		if len(k.safe.history) != 1 {
			t.Errorf("a fresh key was rotated: %v", k.safe.history)
		}
	})
}

// rotated checks that the Secret went from one key through the three steps to another.
func rotated(t *testing.T, k *keeper, from string) {
	t.Helper()
	ring := k.ring()
	if len(ring.Keys) != 1 || names(ring)[0] == from {
		t.Fatalf("the keys are %v, and began as %s:\n%s", names(ring), from, k.log.text())
	}
	now := names(ring)[0]
	if diff := cmp.Diff([]string{from + " " + now, now + " " + from, now}, k.safe.history); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestAKeyIsReplacedWhenItIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, 30*24*time.Hour-10*time.Minute)}})
		from := names(k.ring())[0]
		k.pass(9 * time.Minute)
		if len(k.safe.history) != 0 {
			t.Errorf("it was not old yet: %v", k.safe.history)
		}
		k.pass(5 * time.Minute)
		rotated(t, k, from)
	})
}

func TestAKeyIsReplacedWhenSomebodyAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, time.Hour)}, Since: time.Now().Add(-time.Hour), Rotate: "june", Rotated: "june"}
		k := newKeeper(t, ring)
		from := names(ring)[0]
		k.pass(10 * time.Minute)
		if len(k.safe.history) != 0 {
			t.Errorf("what was asked was done before: %v", k.safe.history)
		}
		ring.Rotate = "july"
		k.safe.set(ring, nil)
		synctest.Wait()
		if len(k.ring().Keys) != 2 {
			t.Error("it does not begin at once")
		}
		k.pass(time.Hour)
		rotated(t, k, from)
		if got := k.ring(); got.Rotated != "july" {
			t.Errorf("done is %q", got.Rotated)
		}
	})
}

func TestARotationGoesOnUnderTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, time.Hour)}, Since: time.Now().Add(-time.Hour), Rotate: "now"})
		from := names(k.ring())[0]
		for range 60 {
			k.restart()
			k.pass(7 * time.Second)
		}
		rotated(t, k, from)
	})
}

func TestALaterKeyIsYoungerWhateverTheClockSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, -1000*time.Hour)}, Since: time.Now().Add(1000 * time.Hour), Rotate: "now"})
		from := names(k.ring())[0]
		k.pass(10 * time.Minute)
		rotated(t, k, from)
	})
}

func TestAnEmptiedSecretGetsItsKeysBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(2, time.Hour), keyOf(1, 2*time.Hour)}, Since: time.Now()}
		k := newKeeper(t, ring)
		synctest.Wait()
		k.safe.set(kube.Keyring{}, errors.New("it is not there"))
		synctest.Wait()
		k.safe.set(kube.Keyring{}, nil)
		synctest.Wait()
		if diff := cmp.Diff(names(ring), names(k.ring())); diff != "" {
			t.Errorf("keys (-before +after):\n%s", diff)
		}
		if k.said("written back") != 1 || k.said("it is not there") != 1 {
			t.Errorf("the log is\n%s", k.log.text())
		}
	})
}

func TestATroubleIsToldOnceAndAgainWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, time.Hour)}}
		k := newKeeper(t, ring)
		for range 3 {
			for range 10 {
				k.safe.set(kube.Keyring{}, errors.New("garbage"))
				k.pass(time.Second)
			}
			k.safe.set(ring, nil)
			k.pass(time.Second)
		}
		if k.said("garbage") != 3 || len(k.safe.history) != 0 {
			t.Errorf("the keys were %v, and the log is\n%s", k.safe.history, k.log.text())
		}
	})
}

func TestAWriteThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, time.Hour)}, Since: time.Now().Add(-time.Hour), Rotate: "now"})
		from := names(k.ring())[0]
		refused := errors.New("no right")
		k.safe.mu.Lock()
		k.safe.refuse = []error{fmt.Errorf("x: %w", kube.ErrKeyringChanged), refused, refused, refused}
		k.safe.mu.Unlock()
		k.pass(15 * time.Minute)
		rotated(t, k, from)
		if k.said("no right") != 1 || k.said("x: ") != 0 {
			t.Errorf("the log is\n%s", k.log.text())
		}
	})
}

func TestANodeThatIsAwayHoldsAStepForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(1, time.Hour)}, Since: time.Now().Add(-time.Hour)})
		from := names(k.ring())[0]
		k.pass(time.Minute)
		k.dead = []string{"b"}
		ring := k.ring()
		ring.Rotate = "now"
		k.safe.set(ring, nil)
		k.pass(23 * time.Hour)
		if len(k.safe.history) != 1 || k.said("cannot reach these nodes") != 1 || !strings.Contains(k.log.text(), ": b") {
			t.Errorf("the keys were %v, and the log is\n%s", k.safe.history, k.log.text())
		}
		k.restart() // the day goes on
		k.pass(2 * time.Hour)
		if len(k.safe.history) != 2 || k.said("changed without nodes") != 1 || !strings.Contains(k.log.text(), "nodes=[b]") {
			t.Errorf("the keys were %v, and the log is\n%s", k.safe.history, k.log.text())
		}
		k.dead = nil
		k.tell()
		k.pass(time.Minute)
		rotated(t, k, from)
	})
}

func TestANodeThatLagsHoldsAStepAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, kube.Keyring{Keys: []kube.HeartbeatKey{keyOf(2, 0), keyOf(1, time.Hour)}})
		k.has["a"], k.has["b"], k.has["c"] = []string{"x"}, names(k.ring()), names(k.ring())
		k.tell()
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if k.log.text() != "" {
			t.Errorf("it is too early to tell\n%s", k.log.text())
		}
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		if len(k.safe.history) != 0 || k.said("rotation of the keys of heartbeats waits") != 1 || !strings.Contains(k.log.text(), ": a\"") {
			t.Errorf("the keys were %v, and the log is\n%s", k.safe.history, k.log.text())
		}
		for i := range 600 { // another one every few seconds
			k.has["a"], k.has["b"], k.has["c"] = names(k.ring()), names(k.ring()), names(k.ring())
			k.has[string("abc"[i/7%3])] = nil
			k.tell()
			time.Sleep(time.Second)
		}
		if told := k.said("rotation of the keys of heartbeats waits"); told < 2 || told > 4 {
			t.Errorf("it is told %d times in ten minutes", told)
		}
	})
}

func TestTheKeysAreInTheSecretThatTheSpeakersRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		api := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: kube.HeartbeatKeysSecret, ResourceVersion: "1"}})
		ctx, cancel := context.WithCancel(t.Context())
		speaker := kube.HeartbeatKeysFrom(api, "fairlead-system", log)
		controller := newKeys(kube.HeartbeatKeysFrom(api, "fairlead-system", log), 0, log)
		var running sync.WaitGroup
		running.Go(func() { _ = speaker.Run(ctx) })
		running.Go(func() { _ = controller.run(ctx) })
		controller.want(&lb.World{})
		time.Sleep(time.Minute)
		synctest.Wait()
		ring, err := speaker.Ring()
		if err != nil || liveness.Keyring(ring).Check() != nil || len(ring) != 1 {
			t.Errorf("a speaker reads %d keys, %v", len(ring), err)
		}
		cancel()
		running.Wait()
	})
}
