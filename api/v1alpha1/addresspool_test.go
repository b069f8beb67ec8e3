package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPoolIsTakenOrRefusedWithASentence(t *testing.T) {
	server := serverFor(t, "addresspools")
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"every field", with(`autoAssign: false, avoidBuggyIPs: true, priority: 1, namespaces: [shop, a-b], quota: {perNamespace: 4},
  namespaceSelector: {matchLabels: {team: a}}, serviceSelector: {matchExpressions: [{key: tier, operator: In, values: [web]}]},
  reservations: [{service: shop/web, address: 192.0.2.1}, {service: shop/web, address: "fd00:1::1"}]`), nil},

		{"no addresses", "{}", []string{"spec.addresses: Required value"}},
		{"an empty list", "{addresses: []}", []string{"spec.addresses: Invalid value: 0: spec.addresses in body should have at least 1 items"}},

		{"priority 0", with("priority: 0"), nil},
		{"a negative priority", with("priority: -1"), []string{"spec.priority: Invalid value: -1: spec.priority in body should be greater than or equal to 0"}},

		{"a quota of one", with("quota: {perNamespace: 1}"), nil},
		{"a quota of none", with("quota: {perNamespace: 0}"), []string{"spec.quota.perNamespace: Invalid value: 0: spec.quota.perNamespace in body should be greater than or equal to 1"}},
		{"an empty quota", with("quota: {}"), []string{"spec.quota.perNamespace: Required value"}},

		{"a namespace in capitals", with("namespaces: [Shop]"),
			[]string{`spec.namespaces[0]: Invalid value: "Shop": "Shop" is not the name of a namespace: write lower case letters, digits and dashes, at most 63, as kubectl get namespaces shows them`}},
		{"a namespace that is too long", with("namespaces: [" + longName + "]"),
			[]string{`spec.namespaces[0]: Invalid value: "` + longName + `": "` + longName + `" is not the name of a namespace: write lower case letters, digits and dashes, at most 63, as kubectl get namespaces shows them`}},
		{"a namespace twice", with("namespaces: [a, b, a]"), []string{`spec.namespaces[2]: Duplicate value: "a"`}},

		{"a namespace selector", with("namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}"), nil},
		{"an unknown operator for namespaces", with("namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}"),
			[]string{"spec.namespaceSelector: Invalid value: an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"}},
		{"an unknown operator for services", with("serviceSelector: {matchExpressions: [{key: a, operator: Is}]}"),
			[]string{"spec.serviceSelector: Invalid value: an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"}},

		{"a reservation without namespace", with("reservations: [{service: web, address: 192.0.2.1}]"),
			[]string{`spec.reservations[0].service: Invalid value: "web": "web" does not name a Service: write its namespace and its name as "shop/web"`}},
		{"a reservation with two slashes", with("reservations: [{service: a/b/c, address: 192.0.2.1}]"),
			[]string{`spec.reservations[0].service: Invalid value: "a/b/c": "a/b/c" does not name a Service: write its namespace and its name as "shop/web"`}},
		{"a reservation without address", with("reservations: [{service: a/b}]"),
			[]string{"spec.reservations[0].address: Required value"}},
		{"a reservation of a CIDR", with("reservations: [{service: a/b, address: 192.0.2.0/30}]"),
			[]string{`spec.reservations[0].address: Invalid value: "192.0.2.0/30": "192.0.2.0/30" is not an IP address: write one address of the pool, as 192.0.2.1 or fd00:1::1`}},
		{"a reservation in a long spelling", with(`reservations: [{service: a/b, address: "FD00:0::1"}]`),
			[]string{`spec.reservations[0].address: Invalid value: "FD00:0::1": "FD00:0::1" is not the short way to write the address: write "fd00::1"`}},
		{"an address reserved twice", with("reservations: [{service: a/b, address: 192.0.2.1}, {service: a/c, address: 192.0.2.1}]"),
			[]string{`spec.reservations[1]: Duplicate value: {"address":"192.0.2.1"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, server.create(parse(t, poolYAML(c.spec)))); diff != "" {
				t.Errorf("spec: %s (-want +got):\n%s", c.spec, diff)
			}
		})
	}
}

func TestAPoolAssignsByItselfUnlessToldNotTo(t *testing.T) {
	server := serverFor(t, "addresspools")
	pool := poolOf(t, "192.0.2.1")
	if refused := server.create(pool); refused != nil {
		t.Fatal(refused)
	}
	if got := pool["spec"].(map[string]any)["autoAssign"]; got != true {
		t.Errorf("autoAssign is %v by default, want true", got)
	}
}
