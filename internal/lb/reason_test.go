package lb

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

func TestEveryReasonIsDocumentedOnce(t *testing.T) {
	declared := reasonConstants(t)
	if len(declared) < 20 {
		t.Fatalf("reason.go declares %d reasons only: the test reads it wrongly", len(declared))
	}
	times := make(map[Reason]int)
	for _, d := range Reasons() {
		times[d.Reason]++
		for field, text := range map[string]string{"Object": d.Object, "Meaning": d.Meaning, "Remedy": d.Remedy} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s of %s is empty: its reader would not know what to do", field, d.Reason)
			}
		}
		for field, text := range map[string]string{"Meaning": d.Meaning, "Remedy": d.Remedy} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s of %s is no sentence: %q", field, d.Reason, text)
			}
		}
		if declared[string(d.Reason)] == "" {
			t.Errorf("Reasons() lists %q, which is no constant", d.Reason)
		}
	}
	for value, name := range declared {
		if n := times[Reason(value)]; n != 1 {
			t.Errorf("%s is in Reasons() %d times, want once", name, n)
		}
		if name != value {
			t.Errorf("constant %s has the value %q: people search for what they see", name, value)
		}
	}
}

// reasonConstants are the constants of type Reason in reason.go, name by value.
func reasonConstants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
			return true
		}
		for i, value := range spec.Values {
			text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out[text] = spec.Names[i].Name
		}
		return true
	})
	return out
}

func TestARefusalReadsAsOneSentence(t *testing.T) {
	r := Refuse(NoPorts, "add one", "spec.ports of %q is empty", "web")
	if got, want := r.Message(), `spec.ports of "web" is empty: add one`; got != want || r.Reason != NoPorts {
		t.Errorf("%s %q, want %q", r.Reason, got, want)
	}
	r = Refuse(BadAddresses, "", "entry 1: %s", "write 100% of it")
	if got, want := r.Message(), "entry 1: write 100% of it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
