package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root is the repository, as seen from the tests of this package.
const root = "../.."

func TestGeneratedPagesAreCurrent(t *testing.T) {
	for _, p := range pages {
		t.Run(p.name, func(t *testing.T) {
			if p.name == "cli.md" && testing.Short() {
				t.Skip("builds the program")
			}
			want, err := p.write(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(root, "docs", "reference", p.name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("the page is stale: go run ./docs/generate (-generated +committed):\n%s", diff)
			}
		})
	}
}
