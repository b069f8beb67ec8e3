// Package ether is what ARP and NDP frames have in common: hardware addresses,
// the Ethernet header and the names under which frames are dropped.
//
// It knows no protocol above Ethernet and opens no socket.
package ether
