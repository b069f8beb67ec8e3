// Package access turns credentials into clients of one OpenStack: it reads the data
// of a Kubernetes Secret, signs in at Keystone, and gives gophercloud clients of
// Neutron and Octavia whose every call is timed, counted and limited in time, and
// whose errors Classify explains.
//
// It never tries again: who calls knows what a second try would do. And it never
// shows a secret, in no log, error or value, whatever the cloud answers.
package access
