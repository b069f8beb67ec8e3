package main

import (
	"context"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// reasons lists lb.Reasons: first those that a Service carries, then the others.
func reasons(context.Context, string) (string, error) {
	var services, nodes, objects strings.Builder
	for _, r := range lb.Reasons() {
		line := row(`<a id="`+strings.ToLower(string(r.Reason))+`"></a>`+code(string(r.Reason)), r.Object, cell(r.Meaning), cell(r.Remedy))
		switch r.Object {
		case "Service":
			services.WriteString(line)
		case "Node":
			nodes.WriteString(line)
		default:
			objects.WriteString(line)
		}
	}
	titles := head("Reason", "Object", "What it means", "What to do")
	return "# Reasons\n\n" + notice +
		"Whatever Fairlead refuses, it refuses with one of these words. The same word is in conditions, in Events, in\n" +
		"the metric `fairlead_refusals`, and in what `fairlead status` and `fairlead explain` print. The message beside it\n" +
		"names the object and the field, and ends with what to change.\n\n" +
		"A Service carries its Reason in the condition `fairlead.dev/Ready`, and gets an Event whenever that changes; a\n" +
		"Service that has all it asked for says `Assigned`. A pool or class carries its Reason in the condition `Accepted`;\n" +
		"one that is in force says `Accepted`.\n\n" +
		"`NoSpeaker` and `NoEndpoints` depend on nodes and pods, which the controller does not decide about: they are shown\n" +
		"by `fairlead status` and `fairlead explain` only.\n\n" +
		"## Of a Service\n\n" + titles + services.String() +
		"\n## Of a pool or a class\n\n" + titles + objects.String() +
		"\n## Of a node\n\nIn Events, and in the metric `fairlead_endpoints_held_total`: why pods of a node stay in service that speakers call\n" +
		"dead ([guide](../guides/dead-node-endpoints.md)).\n\n" + titles + nodes.String(), nil
}
