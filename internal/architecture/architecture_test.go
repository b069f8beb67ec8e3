// Package architecture_test holds the repository to its own rules (ARCHITECTURE.md,
// "Packages"), with nothing but the Go toolchain. The linter has the same rules on
// imports in .golangci.yml, for editors; this test is the one that counts.
package architecture_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "fairlead.dev/fairlead"

// goPackage is what go list tells of a package of ours.
type goPackage struct {
	ImportPath, Dir, Name string
	GoFiles               []string
	Imports               []string
}

// path is the package's folder in the repository.
func (p goPackage) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

var list = sync.OnceValues(func() ([]goPackage, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

// packages are all of the module, tests apart.
func packages(t *testing.T) []goPackage {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(all) < 10 {
		t.Fatalf("go list knows %d packages only: the rules would hold nothing", len(all))
	}
	return all
}

// below tells whether a path is one of the folders, or inside one.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// rule forbids imports, with the reason that its breaker is told.
type rule struct {
	name   string
	of     func(path string) bool // packages that it is about
	denies func(imported string) bool
	reason string
	breach [2]string // a package and an import that the rule must find
}

func inside(folders ...string) func(string) bool {
	return func(path string) bool { return below(path, folders...) }
}

func outside(folders ...string) func(string) bool {
	return func(path string) bool { return !below(path, folders...) }
}

// ours tells whether an import is of this module but of none of the folders.
func oursBut(folders ...string) func(string) bool {
	return func(imported string) bool {
		path, ours := strings.CutPrefix(imported, module+"/")
		return ours && !below(path, folders...)
	}
}

func oursIn(folders ...string) func(string) bool {
	return func(imported string) bool {
		path, ours := strings.CutPrefix(imported, module+"/")
		return ours && below(path, folders...)
	}
}

// standard tells an import of the standard library by its first element, which is
// no domain.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// core holds the nouns and the decisions.
var core = []string{"internal/lb", "internal/plan", "internal/compat/occm"}

var rules = []rule{
	{
		name:   "the core stands alone",
		of:     inside(core...),
		denies: func(i string) bool { return !standard(i) && !oursIn(core...)(i) },
		reason: "decisions are pure and last longer than any library: they import the standard library and each other",
		breach: [2]string{"internal/plan", "github.com/spf13/cobra"},
	},
	{
		name: "the core does nothing",
		of:   inside(append(core, "internal/announce/claims")...),
		denies: func(i string) bool {
			return slices.Contains([]string{"context", "os", "os/exec", "math/rand", "math/rand/v2", "net/http", "log", "log/slog", "syscall", "sync"}, i)
		},
		reason: "the same world must lead to the same decision: no I/O, no chance, no goroutine, and the loop alone logs",
		breach: [2]string{"internal/announce/claims", "context"},
	},
	{
		name:   "nouns do not know decisions",
		of:     inside("internal/lb"),
		denies: oursBut("internal/lb"),
		reason: "everything imports lb; if it imported anything of ours there would be a cycle",
		breach: [2]string{"internal/lb", module + "/internal/plan"},
	},
	{
		name: "Kubernetes stays at the edge",
		of:   outside("api", "cmd", "deploy", "docs", "lab", "bench", "internal/kube", "internal/controller", "internal/speaker"),
		denies: func(i string) bool {
			return strings.HasPrefix(i, "k8s.io/") || strings.HasPrefix(i, "sigs.k8s.io/controller-runtime")
		},
		reason: "kube turns Kubernetes objects into lb values, and the roles wire its client; everything else would work in any cluster manager",
		breach: [2]string{"internal/announce/link", "k8s.io/client-go/rest"},
	},
	{
		name:   "roles know Kubernetes by its connection only",
		of:     inside("internal/controller", "internal/speaker"),
		denies: func(i string) bool { return strings.HasPrefix(i, "k8s.io/api") || oursIn("api")(i) },
		reason: "an object in a role is a conversion that belongs in kube",
		breach: [2]string{"internal/speaker", "k8s.io/api/core/v1"},
	},
	{
		name:   "announce knows no other rim",
		of:     inside("internal/announce"),
		denies: oursBut("internal/announce", "internal/lb"),
		reason: "rim folders meet in the roles: what one needs of another comes in as an lb value",
		breach: [2]string{"internal/announce/arp", module + "/internal/kube"},
	},
	{
		name:   "kube knows no other rim",
		of:     inside("internal/kube"),
		denies: oursBut("internal/kube", "internal/lb", "api"),
		reason: "rim folders meet in the roles: what one needs of another comes in as an lb value",
		breach: [2]string{"internal/kube", module + "/internal/announce"},
	},
	{
		name:   "relay, stray, liveness and fence know no other rim",
		of:     inside("internal/relay", "internal/stray", "internal/nft", "internal/liveness", "internal/fence"),
		denies: oursBut("internal/relay", "internal/stray", "internal/nft", "internal/liveness", "internal/fence", "internal/lb"),
		reason: "rim folders meet in the roles: what one needs of another comes in as an lb value",
		breach: [2]string{"internal/relay", module + "/internal/announce"},
	},
	{
		name:   "cloud knows no other rim",
		of:     inside("internal/cloud"),
		denies: oursBut(append(core, "internal/cloud", "internal/version")...),
		reason: "rim folders meet in the roles: what one needs of another comes in as an lb value",
		breach: [2]string{"internal/cloud/openstack/access", module + "/internal/kube"},
	},
	{
		name:   "OpenStack stays in its cloud",
		of:     outside("internal/cloud", "lab", "bench"),
		denies: func(i string) bool { return strings.HasPrefix(i, "github.com/gophercloud/") },
		reason: "what the cloud says becomes lb values in internal/cloud; roles and commands hold clients without looking inside",
		breach: [2]string{"internal/controller", "github.com/gophercloud/gophercloud/v2"},
	},
	{
		name:   "fakes are for tests",
		of:     outside("internal/cloud/openstack/fake", "internal/cloud/openstack/conformance", "lab", "bench"),
		denies: oursIn("internal/cloud/openstack/fake", "internal/cloud/openstack/conformance"),
		reason: "a program that carries a fake cloud could use it by mistake",
		breach: [2]string{"cmd/fairlead", module + "/internal/cloud/openstack/fake"},
	},
	{
		name: "claims opens no socket",
		of:   inside("internal/announce/claims", "internal/announce/arp", "internal/announce/ndp", "internal/announce/ether"),
		denies: func(i string) bool {
			return strings.HasPrefix(i, "golang.org/x/sys") || strings.Contains(i, "netlink") || strings.Contains(i, "mdlayher")
		},
		reason: "what is said and when is tested without a kernel; announce and link have the sockets",
		breach: [2]string{"internal/announce/claims", "golang.org/x/sys/unix"},
	},
	{
		name:   "status shows what the plan says",
		of:     inside("internal/status"),
		denies: oursBut("internal/status", "internal/lb", "internal/plan"),
		reason: "a command that knew more than the plan could tell another story than the controller",
		breach: [2]string{"internal/status", module + "/internal/kube"},
	},
	{
		name:   "the controller does not know the speaker",
		of:     inside("internal/controller"),
		denies: oursIn("internal/speaker", "internal/announce"),
		reason: "roles meet in the API server; a change of one must not change the other",
		breach: [2]string{"internal/controller", module + "/internal/announce/link"},
	},
	{
		name:   "the speaker does not know the controller",
		of:     inside("internal/speaker"),
		denies: oursIn("internal/controller"),
		reason: "roles meet in the API server; a change of one must not change the other",
		breach: [2]string{"internal/speaker", module + "/internal/controller"},
	},
	{
		name:   "the API can be imported by anybody",
		of:     inside("api"),
		denies: oursBut("api"),
		reason: "other programs import the types, and must not get the whole of Fairlead with them",
		breach: [2]string{"api/v1alpha1", module + "/internal/lb"},
	},
	{
		name:   "nothing depends on wiring, tools or the lab",
		of:     inside("api", "internal"),
		denies: oursIn("cmd", "deploy", "docs", "lab", "bench"),
		reason: "dependencies point from cmd over roles and rim to the core, and never back",
		breach: [2]string{"internal/kube", module + "/deploy"},
	},
	{
		name:   "the program carries no lab",
		of:     inside("cmd", "deploy"),
		denies: oursIn("lab", "bench"),
		reason: "what runs a Kubernetes for tests must not be in a production binary",
		breach: [2]string{"cmd/fairlead", module + "/lab/build"},
	},
	{
		name:   "nothing that the standard library replaced",
		of:     outside(),
		denies: func(i string) bool { return i == "github.com/pkg/errors" || i == "io/ioutil" },
		reason: "the standard library has it: errors and fmt with %w, os and io",
		breach: [2]string{"lab", "io/ioutil"},
	},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, p := range packages(t) {
				if !r.of(p.path()) {
					continue
				}
				for _, imported := range p.Imports {
					if r.denies(imported) {
						t.Errorf("%s imports %s: %s", p.path(), imported, r.reason)
					}
				}
			}
		})
	}
}

