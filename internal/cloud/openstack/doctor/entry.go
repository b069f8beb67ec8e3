package doctor

import (
	"errors"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
)

// configuration tells whether there is one that can be read.
func (j *judge) configuration() bool {
	if j.Unread != nil {
		j.refused("configuration", j.Unread, "")
		return false
	}
	j.ok("configuration", "%s can be read", j.Source)
	for _, w := range j.Warnings {
		j.add("configuration", Warning, "", "%s", w)
	}
	return true
}

// options tells of uses whose options contradict themselves. Services are told of
// later, with all else that is wrong with them.
func (j *judge) options() {
	for _, u := range j.Uses {
		if u.Refusal != nil {
			j.refused("options", u.Refusal, u.Where+": ")
		}
	}
}

func (j *judge) cluster() {
	if j.Cluster.Unread != nil {
		j.add("cluster", Unknown, "give --kubeconfig FILE to have nodes and Services checked, too", "the cluster was not looked at: %s", j.Cluster.Unread)
		return
	}
	j.ok("cluster", "%s, %s of this cloud", count(len(j.Cluster.Nodes), "node"), count(len(j.Cluster.Services), "Service"))
}

// signIn tells whether there is a way in.
func (j *judge) signIn() bool {
	if j.SignIn == nil {
		j.ok("sign-in", "%s", j.Cloud.Name)
		j.ok("catalog", "network at %s, load-balancer at %s", j.Cloud.Network, j.Cloud.LoadBalancer)
		return true
	}
	remedy := "look whether auth-url is right, and whether this machine reaches it"
	var wrong *access.ConfigError
	var failure access.Failure
	switch {
	case errors.As(j.SignIn, &wrong):
		remedy = "" // it says what to write
	case errors.As(j.SignIn, &failure) && failure.Kind == access.Denied:
		remedy = "renew the credentials"
	}
	j.add("sign-in", Problem, remedy, "%s", j.SignIn)
	return false
}

// writing are roles with which Octavia's default policy lets a user make load
// balancers (octavia/policies/base.py).
var writing = []string{"load-balancer_member", "load-balancer_admin", "admin"}

// reading are roles that let nobody make anything.
var reading = []string{"reader", "load-balancer_observer", "load-balancer_global_observer", "load-balancer_quota_admin"}

// roles finds out what the user may do without doing it: who may not look may not make
// either, and whose roles are all for reading may only look. A cloud may have another
// policy, so that an unknown role is believed to be enough.
func (j *judge) roles() {
	const remedy = "give the user the role load-balancer_member in the project: openstack role add --user USER --project PROJECT load-balancer_member"
	all := strings.Join(j.Cloud.Roles, ", ")
	has := func(of []string) func(string) bool { return func(r string) bool { return slices.Contains(of, r) } }
	var failure access.Failure
	switch err := j.Cloud.Balancers.Err; {
	case errors.As(err, &failure) && failure.Kind == access.Denied:
		j.add("role", Problem, remedy, "the user may not even list load balancers; its roles are: %s", all)
	case err != nil:
		j.unread("role", err)
	case len(j.Cloud.Roles) == 0:
		j.ok("role", "the user may list load balancers")
	case slices.ContainsFunc(j.Cloud.Roles, has(writing)):
		j.ok("role", "the user may list and make load balancers: %s", all)
	case !slices.ContainsFunc(j.Cloud.Roles, func(r string) bool { return !slices.Contains(reading, r) }):
		j.add("role", Problem, remedy, "the user may look and make nothing; its roles are: %s", all)
	default:
		j.add("role", OK, "", "the user may list load balancers; its roles are: %s", all)
	}
}
