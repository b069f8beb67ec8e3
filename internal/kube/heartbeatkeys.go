package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// HeartbeatKeysSecret is the Secret with the keys of heartbeats. It comes empty with
// the manifests: nobody of ours may create a Secret.
const HeartbeatKeysSecret = "fairlead-heartbeat-keys"

// Where the Secret has what a Keyring has.
const (
	keyringField      = "keyring"
	sinceAnnotation   = "fairlead.dev/keyring-since"
	rotateAnnotation  = "fairlead.dev/rotate"
	rotatedAnnotation = "fairlead.dev/rotated"
)

// ErrKeyringChanged tells that somebody wrote the Secret meanwhile.
var ErrKeyringChanged = errors.New("it changed meanwhile")

// HeartbeatKeys follows the Secret with the keys of heartbeats.
type HeartbeatKeys struct {
	client    kubernetes.Interface
	namespace string
	secrets   *Secrets
}

// NewHeartbeatKeys follows the Secret in a namespace once Run does its work.
func NewHeartbeatKeys(cfg *rest.Config, namespace string, log *slog.Logger) (*HeartbeatKeys, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("follow the keys of heartbeats: %w", err)
	}
	return HeartbeatKeysFrom(client, namespace, log), nil
}

// HeartbeatKeysFrom is NewHeartbeatKeys for whoever has a client.
func HeartbeatKeysFrom(client kubernetes.Interface, namespace string, log *slog.Logger) *HeartbeatKeys {
	k := &HeartbeatKeys{client: client, namespace: namespace, secrets: NewSecrets(client, namespace, log)}
	k.secrets.Need([]string{HeartbeatKeysSecret})
	return k
}

// Run follows the Secret until ctx is done.
func (k *HeartbeatKeys) Run(ctx context.Context) error { return k.secrets.Run(ctx) }

// Changed fires after the Secret was read the first time and after each change of it;
// several changes may fire once.
func (k *HeartbeatKeys) Changed() <-chan struct{} { return k.secrets.Changed() }

// Ring is the keys as they are now, in their order: the first signs, all are accepted.
// An error says why there are none to take and what to do about it: those that were
// taken before should stay in force.
func (k *HeartbeatKeys) Ring() ([][]byte, error) {
	keyring, err := k.Keyring()
	if err != nil {
		return nil, err
	}
	if len(keyring.Keys) == 0 {
		return nil, fmt.Errorf("Secret %s has no key yet (the controller makes the first; if it does not, its log says why)", k.name())
	}
	ring := make([][]byte, len(keyring.Keys))
	for i, key := range keyring.Keys {
		ring[i] = key.Secret
	}
	return ring, nil
}

// Keyring is all that the Secret holds now. That of a Secret as it was installed has no
// keys and is no error.
func (k *HeartbeatKeys) Keyring() (Keyring, error) {
	data, annotations, version, state := k.secrets.whole(HeartbeatKeysSecret)
	switch state {
	case SecretUnknown:
		return Keyring{}, fmt.Errorf("Secret %s was not read yet (is the API server reachable?)", k.name())
	case SecretForbidden:
		return Keyring{}, fmt.Errorf("Secret %s may not be read (apply the install.yaml of this version: its Roles allow it)", k.name())
	case SecretMissing:
		return Keyring{}, fmt.Errorf("Secret %s is not there (apply install.yaml: it has an empty one, which the controller fills)", k.name())
	}
	out := Keyring{Rotate: annotations[rotateAnnotation], Rotated: annotations[rotatedAnnotation], version: version}
	// Whoever edits the date away loses no key: how long they have been these is then
	// counted from now.
	out.Since, _ = time.Parse(time.RFC3339, annotations[sinceAnnotation])
	text, there := data[keyringField]
	if !there {
		return out, nil
	}
	var err error
	if out.Keys, err = parseKeyring(text); err != nil {
		return Keyring{}, fmt.Errorf("read the field %s of Secret %s: %w", keyringField, k.name(), err)
	}
	return out, nil
}

// Write puts a keyring in the place of the one that it was read as. It is
// ErrKeyringChanged where the Secret is not as it was read any more.
func (k *HeartbeatKeys) Write(ctx context.Context, ring Keyring) error {
	patch := map[string]any{
		"metadata": map[string]any{
			// Who wrote in between must not be overwritten: the API server compares.
			"resourceVersion": ring.version,
			"annotations": map[string]string{
				sinceAnnotation:   ring.Since.UTC().Format(time.RFC3339),
				rotatedAnnotation: ring.Rotated,
			},
		},
		"data": map[string][]byte{keyringField: formatKeyring(ring.Keys)},
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("write the keys of heartbeats: %w", err)
	}
	_, err = k.client.CoreV1().Secrets(k.namespace).Patch(ctx, HeartbeatKeysSecret, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "fairlead"})
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("write the keys of heartbeats into Secret %s: %w", k.name(), ErrKeyringChanged)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("write the keys of heartbeats into Secret %s: %w (apply the install.yaml of this version: the Role of the controller allows it)", k.name(), discreet(err, ring))
	case err != nil:
		return fmt.Errorf("write the keys of heartbeats into Secret %s: %w", k.name(), discreet(err, ring))
	}
	return nil
}

func (k *HeartbeatKeys) name() string { return k.namespace + "/" + HeartbeatKeysSecret }

// discreet takes the text away from an error that quotes a key: an admission webhook
// may answer with all that it was asked about.
func discreet(err error, ring Keyring) error {
	text := err.Error()
	field := base64.StdEncoding.EncodeToString(formatKeyring(ring.Keys))
	for _, key := range ring.Keys {
		if strings.Contains(text, field) || strings.Contains(text, base64.StdEncoding.EncodeToString(key.Secret)) {
			return fmt.Errorf("the API server refused it (%s; its answer has a key and is not shown)", apierrors.ReasonForError(err))
		}
	}
	return err
}
