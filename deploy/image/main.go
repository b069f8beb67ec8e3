// Command image makes Fairlead's container image without Docker: it compiles the
// binary, packs it, and says what is in it.
//
//	go run ./deploy/image -o bin/image -arch amd64,arm64
//
// writes, for each architecture, an archive that ctr images import, docker load and
// kind load take (fairlead-amd64.tar), and a list of what it was made of
// (fairlead-amd64.spdx.json); and for all of them together an OCI layout (oci/) that
// crane push and skopeo copy take to a registry.
//
// The same source and the same Go give the same bytes, on any machine: no clock, no
// user and no path of the machine goes in.
//
// The image holds the binary and a user. The cluster's own CA comes with the
// ServiceAccount; the public ones, for clouds, are in the binary, from a pinned module
// and not from the machine that builds, or two machines would make two images.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/version"
)

// order is what is asked for on the command line.
type order struct {
	out     string   // folder to write into
	name    string   // image name without its tag
	version string   // becomes the tag
	pkg     string   // main package to compile
	archs   []string // GOARCH
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, parseFlags()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func parseFlags() order {
	var o order
	flag.StringVar(&o.out, "o", "bin/image", "folder to write into")
	flag.StringVar(&o.name, "name", "fairlead.dev/fairlead", "name of the image, without its tag")
	flag.StringVar(&o.version, "version", version.Version, "version: the tag, and what the binary says of itself")
	flag.StringVar(&o.pkg, "package", "./cmd/fairlead", "main package to compile")
	archs := flag.String("arch", "amd64,arm64", "architectures, by their GOARCH, separated by commas")
	flag.Parse()
	o.archs = strings.Split(*archs, ",")
	return o
}

// run makes everything that is ordered, and prints a line for each file.
func run(ctx context.Context, o order) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	var built []platformImage
	for _, arch := range o.archs {
		fmt.Printf("compile %s for linux/%s\n", o.pkg, arch)
		image, err := one(ctx, o, arch)
		if err != nil {
			return fmt.Errorf("linux/%s: %w", arch, err)
		}
		built = append(built, image)
	}
	path := filepath.Join(o.out, "oci")
	digest, err := writeLayout(path, o.name+":"+o.version, built)
	if err != nil {
		return err
	}
	fmt.Printf("%s  %s:%s@%s\n", path, o.name, o.version, digest)
	return nil
}

// one makes the image of one architecture, its archive and its list of parts.
func one(ctx context.Context, o order, arch string) (platformImage, error) {
	binary, err := compile(ctx, ".", o.pkg, o.version, arch)
	if err != nil {
		return platformImage{}, err
	}
	image, err := assemble(binary, arch, o.version)
	if err != nil {
		return platformImage{}, err
	}
	archive := filepath.Join(o.out, "fairlead-"+arch+".tar")
	if err := writeArchive(archive, o.name+":"+o.version, image); err != nil {
		return platformImage{}, err
	}
	fmt.Printf("%s  %s:%s\n", archive, o.name, o.version)

	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return platformImage{}, fmt.Errorf("read which modules are in the binary: %w", err)
	}
	parts := filepath.Join(o.out, "fairlead-"+arch+".spdx.json")
	text, err := spdx(info, subject{version: o.version, arch: arch, sha256: sha256.Sum256(binary)})
	if err != nil {
		return platformImage{}, err
	}
	if err := os.WriteFile(parts, text, 0o644); err != nil {
		return platformImage{}, fmt.Errorf("write the list of parts: %w", err)
	}
	fmt.Printf("%s  %d modules\n", parts, len(info.Deps)+1)
	return platformImage{arch: arch, image: image}, nil
}
