package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/deploy"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

// The pages that people write are held to the code where a test can do it.

// documents are all Markdown files of the repository by path, with their text.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "dist" || name == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		out[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksBetweenPagesLeadSomewhere(t *testing.T) {
	all := documents(t)
	for path, text := range all {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", path, found[1])
				continue
			}
			if anchor != "" && !hasAnchor(all[file], anchor) {
				t.Errorf("%s links to %s, but %s has no such heading", path, found[1], file)
			}
		}
	}
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// hasAnchor makes anchors of headings as GitHub does.
func hasAnchor(text, anchor string) bool {
	if strings.Contains(text, `<a id="`+anchor+`">`) {
		return true
	}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		slug := notSlug.ReplaceAllString(strings.ToLower(h[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}

var yamlBlock = regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```")

func TestExamplesAreObjectsThatExist(t *testing.T) {
	examples := 0
	for path, text := range documents(t) {
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			for _, one := range strings.Split(block[1], "\n---\n") {
				examples++
				checkExample(t, path, one)
			}
		}
	}
	if examples == 0 {
		t.Error("no example was found: did the code fences change?")
	}
}

func checkExample(t *testing.T, path, text string) {
	t.Helper()
	var kind struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
		t.Errorf("%s: an example is not YAML: %v\n%s", path, err, text)
		return
	}
	switch {
	case kind.Kind == "AddressPool":
		var pool v1alpha1.AddressPool
		if err := yaml.UnmarshalStrict([]byte(text), &pool); err != nil {
			t.Errorf("%s: %v\n%s", path, err, text)
		}
		if p := kube.PoolFrom(&pool); p.Problem != nil {
			t.Errorf("%s: %s\n%s", path, p.Problem.Message(), text)
		}
	case kind.Kind == "LoadBalancerClass":
		var class v1alpha1.LoadBalancerClass
		if err := yaml.UnmarshalStrict([]byte(text), &class); err != nil {
			t.Errorf("%s: %v\n%s", path, err, text)
		}
		if c := kube.ClassFrom(&class); c.Problem != nil {
			t.Errorf("%s: %s\n%s", path, c.Problem.Message(), text)
		}
	case strings.HasPrefix(kind.APIVersion, "fairlead.dev/"):
		t.Errorf("%s: there is no kind %q\n%s", path, kind.Kind, text)
	}
}

func TestEveryNameThatUsersWriteIsInTheReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "reference", "annotations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		kube.AnnotationAddresses, kube.AnnotationPool, kube.AnnotationSharingKey, v1alpha1.ConfirmAnnotation,
		kube.AnnotationLoadBalancerID, kube.AnnotationLoadBalancerAddress,
		kube.ConditionReady, kube.ConditionCloud, v1alpha1.ConditionAccepted, kube.Finalizer, kube.PoolFinalizer,
		lb.ClassPrefix, lb.ImplicitClass,
		deploy.DefaultNamespace, deploy.Controller, deploy.Speaker, deploy.SpeakersService,
	} {
		if !strings.Contains(string(text), name) {
			t.Errorf("docs/reference/annotations.md does not mention %s", name)
		}
	}
}

var reasonCode = regexp.MustCompile("`([A-Z][a-z]+(?:[A-Z][A-Za-z]*)+)`")

func TestEveryReasonInTheGuidesExists(t *testing.T) {
	known := make(map[string]bool)
	for _, r := range lb.Reasons() {
		known[string(r.Reason)] = true
	}
	// Other words that look like a Reason.
	for _, word := range []string{
		"AddressPool", "LoadBalancerClass", "LoadBalancer", "NoInterface", "DaemonSet", "EndpointSlice", "PreferDualStack",
		"RequireDualStack", "SingleStack", "NotReady", "ClusterIP", "NodePort", "ExternalName", "BGPPeer", "NeutronVIP",
		kube.ReasonNodeGone, "EndpointsWithdrawn", "EndpointsRestored",
	} {
		known[word] = true
	}
	for path, text := range documents(t) {
		if !strings.Contains(path, filepath.Join("docs", "guides")) {
			continue
		}
		for _, found := range reasonCode.FindAllStringSubmatch(text, -1) {
			if !known[found[1]] {
				t.Errorf("%s speaks of %s, which is no Reason (if it need not be one, add it to the list here)", path, found[1])
			}
		}
	}
}

var makeCall = regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z-]+)")

func TestEveryMakeTargetInTheDocumentsExists(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range documents(t) {
		for _, found := range makeCall.FindAllStringSubmatch(onlyCode(text), -1) {
			if !regexp.MustCompile(`(?m)^` + found[1] + `( [^:=]*)?:`).Match(makefile) {
				t.Errorf("%s tells to run make %s, which the Makefile does not have", path, found[1])
			}
		}
	}
}

var codeSpan = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")

// onlyCode is what stands in code spans and blocks.
func onlyCode(text string) string { return strings.Join(codeSpan.FindAllString(text, -1), "\n") }
