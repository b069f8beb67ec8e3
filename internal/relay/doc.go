// Package relay sends TCP connections that began at another node on to that node,
// so that an address can move between nodes without breaking what is open.
//
// A load balancer address is on no interface; kube-proxy, or what stands for it,
// translates it with the help of conntrack. When the address moves, the clients'
// neighbor entries switch at once, and packets of open connections reach a node whose
// conntrack does not know them: they would be translated anew, to a pod that answers
// with RST. The new owner therefore sends such packets back to the previous one, at
// layer 2: new source and destination MAC, nothing else changed. The previous owner
// still has its conntrack entries, and its replies go straight to the client.
//
// It is done by nftables in the ingress hook of the interface (family netdev), where
// frames can be sent on before the IP stack and conntrack see them:
//
//	table netdev fairlead_relay {
//	    set began4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic,timeout; timeout 90s; }
//	    set peers_2 { type ether_addr; elements = { 02:00:00:00:00:0a } }
//	    map via4_2 { type ipv4_addr : ether_addr; elements = { 192.0.2.1 : 02:00:00:00:00:0a } }
//	    chain in_2_eth0 {
//	        type filter hook ingress device "eth0" priority 10; policy accept;
//	        ip daddr @via4_2 meta l4proto tcp, no fragment, ether daddr <own MAC>  goto tcp4_2
//	    }
//	    chain tcp4_2 {
//	        ether saddr @peers_2 accept                                 # never relayed twice
//	        tcp flags & (fin|syn|rst|ack) == syn update @began4 accept  # begins here
//	        @began4 update @began4 accept                               # began here
//	        ether daddr set via4_2[ip daddr] ether saddr set <own MAC> counter dup to "eth0" drop
//	    }
//	}
//
// and the same for IPv6; a bridge has such a chain in the hook of each port.
//
// A frame that comes from one of our own nodes is never sent on: a frame has no TTL, so
// two nodes that relay to each other would do it for ever. For the same reason relaying
// reaches back one move: when an address went from A over B to C, C sends to B what did
// not begin at C, and B takes what began at A for its own.
//
// What conntrack has of an address when its relay is set up counts as begun here. So
// an address may go from A to B and back to A while connections of both are open.
//
// Relayed packets leave this node with the client's address as source. A network that
// forbids that, as Neutron does on ports with port security, drops them: there an open
// connection stalls where it would have been reset.
//
// Not here: when an address moved, from whom, and for how long to relay (the speaker
// knows); anything but TCP, where no packet says whether it is the first: UDP goes to
// the new owner at once. Fragments, and IPv6 packets with extension headers, are left
// alone too, as are ICMP errors about relayed connections.
package relay
