package kube

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clienteventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// Events posts what happened to Services and nodes, one at a time and after everything that
// matters more. The recorder of client-go would post thousands at once, in the way
// of the addresses that they report.
type Events struct {
	client clienteventsv1.EventsV1Interface
	log    *slog.Logger
	queue  chan *eventsv1.Event
	// Busy tells whether there is something more urgent to write; nil is never.
	Busy  func() bool
	count atomic.Uint64
}

// NewEvents makes a queue that Run empties. When it is full, Events are dropped:
// the Service's condition says the same.
func NewEvents(c clienteventsv1.EventsV1Interface, log *slog.Logger) *Events {
	return &Events{client: c, log: log, queue: make(chan *eventsv1.Event, 16384)}
}

// Warn reports what keeps a Service from what it asked for.
func (e *Events) Warn(service lb.Key, uid, reason, note string) {
	e.post(serviceRef(service, uid), corev1.EventTypeWarning, "Balance", reason, note)
}

// Note reports what a Service got.
func (e *Events) Note(service lb.Key, uid, reason, note string) {
	e.post(serviceRef(service, uid), corev1.EventTypeNormal, "Balance", reason, note)
}

// WarnNode reports what is done, or not done, about a node that is dead.
func (e *Events) WarnNode(node, reason, note string) {
	e.post(nodeRef(node), corev1.EventTypeWarning, "Withdraw", reason, note)
}

// NoteNode reports that a node is back.
func (e *Events) NoteNode(node, reason, note string) {
	e.post(nodeRef(node), corev1.EventTypeNormal, "Restore", reason, note)
}

func serviceRef(service lb.Key, uid string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Service", Namespace: service.Namespace, Name: service.Name, UID: types.UID(uid)}
}

// nodeRef names a node as kubelets do in their Events, by its name for a UID: kubectl
// describe node looks for that.
func nodeRef(node string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node, UID: types.UID(node)}
}

func (e *Events) post(of corev1.ObjectReference, kind, action, reason, note string) {
	const maxNote = 1024 // events.k8s.io/v1 Event.note
	host, _ := os.Hostname()
	now := time.Now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			// What is in no namespace has its Events in this one, says the API server.
			Namespace: cmp.Or(of.Namespace, metav1.NamespaceDefault),
			Name:      fmt.Sprintf("%.200s.%s%x", of.Name, strconv.FormatInt(now.UnixNano(), 36), e.count.Add(1)),
		},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "fairlead.dev/controller",
		ReportingInstance:   host,
		Action:              action,
		Reason:              reason,
		Note:                clip(note, maxNote),
		Type:                kind,
		Regarding:           of,
	}
	select {
	case e.queue <- event:
	default:
		e.log.Debug("event dropped", "of", of.Kind, "name", of.Name, "reason", reason)
	}
}

// Run posts until ctx is done.
func (e *Events) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-e.queue:
			e.wait(ctx)
			_, err := e.client.Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
			if err != nil && ctx.Err() == nil {
				e.log.Debug("event not posted", "of", event.Regarding.Kind, "name", event.Regarding.Name, "err", err)
			}
		}
	}
}

// wait lets what is more urgent go first.
func (e *Events) wait(ctx context.Context) {
	for e.Busy != nil && e.Busy() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
