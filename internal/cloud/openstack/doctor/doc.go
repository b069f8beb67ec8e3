// Package doctor looks at everything that Services need of an OpenStack, and says
// what would fail and what to do about it.
//
// Judge is pure: Facts in, Findings out. observe.go reads the facts of a cloud, and
// asks for nothing but reading. What the cluster has comes in as lb values; tables and
// exit codes are the command's.
package doctor
