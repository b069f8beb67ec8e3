// Package lab runs a real Kubernetes with several nodes, clients and a router
// on one Linux machine, for tests, demonstrations and benchmarks.
//
// A lab is a handful of machines: sets of namespaces, each held by a PID 1 of
// ours and wired to one switch. The control plane is the real one. Nodes are
// either real (containerd, kubelet, kube-proxy; Options.Kubelets) or light (a
// stand-in for the kubelet that runs every pod as an echo server), which start
// in seconds and cost little. Every machine can be crashed, frozen, unplugged
// and cut off while probes from the clients record what that costs.
//
//	l, err := lab.Up(ctx, lab.Options{Nodes: 3})
//	if err != nil { ... }
//	defer l.Down(ctx)
//	probe := lab.Probe{From: l.Client(), Addr: "172.31.0.200:80"}.Start()
//	err = l.Node(1).Crash(ctx)
//	...
//	fmt.Println(probe.Stop())
//
// It needs root, and no container engine, registry or systemd. The programs
// are built by package lab/build, the images by lab/images; what runs inside
// the machines is in lab/inside.
package lab
