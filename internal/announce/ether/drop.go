package ether

// Drop names why a frame was not acted on, as the label of a counter: lower case
// with underscores. The empty Drop means that it was.
type Drop string
