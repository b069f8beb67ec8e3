// Package plan decides who gets which address and which node announces it.
//
// Every function here is pure: the same lb.World leads to the same answer, and
// nothing is read or written on the way. What is wanted and cannot be had becomes
// an lb.Refusal, never an error.
package plan
