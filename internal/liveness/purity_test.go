package liveness

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// The machine is in one package with its sockets, so this and no import rule keeps
// clock, chance and goroutines out of it.
func TestMachineIsPure(t *testing.T) {
	allowed := []string{"bytes", "cmp", "fmt", "math", "slices", "time"}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, name := range []string{"machine.go", "receive.go", "judge.go", "group.go", "newsexchange.go", "quorum.go", "neighbour.go", "timing.go"} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s: let the mesh do it", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt:
				t.Errorf("%s: concurrency belongs in the mesh", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s uses time.%s: let the caller pass the time", fset.Position(n.Pos()), n.Sel.Name)
				}
			case *ast.RangeStmt:
				if s, ok := n.X.(*ast.SelectorExpr); ok && s.Sel.Name == "byID" {
					t.Errorf("%s: the order of a map is chance; peers is sorted", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
