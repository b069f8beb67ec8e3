//go:build openstack

package openstack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// What a program does that knows the catalog only is seen by the tally, all of it.
func TestARegionLeadsThroughATally(t *testing.T) {
	c := cloud(t)
	tally, err := NewTally()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tally.Close(); err != nil {
			t.Error(err)
		}
	})
	name := fmt.Sprintf("tally-%d", os.Getpid())
	var there *Cloud
	for range 2 { // the second replaces the first
		if there, err = c.AddRegion(t.Context(), name, tally.Endpoints()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := c.RemoveRegion(context.WithoutCancel(t.Context()), name); err != nil {
			t.Error(err)
		}
	})
	if conf := string(there.CloudConf()); !strings.Contains(conf, "region="+name+"\n") || !strings.Contains(conf, "auth-url="+tally.Endpoints().Identity+"/v3\n") {
		t.Errorf("cloud.conf does not lead to the region:\n%s", conf)
	}
	s := as(t, c.Lab)
	octavia := tally.Endpoints().LoadBalancer + "/v2/lbaas/loadbalancers"
	if err := s.call(t.Context(), http.MethodGet, octavia+"?tags=x", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.call(t.Context(), http.MethodDelete, octavia+"/none", nil, nil); !isStatus(err, http.StatusNotFound) {
		t.Errorf("delete what does not exist: %v, want 404", err)
	}
	var got []string
	for _, call := range tally.Take() {
		got = append(got, fmt.Sprintf("%s %s %d poll=%t write=%t", call.Service, call.String(), call.Status, call.Poll(), call.Write()))
	}
	want := []string{
		"load-balancer GET /v2/lbaas/loadbalancers?tags=x 200 poll=true write=false",
		"load-balancer DELETE /v2/lbaas/loadbalancers/none 404 poll=false write=true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("seen: %q, want %q", got, want)
	}
}

func TestContentsAreWhatAProgramCouldLeaveBehind(t *testing.T) {
	c := cloud(t)
	before, err := c.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := as(t, c.Lab)
	fip, err := s.create(t.Context(), neutronURL+"/v2.0/floatingips", "floatingip", fields{"floating_network_id": c.External.ID})
	if err != nil {
		t.Fatal(err)
	}
	group, err := s.create(t.Context(), neutronURL+"/v2.0/security-groups", "security_group", fields{"name": "left"})
	if err != nil {
		t.Fatal(err)
	}
	after, err := c.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.FloatingIPs) != len(before.FloatingIPs)+1 || len(after.SecurityGroups) != len(before.SecurityGroups)+1 {
		t.Errorf("a floating IP and a group more are not seen:\n%s", after)
	}
	for _, url := range []string{"/v2.0/floatingips/" + fip, "/v2.0/security-groups/" + group} {
		if err := s.call(t.Context(), http.MethodDelete, neutronURL+url, nil, nil); err != nil {
			t.Error(err)
		}
	}
}
