// Package stray drops packets to an address of this node that nobody here translates,
// before conntrack remembers them.
//
// kube-proxy learns of an address when the speaker does, and is slower now and then: it
// programs once a second at most, and after a restart of the node later than that. What
// reaches the node in the meantime goes the way of any packet to a foreign address: it is
// forwarded to the segment that it came from, where nobody answers. The client is told
// that there is no route to the host, which ends its connection. Worse, conntrack now has
// an entry for this connection that says: not translated. kube-proxy's rules are asked
// for the first packet only, so a client that repeats it, or that comes back from the
// same port, is not translated either, until the entry has been silent for two minutes.
//
// So such packets are dropped where they are forwarded, which is before conntrack takes
// a new entry over. The client repeats its SYN after a second and is served.
//
//	table inet fairlead_stray {
//	    set vips4 { type ipv4_addr; elements = { 192.0.2.1 } }
//	    set vips6 { type ipv6_addr; }
//	    set protocols { type inet_proto; elements = { tcp, udp, sctp } }
//	    chain forward {
//	        type filter hook forward priority 10; policy accept;
//	        ip daddr @vips4 meta l4proto @protocols counter drop
//	        ip6 daddr @vips6 meta l4proto @protocols counter drop
//	    }
//	}
//
// What was translated has the address of a pod here, whoever did it: iptables, nftables,
// or BPF in front of the IP stack. IPVS has the address on an interface, so its packets
// are not forwarded. The chain is behind kube-proxy's, at priority 0, which refuses
// connections to Services without pods.
//
// Not here: processes on the node itself, whose packets are not forwarded; entries that
// conntrack took before the address was this node's.
package stray
