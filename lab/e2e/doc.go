// Package e2e holds the tests that need the whole program: a lab, controllers and
// speakers as real processes, and clients that send real packets.
//
// The tests carry the build tag lab, those with a real OpenStack beside the lab the tag
// openstack, and need root. There is no code here but tests.
package e2e
