// Package e2e holds the tests that need the whole program: a lab, controllers and
// speakers as real processes, and clients that send real packets.
//
// The tests carry the build tag lab and need root. There is no code here but tests.
package e2e
