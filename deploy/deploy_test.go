package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// manifests are those of an installation as install.yaml has it.
func manifests(t *testing.T) []client.Object {
	t.Helper()
	objects, err := Manifests(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// of gives the objects of one type.
func of[T client.Object](objects []client.Object) []T {
	var out []T
	for _, object := range objects {
		if o, ok := object.(T); ok {
			out = append(out, o)
		}
	}
	return out
}

func TestInstallYAMLIsCurrent(t *testing.T) {
	fresh := filepath.Join(t.TempDir(), "install.yaml")
	if out, err := exec.CommandContext(t.Context(), "go", "run", "./render", "-o", fresh).CombinedOutput(); err != nil {
		t.Fatalf("render: %v\n%s", err, out)
	}
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("install.yaml is stale: run go generate ./deploy (-generated +committed):\n%s", diff)
	}
}

func TestWhatIsWrittenIsReadBackTheSame(t *testing.T) {
	want := manifests(t)
	text := &bytes.Buffer{}
	if err := Write(text, want); err != nil {
		t.Fatal(err)
	}
	var got []client.Object
	documents := utilyaml.NewYAMLReader(bufio.NewReader(text))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if object := readStrictly(t, document); object != nil {
			got = append(got, object)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d objects are read back of %d", len(got), len(want))
	}
	for i := range want {
		if !equality.Semantic.DeepEqual(want[i], got[i]) {
			t.Errorf("%s (-want +got):\n%s", name(want[i]), cmp.Diff(want[i], got[i]))
		}
	}
}

// readStrictly reads a document into its Go type, which must know every field.
func readStrictly(t *testing.T, document []byte) client.Object {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		t.Fatal(err)
	}
	if kind.Kind == "" {
		return nil
	}
	object, err := scheme.New(kind.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		t.Fatalf("%s: %v\n%s", kind.Kind, err, document)
	}
	return object.(client.Object)
}

func TestTheSameObjectsGiveTheSameBytes(t *testing.T) {
	var first, second bytes.Buffer
	if err := errors.Join(Write(&first, manifests(t)), Write(&second, manifests(t))); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.String(), second.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOptionsReachEveryObject(t *testing.T) {
	objects, err := Manifests(Options{Image: "registry.example/f:1", Namespace: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := Write(&text, objects); err != nil {
		t.Fatal(err)
	}
	for _, unwanted := range []string{DefaultNamespace, DefaultImage()} {
		if strings.Contains(text.String(), unwanted) {
			t.Errorf("%q is still named", unwanted)
		}
	}
	if got := strings.Count(text.String(), "image: registry.example/f:1\n"); got != 2 {
		t.Errorf("%d containers have the image, want 2", got)
	}
}

func TestEveryObjectHasItsKindAndAppliesInOrder(t *testing.T) {
	var kinds []string
	for _, object := range manifests(t) {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	if got := strings.Join(kinds[:2], " "); got != "CustomResourceDefinition Namespace" {
		t.Errorf("what is first: %s; want the kinds, then the namespace that the rest is in", got)
	}
}

func TestSelectorsFindTheirPods(t *testing.T) {
	objects := manifests(t)
	controller := of[*appsv1.Deployment](objects)[0]
	speaker := of[*appsv1.DaemonSet](objects)[0]
	service := of[*corev1.Service](objects)[0]
	if diff := cmp.Diff(controller.Spec.Selector.MatchLabels, controller.Spec.Template.Labels); diff != "" {
		t.Errorf("controller (-selector +pod):\n%s", diff)
	}
	if diff := cmp.Diff(speaker.Spec.Selector.MatchLabels, speaker.Spec.Template.Labels); diff != "" {
		t.Errorf("speaker (-selector +pod):\n%s", diff)
	}
	if diff := cmp.Diff(service.Spec.Selector, speaker.Spec.Template.Labels); diff != "" {
		t.Errorf("service %s (-selector +pod):\n%s", service.Name, diff)
	}
}
