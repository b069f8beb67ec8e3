package main

import (
	"encoding/json"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func listed(t *testing.T) document {
	t.Helper()
	info := &debug.BuildInfo{
		GoVersion: "go1.26.1",
		Main:      debug.Module{Path: "fairlead.dev/fairlead", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "github.com/BurntSushi/toml", Version: "v1.0.0", Sum: "h1:abc="},
			{Path: "example.org/a_b", Version: "v2.0.0+incompatible"},
			{Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/new", Version: "v1.1.0"}},
		},
	}
	text, err := spdx(info, subject{version: "v1.2.3", arch: "amd64", sha256: [32]byte{0xfe}})
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheListNamesEveryModuleAsDatabasesDo(t *testing.T) {
	var got []string
	for _, p := range listed(t).Packages {
		got = append(got, p.Name+" "+p.VersionInfo+" "+p.ExternalRefs[0].Locator+" "+p.SourceInfo)
	}
	want := []string{
		"fairlead v1.2.3 pkg:golang/fairlead.dev/fairlead@v1.2.3 ",
		"stdlib 1.26.1 pkg:golang/stdlib@1.26.1 ",
		"github.com/BurntSushi/toml v1.0.0 pkg:golang/github.com/burntsushi/toml@v1.0.0 go.sum has h1:abc=",
		"example.org/a_b v2.0.0+incompatible pkg:golang/example.org/a_b@v2.0.0%2Bincompatible ",
		"example.org/new v1.1.0 pkg:golang/example.org/new@v1.1.0 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestTheListHasWhatSPDXRequires(t *testing.T) {
	doc := listed(t)
	if doc.Version != "SPDX-2.3" || doc.DataLicense != "CC0-1.0" || doc.ID != "SPDXRef-DOCUMENT" || doc.Creation.Created != "1970-01-01T00:00:00Z" || len(doc.Creation.Creators) == 0 {
		t.Errorf("head: %+v", doc)
	}
	sum := "fe" + strings.Repeat("00", 31)
	if !strings.HasSuffix(doc.Namespace, "fairlead-v1.2.3-linux-amd64-"+sum) || doc.Packages[0].Checksums[0].Value != sum {
		t.Errorf("the binary is not identified: %s, %+v", doc.Namespace, doc.Packages[0])
	}
	id := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	ids := map[string]bool{doc.ID: true}
	for _, p := range doc.Packages {
		if !id.MatchString(p.ID) || ids[p.ID] {
			t.Errorf("%q is malformed or there twice", p.ID)
		}
		ids[p.ID] = true
		if p.DownloadLocation == "" || p.LicenseConcluded == "" || p.LicenseDeclared == "" || p.Copyright == "" {
			t.Errorf("%s leaves out what must be asserted or not: %+v", p.Name, p)
		}
	}
	for _, r := range doc.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("%+v relates what is not there", r)
		}
	}
	if len(doc.Relationships) != len(doc.Packages) {
		t.Errorf("%d relationships for %d packages", len(doc.Relationships), len(doc.Packages))
	}
}
