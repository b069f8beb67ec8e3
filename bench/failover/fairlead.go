package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/deploy"
	"fairlead.dev/fairlead/lab"
)

// fairlead is our side. Its roles run as processes on the machines of the lab, with the
// rights that the manifests give them.
type fairlead struct {
	program string
	silent  bool // without heartbeats

	boots map[string]string // of speakers that were ended, by node: what they wrote does not count
}

func newFairlead(program string, silent bool) *fairlead {
	return &fairlead{program: program, silent: silent, boots: make(map[string]string)}
}

func (*fairlead) name() string { return "Fairlead" }

func (f *fairlead) install(ctx context.Context, s *segment) error {
	objects, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		return err
	}
	var manifest bytes.Buffer
	kept := slices.DeleteFunc(objects, func(o client.Object) bool {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		return kind == "Deployment" || kind == "DaemonSet" || kind == "PodDisruptionBudget" || strings.HasPrefix(kind, "ValidatingAdmissionPolicy")
	})
	if err := deploy.Write(&manifest, kept); err != nil {
		return err
	}
	if err := s.apply(ctx, manifest.String()); err != nil {
		return err
	}
	if out, err := s.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"); err != nil {
		return fmt.Errorf("wait for the CRDs: %w: %s", err, out)
	}
	err = s.apply(ctx, fmt.Sprintf(`apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: bench}
spec: {addresses: [%q, %q]}
`, pool, manyPool))
	if err != nil {
		return err
	}
	return f.run(ctx, s.Host("fabric"), "controller", "controller", "--leader-elect=false")
}

func (f *fairlead) start(ctx context.Context, s *segment, node *lab.Host) error {
	var before v1alpha1.Speaker
	err := s.api.Get(ctx, client.ObjectKey{Name: node.Name()}, &before)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if before.Status.Hearing != nil {
		f.boots[node.Name()] = before.Status.Hearing.Boot
	}
	args := []string{"speaker", "--node-name=" + node.Name()}
	if f.silent {
		args = append(args, "--heartbeat-port=0")
	}
	return f.run(ctx, node, speakerProcess, args...)
}

// run starts a role with the rights that its Deployment or DaemonSet would have.
func (f *fairlead) run(ctx context.Context, on *lab.Host, process string, args ...string) error {
	account := map[string]string{"controller": deploy.Controller, "speaker": deploy.Speaker}[args[0]]
	kubeconfig, err := on.Kubeconfig("system:serviceaccount:"+deploy.DefaultNamespace+":"+account, "system:serviceaccounts")
	if err != nil {
		return err
	}
	return on.Start(ctx, process, slices.Concat([]string{f.program}, args, []string{"--address=0", "--kubeconfig=" + kubeconfig})...)
}

// settled looks at what the speakers say of themselves and of each other.
func (f *fairlead) settled(ctx context.Context, s *segment) error {
	var list v1alpha1.SpeakerList
	if err := s.api.List(ctx, &list); err != nil {
		return err
	}
	if len(list.Items) != len(s.Nodes()) {
		return fmt.Errorf("%d speakers of %d", len(list.Items), len(s.Nodes()))
	}
	for _, speaker := range list.Items {
		h := speaker.Status.Hearing
		switch {
		case len(speaker.Status.Interfaces) == 0:
			return fmt.Errorf("speaker %s has no interface", speaker.Name)
		case f.silent:
		case h == nil:
			return fmt.Errorf("speaker %s says nothing of heartbeats", speaker.Name)
		case h.Boot == f.boots[speaker.Name]:
			return fmt.Errorf("speaker %s has not written since it was started", speaker.Name)
		case !h.Quorate || int(h.Counted) < len(s.Nodes())-1 || len(h.Missing) > 0:
			return fmt.Errorf("speaker %s counts %d neighbours (quorate: %t), and misses %v", speaker.Name, h.Counted, h.Quorate, h.Missing)
		}
	}
	return nil
}
