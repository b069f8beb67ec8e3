package kube

import (
	"context"
	"log/slog"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
)

// SecretState is what is known of a Secret.
type SecretState int

// The states of a Secret.
const (
	// SecretUnknown was not looked at yet, or is not needed.
	SecretUnknown SecretState = iota
	// SecretForbidden may not be read: the Role names the Secrets that may.
	SecretForbidden
	SecretMissing
	SecretThere
)

// Secrets watches the few Secrets that are needed, each by its name. A watch of all
// Secrets would need the right to read them, and hold them all in memory.
type Secrets struct {
	client    kubernetes.Interface
	namespace string
	log       *slog.Logger
	changed   chan struct{}
	needed    chan struct{}

	mu      sync.Mutex
	need    map[string]bool
	secrets map[string]*watchedSecret
}

// watchedSecret is one watch and what it saw last.
type watchedSecret struct {
	stop    context.CancelFunc
	state   SecretState
	data    map[string][]byte
	notes   map[string]string // its annotations
	version string
}

// NewSecrets watches nothing yet: Need says what, and Run does it.
func NewSecrets(client kubernetes.Interface, namespace string, log *slog.Logger) *Secrets {
	return &Secrets{
		client: client, namespace: namespace, log: log,
		changed: make(chan struct{}, 1), needed: make(chan struct{}, 1),
		need: make(map[string]bool), secrets: make(map[string]*watchedSecret),
	}
}

// Need replaces the names that are watched.
func (s *Secrets) Need(names []string) {
	need := make(map[string]bool, len(names))
	for _, name := range names {
		need[name] = true
	}
	s.mu.Lock()
	same := maps.Equal(need, s.need)
	s.need = need
	s.mu.Unlock()
	if !same {
		poke(s.needed)
	}
}

// Get is what a Secret holds now. The version changes with the Secret.
func (s *Secrets) Get(name string) (data map[string][]byte, version string, state SecretState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.secrets[name]
	if w == nil {
		return nil, "", SecretUnknown
	}
	return maps.Clone(w.data), w.version, w.state
}

// whole is Get, and the annotations of the same version.
func (s *Secrets) whole(name string) (data map[string][]byte, annotations map[string]string, version string, state SecretState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.secrets[name]
	if w == nil {
		return nil, nil, "", SecretUnknown
	}
	return maps.Clone(w.data), maps.Clone(w.notes), w.version, w.state
}

// Changed fires after what Get says changed; several changes may fire once.
func (s *Secrets) Changed() <-chan struct{} { return s.changed }

// Run watches until ctx is done.
func (s *Secrets) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for {
		for _, begin := range s.adjust(ctx) {
			g.Go(begin)
		}
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-s.needed:
		}
	}
}

// adjust ends the watches that are not needed any more, and returns those to begin.
func (s *Secrets) adjust(ctx context.Context) (begin []func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, w := range s.secrets {
		if !s.need[name] {
			w.stop()
			delete(s.secrets, name)
		}
	}
	for name := range s.need {
		if s.secrets[name] != nil {
			continue
		}
		watching, stop := context.WithCancel(ctx)
		w := &watchedSecret{stop: stop}
		s.secrets[name] = w
		begin = append(begin, func() error {
			defer stop()
			return s.watch(watching, name, w)
		})
	}
	return begin
}

// watch keeps w up to date until ctx is done.
func (s *Secrets) watch(ctx context.Context, name string, w *watchedSecret) error {
	informer := patientInformer(s.only(name), &corev1.Secret{}, 0, toolscache.Indexers{})
	if err := informer.SetTransform(toolscache.TransformFunc(withoutManagedFields)); err != nil {
		return err
	}
	err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *toolscache.Reflector, err error) {
		s.log.Debug("secret not read", "secret", name, "err", err)
		if apierrors.IsForbidden(err) && s.refused(w) {
			s.log.Warn("secret not read", "secret", name, "err", err)
		}
	})
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.saw(w, SecretThere, obj) },
		UpdateFunc: func(_, obj any) { s.saw(w, SecretThere, obj) },
		DeleteFunc: func(any) { s.saw(w, SecretMissing, nil) },
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		informer.RunWithContext(ctx)
		return nil
	})
	g.Go(func() error {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) && len(informer.GetStore().ListKeys()) == 0 {
			s.saw(w, SecretMissing, nil)
		}
		return nil
	})
	return g.Wait()
}

// only lists and watches the Secret of one name: a Role can allow just that.
func (s *Secrets) only(name string) toolscache.ListerWatcher {
	secrets := s.client.CoreV1().Secrets(s.namespace)
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return toolscache.ToListWatcherWithWatchListSemantics(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return secrets.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.FieldSelector = selector
			return secrets.Watch(ctx, o)
		},
	}, s.client)
}

func withoutManagedFields(obj any) (any, error) {
	if secret, ok := obj.(*corev1.Secret); ok {
		secret.ManagedFields = nil
	}
	return obj, nil
}

func (s *Secrets) saw(w *watchedSecret, state SecretState, obj any) {
	var data map[string][]byte
	var notes map[string]string
	version := ""
	if secret, ok := obj.(*corev1.Secret); ok {
		data, notes, version = secret.Data, secret.Annotations, secret.ResourceVersion
	}
	s.mu.Lock()
	changed := w.state != state || w.version != version
	w.state, w.data, w.notes, w.version = state, data, notes, version
	s.mu.Unlock()
	if changed {
		poke(s.changed)
	}
}

// refused notes that a Secret may not be read, and tells whether that is news. What
// was read before a right was taken away stays: the cloud decides for how long it is
// good.
func (s *Secrets) refused(w *watchedSecret) (news bool) {
	s.mu.Lock()
	news = w.state == SecretUnknown
	s.mu.Unlock()
	if news {
		s.saw(w, SecretForbidden, nil)
	}
	return news
}

// poke wakes the reader of a channel that holds one signal.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
