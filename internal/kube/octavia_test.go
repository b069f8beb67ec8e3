package kube

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

func TestAnOctaviaClassIsRead(t *testing.T) {
	for _, c := range []struct {
		name string
		spec *v1alpha1.Octavia
		want lb.Octavia
	}{
		{"nothing", nil, lb.Octavia{Secret: "cloud-config"}},
		{"an empty one, as before defaults", &v1alpha1.Octavia{}, lb.Octavia{Secret: "cloud-config"}},
		{"everything", &v1alpha1.Octavia{
			ConfigSecret: "prod", Cloud: "c", LoadBalancerClass: "dmz", LoadBalancerProvider: "ovn", FloatingNetworkID: "fn",
			FloatingSubnet: &v1alpha1.FloatingSubnet{Name: "public-*"}, NetworkID: "n", SubnetID: "s", MemberSubnetID: "ms", FlavorID: "f",
			AvailabilityZone: "az", Method: "SOURCE_IP", Internal: new(false), NodeSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"edge": ""}},
			Monitor: &v1alpha1.Monitor{Delay: "1m30s", MaxRetries: 2, MaxRetriesDown: 4}, SecurityGroups: v1alpha1.SecurityGroupsNone, Publish: v1alpha1.PublishAtOnce,
		}, lb.Octavia{
			Secret: "prod", Cloud: "c", Section: "dmz", LoadBalancerProvider: "ovn", FloatingNetwork: "fn",
			FloatingSubnet: lb.SubnetChoice{Name: "public-*"}, Network: "n", Subnet: "s", MemberSubnet: "ms", Flavor: "f",
			AvailabilityZone: "az", Method: "SOURCE_IP", Internal: new(false),
			NodeSelector: &lb.Selector{Requirements: []lb.Requirement{{Key: "edge", Operator: lb.In, Values: []string{""}}}},
			Monitor:      &lb.Monitor{Delay: 90 * time.Second, MaxRetries: 2, MaxRetriesDown: 4}, SecurityGroups: new(false), PublishAtOnce: true,
		}},
		{"the other values", &v1alpha1.Octavia{SecurityGroups: v1alpha1.SecurityGroupsManaged, Publish: v1alpha1.PublishWhenActive, Monitor: &v1alpha1.Monitor{}},
			lb.Octavia{Secret: "cloud-config", SecurityGroups: new(true), Monitor: &lb.Monitor{}}},
	} {
		got := ClassFrom(&v1alpha1.LoadBalancerClass{ObjectMeta: metav1.ObjectMeta{Name: "public"}, Spec: v1alpha1.LoadBalancerClassSpec{Provider: "Octavia", Octavia: c.spec}})
		want := lb.Class{Name: "public", Provider: lb.ProviderOctavia, Octavia: &c.want}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
