// Package lb holds the nouns of load balancing: what the world is, what should
// exist in it, and why somebody was refused.
//
// Nothing here decides or does: decisions are in plan, deeds are at the rim. All
// values are plain data, comparable with go-cmp, and know nothing of Kubernetes.
package lb
