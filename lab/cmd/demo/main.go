// Command demo runs the demo (see package lab/demo) on what make builds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"fairlead.dev/fairlead/lab/demo"
)

func main() {
	o := demo.Options{Out: os.Stdout}
	flag.StringVar(&o.Name, "name", "demo", "name of the lab")
	flag.StringVar(&o.Image, "image", "bin/image/fairlead-"+runtime.GOARCH+".tar", "image archive of Fairlead")
	flag.StringVar(&o.Manifest, "manifest", "deploy/install.yaml", "manifests of Fairlead")
	flag.StringVar(&o.Program, "program", "bin/fairlead", "binary of Fairlead")
	flag.BoolVar(&o.Keep, "keep", false, "leave the cluster running")
	cloud := flag.Bool("openstack", false, "tell the story of a Service that becomes an OpenStack load balancer")
	dir := flag.String("dir", os.Getenv("FAIRLEAD_OPENSTACK_DIR"), "with -openstack: where the cloud is; one that runs there is used, and stays")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *cloud {
		_, err = demo.RunCloud(ctx, demo.CloudOptions{Options: o, Dir: *dir})
	} else {
		_, err = demo.Run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
