// Package conformance is one suite for everything that calls itself an OpenStack: it
// asserts what Fairlead relies on in Keystone, Neutron and Octavia, with the client
// library that Fairlead uses. The fake passes it in the unit tests, and real services
// in the lab; so the tests that build on the fake are about the real thing.
//
// What is not here: data path, and the tests of Fairlead's own driver.
package conformance
