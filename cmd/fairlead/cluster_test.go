package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/kube"
)

const (
	clusterUID = "c0ffee00-0000-4000-8000-000000000001"
	otherUID   = "c0ffee00-0000-4000-8000-000000000002"
)

// apiServer answers lists, and gets of Namespaces and Secrets, as a real one does;
// anything that would change something is a failure of the test.
type apiServer struct {
	*httptest.Server
	t          *testing.T
	services   []corev1.Service
	nodes      []corev1.Node
	classes    []v1alpha1.LoadBalancerClass
	secrets    map[string]map[string][]byte
	forbidden  bool // to read Secrets
	kubeconfig string
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{t: t, secrets: make(map[string]map[string][]byte)}
	a.Server = httptest.NewServer(http.HandlerFunc(a.answer))
	t.Cleanup(a.Close)
	a.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n", a.URL)
	if err := os.WriteFile(a.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *apiServer) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		a.t.Errorf("the command asks the API server for %s %s", r.Method, r.URL)
	}
	list := func(kind, version string, items any) map[string]any {
		return map[string]any{"kind": kind + "List", "apiVersion": version, "metadata": map[string]any{}, "items": items}
	}
	namespace := corev1.Namespace{TypeMeta: metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: clusterUID}}
	const ours = "fairlead.dev/v1alpha1"
	none := []any{}
	answers := map[string]any{
		"/api":                           map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
		"/apis":                          map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": none},
		"/api/v1":                        resources("v1", "Service services", "Node nodes", "Namespace namespaces", "Secret secrets"),
		"/apis/discovery.k8s.io/v1":      resources("discovery.k8s.io/v1", "EndpointSlice endpointslices"),
		"/apis/" + ours:                  resources(ours, "AddressPool addresspools", "LoadBalancerClass loadbalancerclasses", "Speaker speakers"),
		"/api/v1/services":               list("Service", "v1", a.services),
		"/api/v1/nodes":                  list("Node", "v1", a.nodes),
		"/api/v1/namespaces":             list("Namespace", "v1", []any{namespace}),
		"/api/v1/namespaces/kube-system": namespace,
		"/apis/discovery.k8s.io/v1/endpointslices": list("EndpointSlice", "discovery.k8s.io/v1", none),
		"/apis/" + ours + "/addresspools":          list("AddressPool", ours, none),
		"/apis/" + ours + "/loadbalancerclasses":   list("LoadBalancerClass", ours, a.classes),
		"/apis/" + ours + "/speakers":              list("Speaker", ours, none),
	}
	answer, known := answers[r.URL.Path]
	code := http.StatusOK
	if name, is := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/fairlead-system/secrets/"); is {
		data, there := a.secrets[name]
		answer, known = corev1.Secret{TypeMeta: metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}, Data: data}, there
		if a.forbidden {
			code = http.StatusForbidden
			answer, known = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403}, true
		}
	}
	if !known {
		code = http.StatusNotFound
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		a.t.Error(err)
	}
}

// resources tells discovery of kinds, each "Kind plural".
func resources(version string, kinds ...string) metav1.APIResourceList {
	out := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version}
	for _, k := range kinds {
		kind, plural, _ := strings.Cut(k, " ")
		namespaced := kind == "Service" || kind == "Secret" || kind == "EndpointSlice"
		out.APIResources = append(out.APIResources, metav1.APIResource{Name: plural, Kind: kind, Namespaced: namespaced, Verbs: []string{"get", "list"}})
	}
	return out
}

// addNode adds a node to the cluster, and its port to the cloud.
func (a *apiServer) addNode(cloud *fake.Cloud, name, address string) (portID string) {
	portID, server := cloud.AddNode(name, addr(address))
	a.nodes = append(a.nodes, corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{ProviderID: "openstack:///" + server},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	})
	return portID
}

// addService adds a Service that the controller has seen.
func (a *apiServer) addService(name string, nodePort int32) *corev1.Service {
	a.services = append(a.services, corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(fmt.Sprintf("5e41ce00-0000-4000-8000-%012d", nodePort)), Finalizers: []string{kube.Finalizer}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIPs: []string{"10.96.0.1"},
			Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80, NodePort: nodePort}},
		},
	})
	return &a.services[len(a.services)-1]
}

// addClass adds a default class of the provider Octavia with the Secret cloud-config.
func (a *apiServer) addClass(conf string) {
	a.classes = append(a.classes, v1alpha1.LoadBalancerClass{
		ObjectMeta: metav1.ObjectMeta{Name: "public"},
		Spec:       v1alpha1.LoadBalancerClassSpec{Default: true, Provider: "Octavia", Octavia: &v1alpha1.Octavia{ConfigSecret: "cloud-config"}},
	})
	a.secrets["cloud-config"] = map[string][]byte{"cloud.conf": []byte(conf)}
}

// command runs the program as a user does, and gives what it printed and how it ended.
func (a *apiServer) command(ctx context.Context, input io.Reader, args ...string) (stdout, stderr string, err error) {
	return run(ctx, input, append(args, "--kubeconfig", a.kubeconfig, "--fairlead-namespace", "fairlead-system")...)
}

func run(ctx context.Context, input io.Reader, args ...string) (stdout, stderr string, err error) {
	var out, warnings bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetIn(input)
	c.SetOut(&out)
	c.SetErr(&warnings)
	err = c.ExecuteContext(ctx)
	return out.String(), warnings.String(), err
}

// newCloud serves a fake OpenStack until the test ends.
func newCloud(t *testing.T, o fake.Options) *fake.Cloud {
	t.Helper()
	cloud := fake.New(o)
	cloud.Listen()
	t.Cleanup(cloud.Close)
	return cloud
}

// file writes a file that flags can name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// conf is a cloud.conf with the password, which must be nowhere in the output.
func conf(cloud *fake.Cloud, more string) string {
	k, ids := cloud.Credentials(), cloud.IDs()
	return fmt.Sprintf("[Global]\nauth-url = %s\nregion = %s\nusername = %s\npassword = %s\ntenant-name = %s\ndomain-name = %s\n\n"+
		"[LoadBalancer]\nsubnet-id = %s\nfloating-network-id = %s\n%s\n", k.AuthURL, k.Region, k.User, passphrase, k.Project, k.Domain, ids.SubnetV4, ids.External, more)
}
