// Package demo shows the main job on one machine: a real Kubernetes, Fairlead from
// its own image and manifests, a Service that gets an address, a client that reaches
// it over IPv4 and IPv6, and the crash of the node that announced it.
package demo
