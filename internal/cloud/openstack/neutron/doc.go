// Package neutron is the part of OpenStack's network service that load balancers
// need: where floating IPs come from, which ports the nodes have, one floating IP for
// each VIP, and security groups that let a load balancer in to the nodes.
//
// Values and the decisions on them (FloatingSteps, GroupSteps, RulesFor,
// ChooseFloating) are pure. Reads are in observe*.go, writes in do*.go, one function a
// step; steps print, so that a dry run and a log are the same list. Nothing here
// retries, waits or logs: whoever calls decides. Load balancers, and what names and
// descriptions mean, are not here.
package neutron
