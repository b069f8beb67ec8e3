package occm

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
)

const (
	uid     = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
	kubeUID = "11111111-2222-3333-4444-555555555555"
)

func TestNamesAreOCCMs(t *testing.T) {
	long := strings.Repeat("x", 300)
	lbName := LoadBalancerName("kubernetes", "shop", "web")
	for _, tc := range []struct{ got, want string }{
		{lbName, "kube_service_kubernetes_shop_web"},
		{LoadBalancerName(long, "shop", "web"), "kube_service_" + strings.Repeat("x", 242)},
		{LegacyName(uid), "a0a1b2c3d4e5f60718293a4b5c6d7e8f"},
		{ListenerName(0, lbName), "listener_0_kube_service_kubernetes_shop_web"},
		{PoolName(1, lbName), "pool_1_kube_service_kubernetes_shop_web"},
		{MonitorName(10, lbName), "monitor_10_kube_service_kubernetes_shop_web"},
		{ListenerName(0, Cut(long, 255)), "listener_0_" + strings.Repeat("x", 244)},
		{MemberName("node-a"), "node-a"},
		{SerialMemberName("node-a", "10.0.0.7", 30080), "member_node-a_10.0.0.7_30080"},
		{SecurityGroupName(uid, "shop", "web"), "lb-sg-" + uid + "-shop-web"},
		{SecurityGroupDescription("kubernetes", "shop", "web"), "Security Group for shop/web Service LoadBalancer in cluster kubernetes"},
		{LoadBalancerDescription("kubernetes", "shop", "web"), "Kubernetes external service shop/web from cluster kubernetes"},
		{ClusterPrefix("kubernetes"), "kube_service_kubernetes_"},
	} {
		if tc.got != tc.want {
			t.Errorf("got  %q\nwant %q", tc.got, tc.want)
		}
	}
}

func TestIsLegacyName(t *testing.T) {
	for name, want := range map[string]bool{LegacyName(uid): true, "a": false, "b" + LegacyName(uid)[1:]: false, "a" + strings.Repeat("g", 31): false} {
		if got := IsLegacyName(name); got != want {
			t.Errorf("IsLegacyName(%q) = %v", name, got)
		}
	}
}

func TestChildOf(t *testing.T) {
	for name, want := range map[string]string{
		"listener_0_kube_service_k_shop_web": "kube_service_k_shop_web",
		"pool_12_mine":                       "mine",
		"monitor_a0a1b2c3_1":                 "a0a1b2c3",
		"listener_2_3":                       "3",
		"member_0_x":                         "",
		"listener_":                          "",
		"listener_web":                       "",
		"listener_0_":                        "",
		"web":                                "",
	} {
		if got, ok := ChildOf(name); got != want || ok != (want != "") {
			t.Errorf("ChildOf(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
}

// The two expressions of Magnum (magnum/common/octavia.py, neutron.py).
func TestMagnumFindsWhatIsNotKept(t *testing.T) {
	cluster := kubeUID // Magnum starts OCCM with its own UUID as the cluster's name
	floating := regexp.MustCompile(`Floating IP for Kubernetes .+ from cluster ` + cluster + `$`)
	balancer := regexp.MustCompile(`Kubernetes .+ from cluster ` + cluster)
	for _, name := range []string{"web", strings.Repeat("n", 63)} {
		ns := strings.Repeat("s", 63)
		plain, kept := FloatingIPDescription(cluster, uid, ns, name), KeptFloatingIPDescription(cluster, uid, ns, name)
		if !floating.MatchString(plain) || floating.MatchString(kept) {
			t.Errorf("Magnum would delete the wrong one of\n%s\n%s", plain, kept)
		}
		if !balancer.MatchString(LoadBalancerDescription(cluster, ns, name)) {
			t.Errorf("Magnum does not find %s", LoadBalancerDescription(cluster, ns, name))
		}
	}
}

func TestDescriptionsFitAndAreReadBack(t *testing.T) {
	for _, tc := range []struct {
		name, cluster, uid, ns, svc string
		cut                         bool
	}{
		{"short", "kubernetes", kubeUID, "shop", "web", false},
		{"as OCCM wrote it", "kubernetes", "", "shop", "web", false},
		{"long names", "kubernetes", kubeUID, strings.Repeat("s", 63), strings.Repeat("n", 63), false},
		{"long names in a cluster of Magnum", kubeUID, kubeUID, strings.Repeat("s", 63), strings.Repeat("n", 63), true},
		{"a cluster with an odd name", "the cluster of prod (kept by us)", kubeUID, "shop", "web", false},
		{"letters of two bytes count once", strings.Repeat("ü", 100), kubeUID, "shop", "web", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, kept := range []bool{false, true} {
				want := FloatingIP{Cluster: tc.cluster, ClusterUID: tc.uid, Service: tc.ns + "/" + tc.svc, Kept: kept}
				text := want.Description()
				if n := utf8.RuneCountInString(text); n > 255 {
					t.Errorf("%d characters: %s", n, text)
				}
				got, ok := ParseFloatingIP(text)
				if tc.cut {
					want.Service = got.Service
				}
				if diff := cmp.Diff(want, got); diff != "" || !ok {
					t.Errorf("%s (-want +got):\n%s", text, diff)
				}
				key := lb.Key{Namespace: tc.ns, Name: tc.svc}
				if !got.Of(key, tc.cluster, kubeUID) {
					t.Errorf("%s is not known as %s", text, key)
				}
				if got.Of(lb.Key{Namespace: "other", Name: tc.svc}, tc.cluster, kubeUID) || tc.uid != "" && got.Of(key, tc.cluster, uid) || tc.uid == "" && got.Of(key, "other", kubeUID) {
					t.Errorf("%s is taken for somebody else's", text)
				}
				if !IsOurFloatingIP(text) {
					t.Errorf("OCCM would not know %s", text)
				}
			}
		})
	}
	if text := FloatingIPDescription(strings.Repeat("c", 400), kubeUID, "shop", "web"); utf8.RuneCountInString(text) != 255 {
		t.Errorf("%d characters: %s", utf8.RuneCountInString(text), text)
	}
}

func TestDescriptionsOfOthersAreNotOurs(t *testing.T) {
	for _, text := range []string{"", "web server", "Floating IP for Kubernetes", "Floating IP for Kubernetes external service ", "Floating IP for Kubernetes external service a b from cluster c", "Floating IP for Kubernetes external service a/b"} {
		if got, ok := ParseFloatingIP(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
	if IsOurFloatingIP("Floating IP of the VPN") || !IsOurFloatingIP("Floating IP for Kubernetes external service shop/web from cluster kubernetes") {
		t.Error("IsOurFloatingIP is wrong")
	}
}
