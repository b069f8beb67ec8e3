package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// subject is the binary that a list of parts is about.
type subject struct {
	version string
	arch    string // GOARCH
	sha256  [32]byte
}

// document is SPDX 2.3 in JSON, as far as a Go binary needs it.
// Source: https://spdx.github.io/spdx-spec/v2.3/
type document struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []spdxPackage  `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	FileName         string        `json:"packageFileName,omitempty"`
	Purpose          string        `json:"primaryPackagePurpose,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	SourceInfo       string        `json:"sourceInfo,omitempty"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	Copyright        string        `json:"copyrightText"`
	ExternalRefs     []externalRef `json:"externalRefs"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

const (
	documentID = "SPDXRef-DOCUMENT"
	subjectID  = "SPDXRef-fairlead"
	unknown    = "NOASSERTION"
)

// spdx lists what a binary was made of, by what its linker wrote into it: the
// modules that are really in it, not those that go.mod names. The licences of other
// modules are not asserted: nobody read them.
func spdx(info *debug.BuildInfo, s subject) ([]byte, error) {
	sum := hex.EncodeToString(s.sha256[:])
	doc := document{
		Version:     "SPDX-2.3",
		DataLicense: "CC0-1.0",
		ID:          documentID,
		Name:        fmt.Sprintf("fairlead-%s-linux-%s", s.version, s.arch),
		// It must differ between documents that differ, and the binary's sum does.
		Namespace: fmt.Sprintf("https://fairlead.dev/spdx/fairlead-%s-linux-%s-%s", s.version, s.arch, sum),
		Creation:  creation{Created: epoch.Format(time.RFC3339), Creators: []string{"Tool: fairlead-deploy-image-" + s.version}},
		Packages: []spdxPackage{{
			ID:               subjectID,
			Name:             "fairlead",
			VersionInfo:      s.version,
			FileName:         "fairlead",
			Purpose:          "APPLICATION",
			DownloadLocation: unknown,
			Checksums:        []checksum{{Algorithm: "SHA256", Value: sum}},
			LicenseConcluded: "Apache-2.0",
			LicenseDeclared:  "Apache-2.0",
			Copyright:        unknown,
			ExternalRefs:     purl(info.Main.Path, s.version),
		}},
		Relationships: []relationship{{From: documentID, Type: "DESCRIBES", To: subjectID}},
	}
	// The standard library comes with the toolchain; scanners look for this name.
	doc.add("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		doc.add(module.Path, module.Version, module.Sum)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the list of parts: %w", err)
	}
	return append(text, '\n'), nil
}

// add puts a module into the list; sum is its line in go.sum.
func (d *document) add(path, version, sum string) {
	p := spdxPackage{
		ID:               "SPDXRef-" + spdxID(path+"-"+version),
		Name:             path,
		VersionInfo:      version,
		DownloadLocation: unknown,
		LicenseConcluded: unknown,
		LicenseDeclared:  unknown,
		Copyright:        unknown,
		ExternalRefs:     purl(path, version),
	}
	if sum != "" {
		// Not a checksum in the sense of SPDX: it is a hash over a list of hashes.
		p.SourceInfo = "go.sum has " + sum
	}
	d.Packages = append(d.Packages, p)
	d.Relationships = append(d.Relationships, relationship{From: subjectID, Type: "DEPENDS_ON", To: p.ID})
}

// purl names a Go module as vulnerability databases do, in lower case
// (https://github.com/package-url/purl-spec, type golang).
func purl(path, version string) []externalRef {
	return []externalRef{{
		Category: "PACKAGE-MANAGER",
		Type:     "purl",
		Locator:  "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B"),
	}}
}

// spdxID keeps what an SPDX identifier may have: letters, digits, dots and dashes.
func spdxID(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, s)
}
