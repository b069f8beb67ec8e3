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
// One heartbeat is for a node and not for an address. One to a peer alone goes by
// unicast to all its addresses, IPv4 and IPv6, and says what that peer must know: which
// packet of its own was heard last. That echo does much of the work here:
//
//   - It proves that a packet is not an old one played again: the echo names the
//     receiver's own process, and a packet that it sent within the last second.
//   - A node learns at once that nobody hears it, though it hears everybody.
//   - A node that slept does not take mail that piled up meanwhile for a sign that it
//     is still in.
//   - A goodbye is repeated until it was heard.
//
// # Multicast
//
// In a segment of five or more, each node also sends its heartbeat to a group, for all at
// once: 224.0.0.254, or ff02::114 for who has IPv6 only. A peer that gets those, and says
// so, gets only one of twenty alone. So 20 nodes send 39 packets a second each instead of
// 380. A group is not to be relied on: a switch that snoops may let it through for minutes
// and then stop, for some and in one direction. So
//
//   - a heartbeat to the group is a sign of life only of a process that proved itself by
//     an echo, and says nothing of what it hears but a list of who it does not hear. Whoever
//     is on it is not heard; who is not on it was heard within 110 ms. After 1.5 s
//     without a word to it alone a node does not believe that it is heard.
//   - questions, answers and goodbyes, and whatever goes to a peer in doubt, go to that
//     peer alone. Who misses the group asks after 110 ms as everybody does, is answered,
//     and gets heartbeats of its own from then on, until the group works for 3 s or 4.
//   - who asks again and again for a node that others hear, such as one that came back and
//     whose link to this one node is broken, is told by eight of them or more in every
//     interval, and counts it in again with the rest.
//
// What comes from the group is read every 28 ms or sooner, all at once, before anybody is
// judged: waking up for each would be most of the cost. It counts from when the kernel
// received it. What comes for this node alone is read as it comes.
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
// Two nodes that both have more than half of the same segment have a neighbour in
// common, which hears both: after the last change they count each other out for no longer
// than OverlapWithin, however links, nodes and groups fail. That holds while both count the
// same nodes for their segment. It takes faults in a row to make it differ, each longer
// than five seconds or a restart: those who went on took who was away out, and later some
// of them are cut off together with those; or a process starts among a few who lost their
// quorum, and knows nobody else. Then two sides may go on until they hear each other. To
// rule that out, the living would have to agree on every change of the segment, and three
// of five would stand still where two died while two others were away.
//
// It takes a split into two exact halves to have two sides that go on after one fault.
// That is on purpose: half of the nodes losing power at once, such as one of two racks, is
// indistinguishable from it and far more frequent, and must not stop the other half.
// Where a split separates the clients too, both halves serve theirs. In a segment of
// two nodes that is every failure. Without a witness the limit is 400 ms there. Of two
// nodes of which one does not hear the other, the one that is not heard gives up.
//
// # News
//
// What a node claims it tells its neighbours itself (Publish), and they know it within
// milliseconds (News): who owns an address is agreed upon on the segment. The Speaker
// object in Kubernetes is the record of it for people and for the controller, and no
// failure waits for the API server to carry it around.
//
// News are a value and not a log: the newest replaces what came before, whole or not at
// all. They go out in fragments that are authenticated as heartbeats are, to the group
// for those who say that it reaches them, to each of the others alone; and they are
// taken only of the process whose heartbeats proved that it lives. Every
// heartbeat tells the number of the sender's news, so whoever lost a fragment, was away
// or just started finds out, and asks for what it lacks.
package liveness
