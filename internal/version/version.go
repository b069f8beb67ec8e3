// Package version knows which Fairlead this is.
//
// It is the one place: the commands print it, the manifests name the image by it,
// and a release sets it with the linker:
//
//	go build -ldflags "-X fairlead.dev/fairlead/internal/version.Version=v0.1.0"
package version

// Version is a semantic version with a leading v. It is a variable only because
// the linker can set nothing else.
var Version = "v0.1.0-dev"
