package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// cloudFlags say where a cloud's configuration is, if not in the Secret that a class
// names.
type cloudFlags struct {
	config string
	entry  string
}

func (f *cloudFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.config, "cloud-config", "", "cloud.conf or clouds.yaml to use in place of the Secret that a LoadBalancerClass names")
	flags.StringVar(&f.entry, "cloud", "", "entry of clouds.yaml")
}

func addClusterName(flags *pflag.FlagSet, name *string) {
	flags.StringVar(name, "cluster-name", "kubernetes", "name of this cluster in the names of cloud objects, as the controller has it")
}

// patience is for the API server of a cluster that may be gone: it would answer never.
const patience = 10 * time.Second

// site is a cluster, as a command reads it once.
type site struct {
	namespace string // of Fairlead
	client    client.Client
	world     lb.World
	uid       string // of the namespace kube-system
}

// visit reads the cluster. An API server may take so long to answer; 0 is for ever.
func (f *clusterFlags) visit(ctx context.Context, patience time.Duration) (*site, error) {
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	cfg.Timeout = patience
	c, err := client.New(cfg, client.Options{Scheme: kube.NewScheme()})
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	s := &site{namespace: f.namespace, client: c}
	if s.world, err = kube.List(ctx, c, f.speakers()); err != nil {
		return nil, err
	}
	var system corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return nil, fmt.Errorf("read the namespace kube-system: %w", err)
	}
	s.uid = string(system.UID)
	return s, nil
}

// door is a way into a cloud: a Secret, and an entry of its clouds.yaml where that has
// several.
type door struct {
	secret, entry string
	classes       []lb.Class
	services      []plan.CloudService
	// refused are Services of these classes that get nothing.
	refused []lb.Refusal
}

// doors are the clouds that classes name, with those that they serve.
func (s *site) doors() []door {
	var out []door
	at := func(c *lb.Class) *door {
		if c == nil || !c.Provider.Cloud() || c.Octavia == nil {
			return nil
		}
		i := slices.IndexFunc(out, func(d door) bool { return d.secret == c.Octavia.Secret && d.entry == c.Octavia.Cloud })
		if i < 0 {
			i = len(out)
			out = append(out, door{secret: c.Octavia.Secret, entry: c.Octavia.Cloud})
		}
		return &out[i]
	}
	for i := range s.world.Classes {
		if d := at(&s.world.Classes[i]); d != nil {
			d.classes = append(d.classes, s.world.Classes[i])
		}
	}
	for _, service := range plan.CloudServices(s.world) {
		if d := at(&service.Class); d != nil {
			d.services = append(d.services, service)
		}
	}
	for _, r := range plan.Plan(s.world).Refusals {
		if d := at(s.classOf(r.Service)); d != nil {
			d.refused = append(d.refused, r)
		}
	}
	return out
}

// classOf is the class that a Service asks for, or that serves those that ask for none.
func (s *site) classOf(service lb.Key) *lb.Class {
	at := slices.IndexFunc(s.world.Services, func(x lb.Service) bool { return x.Key == service })
	if at < 0 {
		return nil
	}
	name, named := strings.CutPrefix(s.world.Services[at].Class, lb.ClassPrefix)
	var out *lb.Class
	for i := range s.world.Classes {
		c := &s.world.Classes[i]
		switch {
		case named && c.Name == name:
			return c
		case !named && c.Default && (out == nil || c.Created.Before(out.Created)):
			out = c // of two defaults the older one counts
		}
	}
	return out
}

// origin is where a configuration comes from, for reading.
func (d *door) origin(s *site, f *cloudFlags) string {
	if f.config != "" {
		return "file " + f.config
	}
	text := "Secret " + s.namespace + "/" + d.secret
	if d.entry != "" {
		text += ", cloud " + d.entry
	}
	return text
}

// source reads the configuration of a door: the file that the flags name, or its
// Secret. The refusal says what to do.
func (s *site) source(ctx context.Context, d *door, f *cloudFlags) (access.Source, *lb.Refusal) {
	entry := cmp.Or(f.entry, d.entry)
	if f.config != "" {
		from, err := fileSource(f.config, entry)
		if err != nil {
			return from, lb.Refuse(lb.BadCloudConfig, "name a file that is there and that you may read", "%s", err)
		}
		return from, nil
	}
	var secret corev1.Secret
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: d.secret}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return access.Source{}, lb.Refuse(lb.SecretMissing, fmt.Sprintf("kubectl -n %s create secret generic %s --from-file=cloud.conf", s.namespace, d.secret),
			"there is no Secret %s/%s, which LoadBalancerClass %q names", s.namespace, d.secret, d.classes[0].Name)
	case apierrors.IsForbidden(err):
		return access.Source{}, lb.Refuse(lb.SecretMissing, "have somebody run it who may, or give --cloud-config FILE",
			"you may not read the Secret %s/%s (kubectl auth can-i get secret/%s -n %s)", s.namespace, d.secret, d.secret, s.namespace)
	case err != nil:
		return access.Source{}, lb.Refuse(lb.SecretMissing, "", "read the Secret %s/%s: %s", s.namespace, d.secret, err)
	}
	return access.Source{Data: secret.Data, Cloud: entry}, nil
}

// fileSource is a cloud.conf or a clouds.yaml on disk. A file that it names, such as a
// CA's, may lie beside it.
func fileSource(path, entry string) (access.Source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return access.Source{}, fmt.Errorf("read the cloud configuration: %w", err)
	}
	dir := filepath.Dir(path)
	from := access.Source{Data: make(map[string][]byte), Cloud: entry, ReadFile: func(name string) ([]byte, error) {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			return os.ReadFile(filepath.Join(dir, filepath.Base(name)))
		}
		return data, err
	}}
	if ext := filepath.Ext(path); ext != ".yaml" && ext != ".yml" {
		from.Data["cloud.conf"] = text
		return from, nil
	}
	from.Data["clouds.yaml"] = text
	if secure, err := os.ReadFile(filepath.Join(dir, "secure.yaml")); err == nil {
		from.Data["secure.yaml"] = secure
	}
	return from, nil
}

// clients of an open cloud.
func clients(c *access.Cloud) *octavia.Clients {
	return &octavia.Clients{LoadBalancer: c.LoadBalancer, Network: c.Network, Project: c.ProjectID}
}

// exitCode is how the program ends where that says more than done or failed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// checkOutput refuses a format before anything is asked of anybody.
func checkOutput(format string) error {
	if slices.Contains([]string{"", "table", "json", "yaml"}, format) {
		return nil
	}
	return fmt.Errorf("--output %q is unknown: write table, json or yaml", format)
}
