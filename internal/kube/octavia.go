package kube

import (
	"cmp"
	"fmt"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// octaviaFrom reads spec.octavia of a class; all of it may be left out.
func octaviaFrom(c *v1alpha1.LoadBalancerClass) (*lb.Octavia, *lb.Refusal) {
	o := c.Spec.Octavia
	if o == nil {
		return &lb.Octavia{Secret: v1alpha1.DefaultConfigSecret}, nil
	}
	out := &lb.Octavia{
		Secret:               cmp.Or(o.ConfigSecret, v1alpha1.DefaultConfigSecret),
		Cloud:                o.Cloud,
		Section:              o.LoadBalancerClass,
		PublishAtOnce:        o.Publish == v1alpha1.PublishAtOnce,
		LoadBalancerProvider: o.LoadBalancerProvider,
		FloatingNetwork:      o.FloatingNetworkID,
		Network:              o.NetworkID,
		Subnet:               o.SubnetID,
		MemberSubnet:         o.MemberSubnetID,
		Flavor:               o.FlavorID,
		AvailabilityZone:     o.AvailabilityZone,
		Method:               o.Method,
		Internal:             o.Internal,
	}
	if o.SecurityGroups != "" {
		out.SecurityGroups = new(o.SecurityGroups == v1alpha1.SecurityGroupsManaged)
	}
	if f := o.FloatingSubnet; f != nil {
		out.FloatingSubnet = lb.SubnetChoice{ID: f.ID, Name: f.Name, Tags: f.Tags}
	}
	if o.Monitor != nil {
		var err error
		if out.Monitor, err = monitorFrom(o.Monitor); err != nil {
			return out, lb.Refuse(lb.BadOption, "write it as 5s or 1m30s", "spec.octavia.monitor of LoadBalancerClass %q: %v", c.Name, err)
		}
	}
	var err error
	if out.NodeSelector, err = selectorFrom(o.NodeSelector); err != nil {
		return out, lb.Refuse(lb.BadSelector, "", "spec.octavia.nodeSelector of LoadBalancerClass %q: %v", c.Name, err)
	}
	return out, nil
}

// monitorFrom reads what CEL let through; what is left out stays zero.
func monitorFrom(m *v1alpha1.Monitor) (*lb.Monitor, error) {
	out := &lb.Monitor{MaxRetries: int(m.MaxRetries), MaxRetriesDown: int(m.MaxRetriesDown)}
	for _, field := range []struct {
		name, text string
		to         *time.Duration
	}{{"delay", m.Delay, &out.Delay}, {"timeout", m.Timeout, &out.Timeout}} {
		if field.text == "" {
			continue
		}
		d, err := time.ParseDuration(field.text)
		if err != nil || d < time.Second {
			return out, fmt.Errorf("%s %q is not a time of at least a second", field.name, field.text)
		}
		*field.to = d
	}
	return out, nil
}
