package main

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
)

// passphrase is the password of the fake cloud's user: it must be in no output.
const passphrase = "Tr0ub4dor-and-3"

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// stage is a cluster of two nodes and a cloud whose configuration the class public
// names.
func stage(t *testing.T, o fake.Options, more string) (*apiServer, *fake.Cloud) {
	t.Helper()
	cloud := newCloud(t, o)
	cloud.SetPassword(passphrase)
	api := newAPIServer(t)
	api.addNode(cloud, "node-1", "10.0.0.11")
	api.addNode(cloud, "node-2", "10.0.0.12")
	api.addClass(conf(cloud, more))
	return api, cloud
}

// hushed fails where an output has a secret.
func hushed(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{passphrase, "app-secret", "gAAAA"} {
			if strings.Contains(text, secret) {
				t.Errorf("the output has a secret, %q:\n%s", secret, text)
			}
		}
	}
}

// unchanged fails where anything was changed in the cloud.
func unchanged(t *testing.T, cloud *fake.Cloud) {
	t.Helper()
	for _, c := range cloud.Mutations() {
		t.Errorf("a command that only looks did %s: %s", c.Route(), c.Body)
	}
}

// build lets a driver make what the cluster with the UID wants, as the controller does.
func (a *apiServer) build(t *testing.T, uid string) {
	t.Helper()
	flags := &clusterFlags{kubeconfig: a.kubeconfig, namespace: "fairlead-system"}
	s, err := flags.visit(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d := s.doors()[0]
	from, refusal := s.source(t.Context(), &d, &cloudFlags{})
	if refusal != nil {
		t.Fatal(refusal.Message())
	}
	open, err := access.Open(t.Context(), from, access.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	pace := octavia.DefaultPace()
	pace.Busy = 10 * time.Millisecond
	driver := octavia.New(octavia.Options{Cloud: "test", Pace: pace, Log: slog.New(slog.DiscardHandler)})
	driver.Connect(clients(open), nil)
	driver.Want(octavia.InputOf(octavia.Cluster{UID: uid, Name: "kubernetes"}, &s.world, d.services, open.Config, nil))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	var running sync.WaitGroup
	running.Go(func() {
		if err := driver.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			t.Fatalf("not built: %+v", driver.Built())
		case <-driver.Changed():
		}
		built := driver.Built()
		ready := 0
		for _, b := range built {
			if len(b.Addresses) > 0 && b.Trouble == nil {
				ready++
			}
		}
		if ready == len(d.services) {
			return
		}
	}
}

// ingress is the status of a Service with an address.
func ingress(address netip.Addr) []corev1.LoadBalancerIngress {
	return []corev1.LoadBalancerIngress{{IP: address.String()}}
}