// A rule that finds nothing is worse than none.
func TestRulesFindTheirBreach(t *testing.T) {
	for _, r := range rules {
		if !r.of(r.breach[0]) || !r.denies(r.breach[1]) {
			t.Errorf("the rule %q lets %s import %s", r.name, r.breach[0], r.breach[1])
		}
	}
}

// A rule about a folder that is gone holds nothing and nobody notices.
func TestRulesAreAboutPackagesThatExist(t *testing.T) {
	for _, r := range rules {
		if !slices.ContainsFunc(packages(t), func(p goPackage) bool { return r.of(p.path()) }) {
			t.Errorf("the rule %q is about no package", r.name)
		}
	}
	for _, folder := range core {
		if !slices.ContainsFunc(packages(t), func(p goPackage) bool { return p.path() == folder }) {
			t.Errorf("%s is named as core and does not exist", folder)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		var docs, files []string
		for _, name := range p.GoFiles {
			if text := packageDoc(t, filepath.Join(p.Dir, name)); text != "" {
				docs, files = append(docs, text), append(files, name)
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s has %d package docs %v: write one, so that a newcomer knows where to look", p.path(), len(docs), files)
			continue
		}
		opening := "Package " + p.Name + " "
		if p.Name == "main" {
			opening = "Command " + filepath.Base(p.Dir) + " "
		}
		if !strings.HasPrefix(docs[0], opening) {
			first, _, _ := strings.Cut(docs[0], "\n")
			t.Errorf("the doc of %s begins %q: begin with %q and one sentence a newcomer can repeat", p.path(), first, opening)
		}
	}
}

func packageDoc(t *testing.T, path string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file.Doc.Text()
}

func TestNoPackageIsADrawer(t *testing.T) {
	drawers := []string{"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "base", "shared", "types", "pkg"}
	for _, p := range packages(t) {
		for _, element := range strings.Split(p.path(), "/") {
			if slices.Contains(drawers, element) {
				t.Errorf("%s: %q says nothing of what is inside; name it for the noun it holds", p.path(), element)
			}
		}
	}
}

// Time comes in as a value: a decision that looks at the clock cannot be tested
// without waiting, nor repeated.
func TestDecisionsHaveNoClock(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, p := range packages(t) {
		if !below(p.path(), append(core, "internal/announce/claims")...) {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, s.Sel.Name) {
					t.Errorf("%s uses time.%s: let the caller pass the time", fset.Position(n.Pos()), s.Sel.Name)
				}
				return true
			})
		}
	}
}

// Nobody waits by sleeping in what runs in production: a sleep cannot be ended by a
// context, and hides what is waited for.
func TestNothingSleeps(t *testing.T) {
	for _, p := range packages(t) {
		if !below(p.path(), "cmd", "internal") {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
						t.Errorf("%s sleeps: wait for a channel, a timer or ctx.Done()", fset.Position(n.Pos()))
					}
				}
				return true
			})
		}
	}
}

// The version of Go is named in one place that counts, go.mod; this keeps the
// documents' claim true.
func TestModuleIsWhatTheDocumentsSay(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-json=Path,GoVersion").Output()
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Path, GoVersion string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	minor, _ := strconv.Atoi(strings.Split(m.GoVersion, ".")[1])
	if m.Path != module || minor < 26 {
		t.Errorf("go.mod says module %s, Go %s; README.md says %s and Go 1.26", m.Path, m.GoVersion, module)
	}
}
