// Command render writes what package deploy describes into one YAML file.
//
//	go run ./deploy/render -o deploy/install.yaml
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"fairlead.dev/fairlead/deploy"
)

const header = `# Everything that Fairlead installs: kubectl apply -f install.yaml
# Generated from package deploy by go generate ./deploy: change that, not this.
`

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
	flag.Parse()

	objects, err := deploy.Manifests(o)
	if err != nil {
		return err
	}
	text := bytes.NewBufferString(header)
	if err := deploy.Write(text, objects); err != nil {
		return err
	}
	if *out == "" {
		_, err := os.Stdout.Write(text.Bytes())
		return err
	}
	return os.WriteFile(*out, text.Bytes(), 0o644)
}
