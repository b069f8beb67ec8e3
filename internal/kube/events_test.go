package kube

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienteventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// eventLog is an API server that takes Events only.
type eventLog struct {
	clienteventsv1.EventsV1Interface
	clienteventsv1.EventInterface

	mu    sync.Mutex
	taken []*eventsv1.Event
	fail  error
}

func (l *eventLog) Events(string) clienteventsv1.EventInterface { return l }

func (l *eventLog) Create(_ context.Context, e *eventsv1.Event, _ metav1.CreateOptions) (*eventsv1.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, e)
	return e, l.fail
}

func (l *eventLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.taken)
}

var web = lb.Key{Namespace: "shop", Name: "web"}

func TestEventsThatNobodyHasTimeForAreDropped(t *testing.T) {
	e := NewEvents(&eventLog{}, slog.New(slog.DiscardHandler))
	room := cap(e.queue)
	for range room + 10 { // does not block
		e.Note(web, "u", "Assigned", "x")
	}
	if len(e.queue) != room {
		t.Errorf("%d of %d Events wait", len(e.queue), room)
	}
	names := make(map[string]bool)
	for range room {
		names[(<-e.queue).Name] = true
	}
	if len(names) != room {
		t.Errorf("%d Events have %d names", room, len(names))
	}
}

func TestALongNoteIsCutBetweenCharacters(t *testing.T) {
	e := NewEvents(&eventLog{}, slog.New(slog.DiscardHandler))
	for _, note := range []string{strings.Repeat("a", 1024), strings.Repeat("a", 1025), strings.Repeat("€", 400), "a" + strings.Repeat("😀", 300), strings.Repeat("é", 512)} {
		e.Warn(lb.Key{Namespace: "shop", Name: strings.Repeat("n", 63)}, "u", "BadRequest", note)
		got := <-e.queue
		if len(got.Note) > 1024 || len(got.Note) < min(len(note), 1021) || !utf8.ValidString(got.Note) || !strings.HasPrefix(note, got.Note) {
			t.Errorf("a note of %d bytes became one of %d, valid: %v", len(note), len(got.Note), utf8.ValidString(got.Note))
		}
		if len(got.Name) > 253 || got.Namespace != "shop" || got.Regarding.Namespace != "shop" || string(got.Regarding.UID) != "u" || got.Type != "Warning" {
			t.Errorf("the Event is %+v", got)
		}
	}
}

func TestEventsLetTheUrgentGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &eventLog{}
		e := NewEvents(log, slog.New(slog.DiscardHandler))
		var busy atomic.Bool
		busy.Store(true)
		e.Busy = busy.Load
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := e.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		e.Note(web, "u", "Assigned", "1")
		e.Note(web, "u", "Assigned", "2")
		time.Sleep(time.Minute)
		if n := log.count(); n != 0 {
			t.Errorf("%d Events were posted while there was something more urgent", n)
		}
		busy.Store(false)
		time.Sleep(time.Second)
		if n := log.count(); n != 2 {
			t.Errorf("%d Events were posted afterwards, want 2", n)
		}
		// One that is refused does not hold up the next.
		log.mu.Lock()
		log.fail = fmt.Errorf("refused")
		log.mu.Unlock()
		e.Note(web, "u", "Assigned", "3")
		e.Note(web, "u", "Assigned", "4")
		time.Sleep(time.Second)
		if n := log.count(); n != 4 {
			t.Errorf("%d Events were tried, want 4", n)
		}
		// It ends also while it waits.
		busy.Store(true)
		e.Note(web, "u", "Assigned", "5")
		time.Sleep(time.Second)
		cancel()
		running.Wait()
	})
}
