package kube

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// secretAPI serves Secrets to those who ask for one by its name, and to nobody else.
type secretAPI struct {
	*fake.Clientset
	t *testing.T

	mu      sync.Mutex
	denied  map[string]bool
	watches map[string]int // that are open, by name
}

func (api *secretAPI) deny(name string, denied bool) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.denied[name] = denied
}

func (api *secretAPI) open(name string, n int) int {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.watches[name] += n
	return api.watches[name]
}

func newSecretAPI(t *testing.T, secrets ...runtime.Object) *secretAPI {
	api := &secretAPI{Clientset: fake.NewClientset(secrets...), t: t, denied: make(map[string]bool), watches: make(map[string]int)}
	api.PrependReactor("list", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		name, err := api.asked(a.(clienttesting.ListAction).GetListRestrictions())
		if err != nil {
			return true, nil, err
		}
		out := &corev1.SecretList{}
		found, err := api.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), a.GetNamespace(), name)
		if err == nil {
			out.Items = append(out.Items, *found.(*corev1.Secret))
		}
		return true, out, nil
	})
	api.PrependWatchReactor("secrets", func(a clienttesting.Action) (bool, apiwatch.Interface, error) {
		name, err := api.asked(a.(clienttesting.WatchAction).GetWatchRestrictions())
		if err != nil {
			return true, nil, err
		}
		all, err := api.Tracker().Watch(corev1.SchemeGroupVersion.WithResource("secrets"), a.GetNamespace())
		if err != nil {
			return true, nil, err
		}
		api.open(name, 1)
		return true, &countedWatch{apiwatch.Filter(all, func(e apiwatch.Event) (apiwatch.Event, bool) {
			s, ok := e.Object.(*corev1.Secret)
			return e, ok && s.Name == name
		}), func() { api.open(name, -1) }}, nil
	})
	return api
}

func (api *secretAPI) asked(r any) (string, error) {
	var name string
	switch r := r.(type) {
	case clienttesting.ListRestrictions:
		name, _ = r.Fields.RequiresExactMatch("metadata.name")
	case clienttesting.WatchRestrictions:
		name, _ = r.Fields.RequiresExactMatch("metadata.name")
	}
	if name == "" {
		api.t.Error("all Secrets are asked for")
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if api.denied[name] {
		return "", apierrors.NewForbidden(corev1.Resource("secrets"), name, nil)
	}
	return name, nil
}

type countedWatch struct {
	apiwatch.Interface
	stopped func()
}

func (w *countedWatch) Stop() {
	if w.stopped != nil {
		w.stopped()
		w.stopped = nil
	}
	w.Interface.Stop()
}

func secret(name, version, conf string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: name, ResourceVersion: version},
		Data: map[string][]byte{"cloud.conf": []byte(conf)}}
}

// watching runs f with Secrets at work on api, inside a bubble.
func watching(t *testing.T, api func(*testing.T) *secretAPI, f func(*testing.T, *secretAPI, *Secrets)) {
	synctest.Test(t, func(t *testing.T) {
		api := api(t)
		s := NewSecrets(api, "fairlead-system", slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		f(t, api, s)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// settles waits until nothing happens any more, a new look at what was refused apart.
func settles(t *testing.T, s *Secrets, name, conf, version string, state SecretState) {
	t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	data, v, st := s.Get(name)
	if string(data["cloud.conf"]) != conf || v != version || st != state {
		t.Errorf("%s is %q as version %q in state %d, want %q, %q, %d", name, data["cloud.conf"], v, st, conf, version, state)
	}
}

func told(t *testing.T, s *Secrets, want bool) {
	t.Helper()
	select {
	case <-s.Changed():
		if !want {
			t.Error("a change is told although there was none")
		}
	default:
		if want {
			t.Error("a change is not told")
		}
	}
}

func TestASecretIsFollowedByItsNameAlone(t *testing.T) {
	start := func(t *testing.T) *secretAPI {
		return newSecretAPI(t, secret("cloud-config", "1", "a"), secret("other", "2", "secret"))
	}
	watching(t, start, func(t *testing.T, api *secretAPI, s *Secrets) {
		settles(t, s, "cloud-config", "", "", SecretUnknown)
		told(t, s, false)
		s.Need([]string{"cloud-config", "cloud-config"})
		settles(t, s, "cloud-config", "a", "1", SecretThere)
		told(t, s, true)
		settles(t, s, "other", "", "", SecretUnknown)

		secrets := api.CoreV1().Secrets("fairlead-system")
		if _, err := secrets.Update(t.Context(), secret("cloud-config", "3", "b"), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		settles(t, s, "cloud-config", "b", "3", SecretThere)
		told(t, s, true)
		if _, err := secrets.Update(t.Context(), secret("other", "4", "secret2"), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		settles(t, s, "cloud-config", "b", "3", SecretThere)
		told(t, s, false)
		if err := secrets.Delete(t.Context(), "cloud-config", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settles(t, s, "cloud-config", "", "", SecretMissing)
		told(t, s, true)

		s.Need([]string{"other"})
		settles(t, s, "other", "secret2", "4", SecretThere)
		settles(t, s, "cloud-config", "", "", SecretUnknown)
		if old, new := api.open("cloud-config", 0), api.open("other", 0); old != 0 || new != 1 {
			t.Errorf("%d watches of the old Secret and %d of the new one are open, want the new one's", old, new)
		}
	})
}

func TestASecretThatIsNotThereIsMissingUntilItComes(t *testing.T) {
	start := func(t *testing.T) *secretAPI { return newSecretAPI(t) }
	watching(t, start, func(t *testing.T, api *secretAPI, s *Secrets) {
		s.Need([]string{"cloud-config"})
		settles(t, s, "cloud-config", "", "", SecretMissing)
		told(t, s, true)
		if _, err := api.CoreV1().Secrets("fairlead-system").Create(t.Context(), secret("cloud-config", "1", "a"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		settles(t, s, "cloud-config", "a", "1", SecretThere)
		told(t, s, true)
	})
}

func TestASecretThatMayNotBeReadIsTriedAgain(t *testing.T) {
	start := func(t *testing.T) *secretAPI {
		api := newSecretAPI(t, secret("cloud-config", "1", "a"))
		api.deny("cloud-config", true)
		return api
	}
	watching(t, start, func(t *testing.T, api *secretAPI, s *Secrets) {
		s.Need([]string{"cloud-config"})
		settles(t, s, "cloud-config", "", "", SecretForbidden)
		told(t, s, true)
		settles(t, s, "cloud-config", "", "", SecretForbidden)
		told(t, s, false)
		api.deny("cloud-config", false)
		settles(t, s, "cloud-config", "a", "1", SecretThere)
		told(t, s, true)
	})
}
