// Package liveness tells within a quarter of a second that a node is dead: every
// speaker sends each of its neighbours a heartbeat 20 times a second.
//
// A node that falls silent is asked whether it lives, and the others are asked
// whether they hear it; only when nobody does, and the one who asks was awake and
// sees half of the segment itself, it counts as dead. No API server takes part. What
// is not here: who owns which address (plan), what the segment is told (announce), and
// how a frozen speaker is kept from answering.
//
// # Heartbeats
//
// One heartbeat is for a node and not for an address. They go by unicast to every
// address of every peer, IPv4 and IPv6. Multicast would halve the packets that a node
// handles, but a switch that snoops groups lets it through for minutes and then stops;
// and a heartbeat for one receiver can say what that receiver must know: which packet
// of its own was heard last. That echo does much of the work here:
//
//   - It proves that a packet is not an old one played again: the echo names the
//     receiver's own process, and a packet that it sent within the last second.
//   - A node learns at once that nobody hears it, though it hears everybody.
//   - A node that slept does not take mail that piled up meanwhile for a sign that it
//     is still in.
//   - A goodbye is repeated until it was heard.
//
// # Who is dead
//
// A sign of life is a heartbeat, or the word of a node that heard one, dated back by the
// age it tells. After 110 ms without a heartbeat the node itself is asked, and up to
// three others, again every 20 ms; regular heartbeats ask everybody. 200 ms after the
// last sign from anywhere the node is dead. A heartbeat every 50 ms means that three in
// a row are lost by then, and with them about five questions to each of four nodes.
//
// Whoever woke up late by 50 ms counts the silence of others from then on. Who slept
// for 150 ms gives up its own part until somebody confirms that it is heard.
//
// A node that is heard again is alive after three heartbeats in a row.
//
// # Quorum
//
// The segment is this node and every peer that it ever heard, without those that said
// goodbye, those that are no longer among the peers, and those that have been dead for
// five seconds while this node had its quorum. A node has its quorum when it and the
// peers that it hears and that hear it are at least half of that. Without quorum it
// declares nobody dead, gives its addresses up, and tells so in its heartbeats, and
// whoever hears that counts it out too.
//
// Two nodes that both have more than half of the segment have a neighbour in common,
// which hears both: they cannot declare each other dead, however the links between
// nodes fail. It takes a split into two exact halves to have two sides that go on. That
// is on purpose: half of the nodes losing power at once, such as one of two racks, is
// indistinguishable from it and far more frequent, and must not stop the other half.
// Where a split separates the clients too, both halves serve theirs. In a segment of
// two nodes that is every failure. Without a witness the limit is 400 ms there. Of two
// nodes of which one does not hear the other, the one that is not heard gives up.
package liveness
