// Package kube turns Kubernetes objects into lb values and lb values into what
// is written back to Kubernetes.
//
// The conversions are pure; Observer watches, List reads once, and the writers
// patch. Nothing here decides. With api/ it is the only package that knows the
// Kubernetes libraries' types.
package kube
