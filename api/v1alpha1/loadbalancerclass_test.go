package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAClassIsTakenOrRefusedWithASentence(t *testing.T) {
	server := serverFor(t, "loadbalancerclasses")
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"every field", "{default: true, provider: L2, pools: [lan, edge.v6], l2: {interfaces: [eth0], nodeSelector: {matchLabels: {rack: a}}}}", nil},
		{"the least", "{provider: L2}", nil},

		{"no provider", "{}", []string{"spec.provider: Required value"}},
		{"another provider", "{provider: BGP}",
			[]string{`spec.provider: Invalid value: "BGP": provider must be L2: the other providers are not in this version`}},
		{"l2 with another provider", "{provider: BGP, l2: {}}", []string{
			"spec: Invalid value: l2 is set, but provider is BGP: write provider: L2, or take l2 out",
			`spec.provider: Invalid value: "BGP": provider must be L2: the other providers are not in this version`}},

		{"a pool in capitals", "{provider: L2, pools: [Lan]}",
			[]string{`spec.pools[0]: Invalid value: "Lan": "Lan" is not the name of an AddressPool: write one that kubectl get addresspools shows`}},
		{"a pool twice", "{provider: L2, pools: [lan, lan]}", []string{`spec.pools[1]: Duplicate value: "lan"`}},

		{"interfaces of all kinds", "{provider: L2, l2: {interfaces: [eth0, eth0.10, br-ex, 'eth*', 'en?', 'bond[0-9]', 'en[!x]s*']}}", nil},
		{"an open bracket", "{provider: L2, l2: {interfaces: ['eth[']}}",
			[]string{`spec.l2.interfaces[0]: Invalid value: "eth[": "eth[" is neither an interface nor a pattern: write a name ("eth0") or a shell pattern ("eth*", "bond[0-9]")`}},
		{"two interfaces in one entry", "{provider: L2, l2: {interfaces: ['eth0 eth1']}}",
			[]string{`spec.l2.interfaces[0]: Invalid value: "eth0 eth1": "eth0 eth1" is neither an interface nor a pattern: write a name ("eth0") or a shell pattern ("eth*", "bond[0-9]")`}},
		{"an empty interface", "{provider: L2, l2: {interfaces: ['']}}",
			[]string{`spec.l2.interfaces[0]: Invalid value: "": "" is neither an interface nor a pattern: write a name ("eth0") or a shell pattern ("eth*", "bond[0-9]")`}},

		{"an unknown operator", "{provider: L2, l2: {nodeSelector: {matchExpressions: [{key: a, operator: Is}]}}}",
			[]string{"spec.l2.nodeSelector: Invalid value: an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, server.create(parse(t, classYAML("public", c.spec)))); diff != "" {
				t.Errorf("spec: %s (-want +got):\n%s", c.spec, diff)
			}
		})
	}
}

func TestAClassHasANameThatAServiceCanWrite(t *testing.T) {
	server := serverFor(t, "loadbalancerclasses")
	if got := server.create(parse(t, classYAML(longName[:63], "{provider: L2}"))); got != nil {
		t.Errorf("a name of 63: %q", got)
	}
	want := []string{"<nil>: Invalid value: the name is longer than spec.loadBalancerClass of a Service can name: write at most 63 characters"}
	if diff := cmp.Diff(want, server.create(parse(t, classYAML(longName, "{provider: L2}")))); diff != "" {
		t.Errorf("a name of 64 (-want +got):\n%s", diff)
	}
}

func TestTheProviderOfAClassStays(t *testing.T) {
	server := serverFor(t, "loadbalancerclasses")
	old := parse(t, classYAML("public", "{provider: L2}"))
	if got := server.update(parse(t, classYAML("public", "{provider: L2, default: true}")), old); got != nil {
		t.Errorf("another field: %q", got)
	}
	want := []string{
		`spec.provider: Invalid value: "BGP": provider must be L2: the other providers are not in this version`,
		`spec.provider: Invalid value: "BGP": provider cannot be changed, for it would move every address of the class: create another class`,
	}
	if diff := cmp.Diff(want, server.update(parse(t, classYAML("public", "{provider: BGP}")), old)); diff != "" {
		t.Errorf("another provider (-want +got):\n%s", diff)
	}
}
