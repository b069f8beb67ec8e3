package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
)

// keysSecret is the Secret with a keyring; without a text it is as it was installed.
func keysSecret(version, text string, annotations map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: HeartbeatKeysSecret, ResourceVersion: version, Annotations: annotations}}
	if text != "" {
		s.Data = map[string][]byte{keyringField: []byte(text)}
	}
	return s
}

// followed runs f with HeartbeatKeys that have read the Secrets of an API server, inside
// a bubble.
func followed(t *testing.T, secrets []runtime.Object, f func(*testing.T, *secretAPI, *HeartbeatKeys)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		api := newSecretAPI(t, secrets...)
		comparesVersions(api)
		keys := HeartbeatKeysFrom(api, "fairlead-system", slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keys.Run(ctx) }()
		settle()
		f(t, api, keys)
		settle() // the fake's watch does not end while it has something to say
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// settle lets a bubble come to rest.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// comparesVersions makes a fake do as the API server does with a patch that names the
// version it is for.
func comparesVersions(api *secretAPI) {
	api.PrependReactor("patch", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		patch := a.(clienttesting.PatchAction)
		live, err := api.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), patch.GetNamespace(), patch.GetName())
		if err != nil {
			return true, nil, err
		}
		version := live.(*corev1.Secret).ResourceVersion
		if patch.GetPatchType() != types.MergePatchType || !strings.Contains(string(patch.GetPatch()), `"resourceVersion":"`+version+`"`) {
			return true, nil, apierrors.NewConflict(corev1.Resource("secrets"), patch.GetName(), errors.New("version "+version))
		}
		return false, nil, nil
	})
}

func TestARingIsFollowed(t *testing.T) {
	before, after := formatKeyring([]HeartbeatKey{keyOf(1, 0)}), formatKeyring([]HeartbeatKey{keyOf(1, 0), keyOf(2, 9)})
	followed(t, []runtime.Object{keysSecret("1", string(before), nil)}, func(t *testing.T, api *secretAPI, keys *HeartbeatKeys) {
		told(t, keys.secrets, true)
		ring, err := keys.Ring()
		if err != nil || len(ring) != 1 || ring[0][0] != 1 {
			t.Errorf("the ring has %d keys, %v", len(ring), err)
		}
		settle()
		told(t, keys.secrets, false)
		if _, err := api.CoreV1().Secrets("fairlead-system").Update(t.Context(), keysSecret("2", string(after), nil), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		told(t, keys.secrets, true)
		ring, err = keys.Ring()
		if err != nil || len(ring) != 2 || ring[0][0] != 1 || ring[1][0] != 2 {
			t.Errorf("the ring has %d keys, %v", len(ring), err)
		}
	})
}

func TestWithoutKeysAnErrorSaysWhatToDo(t *testing.T) {
	const name = "Secret fairlead-system/fairlead-heartbeat-keys "
	secret := base64.StdEncoding.EncodeToString(keyOf(9, 0).Secret)
	for _, c := range []struct {
		name string
		api  []runtime.Object
		deny bool
		want string
	}{
		{"missing", nil, false, name + "is not there (apply install.yaml"},
		{"forbidden", nil, true, name + "may not be read (apply the install.yaml of this version"},
		{"as installed", []runtime.Object{keysSecret("1", "", nil)}, false, name + "has no key yet (the controller makes the first"},
		{"garbage", []runtime.Object{keysSecret("1", secret, nil)}, false,
			"read the field keyring of " + strings.TrimSpace(name) + ": line 1 has 1 words, not 2 (write a date such as"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newSecretAPI(t, c.api...)
				api.deny(HeartbeatKeysSecret, c.deny)
				keys := HeartbeatKeysFrom(api, "fairlead-system", slog.New(slog.DiscardHandler))
				if _, err := keys.Ring(); err == nil {
					t.Error("there is a ring before anything was read")
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- keys.Run(ctx) }()
				settle()
				told(t, keys.secrets, true)
				if _, err := keys.Ring(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret[:20]) {
					t.Errorf("the error is %v\nwant          %s", err, c.want)
				}
				cancel()
				<-done
			})
		})
	}
}

func TestAKeyringIsWrittenOverWhatWasReadOnly(t *testing.T) {
	installed := keysSecret("1", "", map[string]string{rotateAnnotation: "please", "other": "stays"})
	followed(t, []runtime.Object{installed}, func(t *testing.T, api *secretAPI, keys *HeartbeatKeys) {
		ring, err := keys.Keyring()
		if err != nil || len(ring.Keys) != 0 || ring.Rotate != "please" || ring.Rotated != "" || !ring.Since.IsZero() {
			t.Fatalf("what was installed is read as %v, %v", ring, err)
		}
		ring.Keys, ring.Since, ring.Rotated = []HeartbeatKey{keyOf(1, 0)}, time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC), ring.Rotate
		if err := keys.Write(t.Context(), ring); err != nil {
			t.Fatal(err)
		}
		settle()
		got, err := keys.Keyring()
		if diff := compareKeys(ring.Keys, got.Keys); diff != "" || err != nil || !got.Since.Equal(ring.Since) || got.Rotated != "please" || got.Rotate != "please" {
			t.Errorf("it is read back as %v, %v\n%s", got, err, diff)
		}
		live, err := api.CoreV1().Secrets("fairlead-system").Get(t.Context(), HeartbeatKeysSecret, metav1.GetOptions{})
		if err != nil || live.Annotations["other"] != "stays" {
			t.Errorf("the annotations are %v, %v", live.Annotations, err)
		}

		// Somebody writes, and our watch did not see it yet.
		live.ResourceVersion = "7"
		if _, err := api.CoreV1().Secrets("fairlead-system").Update(t.Context(), live, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := keys.Write(t.Context(), got); !errors.Is(err, ErrKeyringChanged) {
			t.Errorf("a write over what was not read is %v", err)
		}
	})
}

func TestAnErrorOfWritingHasNoKey(t *testing.T) {
	followed(t, []runtime.Object{keysSecret("1", "", nil)}, func(t *testing.T, api *secretAPI, keys *HeartbeatKeys) {
		ring, err := keys.Keyring()
		if err != nil {
			t.Fatal(err)
		}
		ring.Keys = []HeartbeatKey{keyOf(1, 0)}
		for _, quoted := range []string{string(formatKeyring(ring.Keys)), base64.StdEncoding.EncodeToString(formatKeyring(ring.Keys))} {
			api.PrependReactor("patch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(corev1.Resource("secrets"), HeartbeatKeysSecret, errors.New("a webhook dislikes "+quoted))
			})
			err := keys.Write(t.Context(), ring)
			if err == nil || strings.Contains(err.Error(), quoted) || !strings.Contains(err.Error(), "Forbidden") || !strings.Contains(err.Error(), "install.yaml") {
				t.Errorf("the error is %v", err)
			}
		}
	})
}
