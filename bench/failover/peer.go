package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/lab"
)

// metallb is MetalLB 0.16 as its own manifests set it up: layer 2, with memberlist at
// its defaults. Its programs run as processes on the machines of the lab, and a pod that
// does nothing stands for each, since they look for themselves in the API.
type metallb struct {
	speaker, controller string // paths of the programs
	crds                string // folder with the definitions of its kinds

	started time.Time // the last speaker
}

const (
	metallbNamespace = "metallb-system"
	// metallbJoins is how long a speaker takes to be a member, and to take back what
	// its hash gives it.
	metallbJoins = 10 * time.Second
)

// complete says whether all that is needed is at hand.
func (m metallb) complete() bool { return m.speaker != "" && m.controller != "" && m.crds != "" }

func (*metallb) name() string { return "MetalLB" }

func (m *metallb) install(ctx context.Context, s *segment) error {
	if out, err := s.Kubectl(ctx, "apply", "--server-side", "-f", m.crds); err != nil {
		return fmt.Errorf("apply the CRDs of %s: %w: %s", m.crds, err, out)
	}
	if out, err := s.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"); err != nil {
		return fmt.Errorf("wait for the CRDs: %w: %s", err, out)
	}
	err := s.apply(ctx, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {namespace: %[1]s, name: bench}
spec: {addresses: [%[2]q]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {namespace: %[1]s, name: bench}
`, metallbNamespace, pool))
	if err != nil {
		return err
	}
	if err := m.standIn(ctx, s, s.Node(1), "controller", 18080); err != nil {
		return err
	}
	return s.Host("fabric").StartEnv(ctx, m.env(s), "controller", m.controller,
		"--namespace="+metallbNamespace, "--pod-name=controller", "--port=0", "--webhook-mode=disabled", "--disable-cert-rotation")
}

func (m *metallb) start(ctx context.Context, s *segment, node *lab.Host) error {
	pod := "speaker-" + node.Name()
	if err := m.standIn(ctx, s, node, pod, 18081); err != nil {
		return err
	}
	m.started = time.Now()
	return node.StartEnv(ctx, m.env(s), speakerProcess, m.speaker,
		"--namespace="+metallbNamespace, "--pod-name="+pod, "--node-name="+node.Name(), "--port=0",
		"--ml-bindaddr="+node.IP4().String(), "--ml-bindport=7946", "--ml-labels=app=metallb,component=speaker")
}

func (m *metallb) env(s *segment) []string {
	return []string{"KUBECONFIG=" + s.Kubeconfig(), "METALLB_BGP_TYPE=native"}
}

// standIn makes the pod of a program, on the network of its node. It serves on a port of
// its own that nobody asks.
func (m *metallb) standIn(ctx context.Context, s *segment, node *lab.Host, name string, port int32) error {
	pod := lab.EchoPod(node.Name(), name, map[string]string{"app": "metallb", "component": "speaker"}, port)
	if name == "controller" {
		pod.Labels["component"] = name
	}
	pod.Namespace, pod.Spec.HostNetwork = metallbNamespace, true
	return until(ctx, time.Minute, "pod "+name+" has the address of its node", func() error {
		// In a new namespace the service account takes a moment to exist.
		if err := s.api.Create(ctx, pod.DeepCopy()); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
		var now corev1.Pod
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(pod), &now); err != nil {
			return err
		}
		if now.Status.PodIP != node.IP4().String() {
			return fmt.Errorf("it has %q", now.Status.PodIP)
		}
		return nil
	})
}

// settled believes in time: the programs do not say whom they know.
func (m *metallb) settled(context.Context, *segment) error {
	if left := time.Until(m.started.Add(metallbJoins)); left > 0 {
		return fmt.Errorf("memberlist has %s left to join", left.Round(time.Second))
	}
	return nil
}
