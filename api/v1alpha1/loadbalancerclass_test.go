package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
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
			[]string{`spec.provider: Invalid value: "BGP": provider must be L2 or Octavia: the other providers are not in this version`}},
		{"l2 with another provider", "{provider: BGP, l2: {}}", []string{
			"spec: Invalid value: l2 is set, but provider is BGP: write provider: L2, or take l2 out",
			`spec.provider: Invalid value: "BGP": provider must be L2 or Octavia: the other providers are not in this version`}},

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

const someID = "6e7f0a3c-1b2d-4c5e-8f90-a1b2c3d4e5f6"

// octaviaSpec is a class of provider Octavia with these fields.
func octaviaSpec(fields string) string { return "{provider: Octavia, octavia: {" + fields + "}}" }

func TestAnOctaviaClassIsTakenOrRefusedWithASentence(t *testing.T) {
	server := serverFor(t, "loadbalancerclasses")
	id := func(field, value, list string) []string {
		return []string{"spec.octavia." + field + `: Invalid value: "` + value + `": "` + value + `" is not an id: write the one that openstack ` + list + " shows"}
	}
	seconds := func(field, value string) []string {
		return []string{"spec.octavia.monitor." + field + `: Invalid value: "` + value + `": "` + value + `" is not a time of whole seconds: write it as 5s or 1m30s`}
	}
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"the least", "{provider: Octavia}", nil},
		{"every field", octaviaSpec("configSecret: cloud-config, cloud: prod, loadBalancerClass: dmz, loadBalancerProvider: ovn, floatingNetworkID: " + someID +
			", floatingSubnet: {tags: 'a,b'}, networkID: " + someID + ", subnetID: 6e7f0a3c1b2d4c5e8f90a1b2c3d4e5f6, memberSubnetID: " + someID + ", flavorID: " + someID +
			", availabilityZone: az1, method: SOURCE_IP_PORT, internal: false, nodeSelector: {matchLabels: {edge: ''}}" +
			", monitor: {delay: 1m30s, timeout: 3s, maxRetries: 1, maxRetriesDown: 10}, securityGroups: None, publish: AtOnce"), nil},
		{"a monitor as configured", octaviaSpec("monitor: {}"), nil},

		{"pools", "{provider: Octavia, pools: [lan]}", []string{"spec: Invalid value: pools are set, but provider is Octavia: write provider: L2, or take pools out"}},
		{"l2", "{provider: Octavia, l2: {}}", []string{"spec: Invalid value: l2 is set, but provider is Octavia: write provider: L2, or take l2 out"}},
		{"octavia with provider L2", "{provider: L2, octavia: {}}",
			[]string{"spec: Invalid value: octavia is set, but provider is L2: write provider: Octavia, or take octavia out"}},

		{"a Secret in capitals", octaviaSpec("configSecret: Cloud"),
			[]string{`spec.octavia.configSecret: Invalid value: "Cloud": "Cloud" is not the name of a Secret: write one that kubectl get secrets shows in the namespace of Fairlead`}},
		{"a provider of two words", octaviaSpec("loadBalancerProvider: a b"),
			[]string{`spec.octavia.loadBalancerProvider: Invalid value: "a b": "a b" is not the name of a provider: write one that openstack loadbalancer provider list shows`}},
		{"a network by name", octaviaSpec("networkID: private"), id("networkID", "private", "network list")},
		{"a floating network by name", octaviaSpec("floatingNetworkID: public"), id("floatingNetworkID", "public", "network list --external")},
		{"a subnet by name", octaviaSpec("subnetID: private"), id("subnetID", "private", "subnet list")},
		{"a member subnet by name", octaviaSpec("memberSubnetID: private"), id("memberSubnetID", "private", "subnet list")},
		{"a flavor by name", octaviaSpec("flavorID: large"), id("flavorID", "large", "loadbalancer flavor list")},
		{"an id that is too short", octaviaSpec("subnetID: 6e7f0a3c-1b2d-4c5e-8f90"), id("subnetID", "6e7f0a3c-1b2d-4c5e-8f90", "subnet list")},

		{"a floating subnet by nothing", octaviaSpec("floatingSubnet: {}"),
			[]string{"spec.octavia.floatingSubnet: Invalid value: floatingSubnet picks by one thing: write id, name or tags, and only one of them"}},
		{"a floating subnet by two things", octaviaSpec("floatingSubnet: {id: " + someID + ", name: public}"),
			[]string{"spec.octavia.floatingSubnet: Invalid value: floatingSubnet picks by one thing: write id, name or tags, and only one of them"}},
		{"a floating subnet whose id is a name", octaviaSpec("floatingSubnet: {id: public}"),
			[]string{`spec.octavia.floatingSubnet.id: Invalid value: "public": "public" is not an id: write the one that openstack subnet list shows, or use name`}},

		{"another method", octaviaSpec("method: RANDOM"),
			[]string{`spec.octavia.method: Invalid value: "RANDOM": "RANDOM" is no method: write ROUND_ROBIN, LEAST_CONNECTIONS, SOURCE_IP or SOURCE_IP_PORT`}},
		{"another way of security groups", octaviaSpec("securityGroups: Yes please"),
			[]string{`spec.octavia.securityGroups: Invalid value: "Yes please": "Yes please" is unknown: write Managed or None`}},
		{"another moment", octaviaSpec("publish: Later"),
			[]string{`spec.octavia.publish: Invalid value: "Later": "Later" is unknown: write WhenActive or AtOnce`}},

		{"a delay in milliseconds", octaviaSpec("monitor: {delay: 500ms}"), seconds("delay", "500ms")},
		{"no delay at all", octaviaSpec("monitor: {delay: 0s}"), seconds("delay", "0s")},
		{"an empty timeout", octaviaSpec("monitor: {timeout: ''}"), seconds("timeout", "")},
		{"a timeout without a unit", octaviaSpec("monitor: {timeout: '3'}"), seconds("timeout", "3")},
		{"a timeout beyond the delay", octaviaSpec("monitor: {delay: 5s, timeout: 6s}"),
			[]string{"spec.octavia.monitor: Invalid value: timeout is longer than delay, and one check would run into the next: write a timeout of at most delay"}},
		{"no retries", octaviaSpec("monitor: {maxRetries: 0}"),
			[]string{"spec.octavia.monitor.maxRetries: Invalid value: 0: Octavia counts up to ten checks: write 1 to 10"}},
		{"too many failures", octaviaSpec("monitor: {maxRetriesDown: 11}"),
			[]string{"spec.octavia.monitor.maxRetriesDown: Invalid value: 11: Octavia counts up to ten checks: write 1 to 10"}},

		{"an unknown operator", octaviaSpec("nodeSelector: {matchExpressions: [{key: a, operator: Is}]}"),
			[]string{"spec.octavia.nodeSelector: Invalid value: an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, server.create(parse(t, classYAML("public", c.spec)))); diff != "" {
				t.Errorf("spec: %s (-want +got):\n%s", c.spec, diff)
			}
		})
	}
}

