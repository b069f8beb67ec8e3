package v1alpha1_test

import "strings"

// poolYAML is an AddressPool with this spec, given as YAML in one line.
func poolYAML(spec string) string {
	return "apiVersion: fairlead.dev/v1alpha1\nkind: AddressPool\nmetadata: {name: lan}\nspec: " + spec
}

// classYAML is a LoadBalancerClass with this spec, given as YAML in one line.
func classYAML(name, spec string) string {
	return "apiVersion: fairlead.dev/v1alpha1\nkind: LoadBalancerClass\nmetadata: {name: " + name + "}\nspec: " + spec
}

// with adds a field to the spec of a pool that is otherwise good.
func with(field string) string {
	return "{addresses: [192.0.2.0/28], " + field + "}"
}

var longName = strings.Repeat("a", 64)
