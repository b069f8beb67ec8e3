// Command render writes what package deploy describes into one YAML file.
//
//	go run ./deploy/render -o deploy/install.yaml
//	go run ./deploy/render -set dead-node-endpoints -o deploy/dead-node-endpoints.yaml
package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/deploy"
)

// set is a file: what it is for, and what is in it.
type set struct {
	title   string
	objects func(deploy.Options) ([]client.Object, error)
}

var sets = map[string]set{
	"install":             {"Everything that Fairlead installs: kubectl apply -f install.yaml", deploy.Manifests},
	"dead-node-endpoints": {"The rights that the controller needs for --dead-node-endpoints: kubectl apply -f dead-node-endpoints.yaml", deploy.DeadNodeEndpoints},
}

const notice = "# Generated from package deploy by go generate ./deploy: change that, not this.\n"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run() error {
	var o deploy.Options
	out := flag.String("o", "", "file to write; standard output without")
	flag.StringVar(&o.Image, "image", deploy.DefaultImage(), "image of controller and speaker, with its tag")
	flag.StringVar(&o.Namespace, "namespace", deploy.DefaultNamespace, "namespace that they run in")
	which := flag.String("set", "install", "what to render: "+strings.Join(slices.Sorted(maps.Keys(sets)), " or "))
	flag.Parse()

	chosen, known := sets[*which]
	if !known {
		return fmt.Errorf("there is no set %q (see -help)", *which)
	}
	objects, err := chosen.objects(o)
	if err != nil {
		return err
	}
	text := bytes.NewBufferString("# " + chosen.title + "\n" + notice)
	if err := deploy.Write(text, objects); err != nil {
		return err
	}
	if *out == "" {
		_, err := os.Stdout.Write(text.Bytes())
		return err
	}
	return os.WriteFile(*out, text.Bytes(), 0o644)
}