func TestTheSecretOfAnOctaviaClassHasADefault(t *testing.T) {
	server := serverFor(t, "loadbalancerclasses")
	class := parse(t, classYAML("public", octaviaSpec("")))
	if got := server.create(class); got != nil {
		t.Fatal(got)
	}
	octavia := class["spec"].(map[string]any)["octavia"].(map[string]any)
	if got := octavia["configSecret"]; got != v1alpha1.DefaultConfigSecret {
		t.Errorf("configSecret is %v, want %s", got, v1alpha1.DefaultConfigSecret)
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
		`spec.provider: Invalid value: "BGP": provider must be L2 or Octavia: the other providers are not in this version`,
		`spec.provider: Invalid value: "BGP": provider cannot be changed, for it would move every address of the class: create another class`,
	}
	if diff := cmp.Diff(want, server.update(parse(t, classYAML("public", "{provider: BGP}")), old)); diff != "" {
		t.Errorf("another provider (-want +got):\n%s", diff)
	}
	want = []string{`spec.provider: Invalid value: "Octavia": provider cannot be changed, for it would move every address of the class: create another class`}
	if diff := cmp.Diff(want, server.update(parse(t, classYAML("public", "{provider: Octavia}")), old)); diff != "" {
		t.Errorf("from L2 to Octavia (-want +got):\n%s", diff)
	}
}
