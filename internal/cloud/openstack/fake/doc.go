// Package fake is an OpenStack that lives in the memory of a test: Keystone v3,
// Neutron v2.0 and Octavia v2 as one HTTP handler, with the state machines, the
// refusals and the traps of the real services (Zed: Octavia 11, Neutron 21).
//
// It keeps state and obeys time. Nothing runs in the background: what a build that
// takes a minute looks like after 30 s is computed when somebody asks, so the fake
// works on the clock of testing/synctest as on the wall's. What a test needs beside
// the API is in Cloud: faults for every call (Intercept), a journal (Calls), changes
// behind the controller's back and plain values to compare.
//
// What is not here: a data path (nothing listens at a VIP), Nova, L7 policies, TLS
// containers. Package conformance holds this fake and the real services to one suite.
package fake
