// Package octavia makes OpenStack load balancers for Services: it is told what
// the cluster wants, looks at what the project has, and takes the steps between.
//
// observe.go reads, steps.go decides (pure), do.go writes; driver.go runs the three
// in a loop that never waits for the cloud: a load balancer that is being built is a
// state that the next poll finds changed. Floating IPs and security groups are in
// package neutron; what the words of a cloud.conf or an annotation mean is in
// compat/occm.
package octavia
