// Package route knows the whole overlay: every node's adjacency, who is
// reachable, and the shortest paths from anywhere to anywhere.
//
// Each node publishes an Adjacency: the neighbours that it has now, the former
// ones with the reason why they are gone (Cuts), and its Card. It is signed by
// the session key in the card, and the card by the node key, so nobody can speak
// for another node. A Gossip spreads adjacencies: what is new floods over the
// links, and digests repair what a flood missed. A Table keeps the newest one of
// each node and answers questions about the graph; a Healer says which
// unreachable nodes to probe, so that parts that were cut off grow together
// again.
//
// # What it guarantees
//
// Newer means a greater (Epoch, Clock). An older adjacency never replaces a newer
// one, and one with the same stamp and another content is refused. What was
// forgotten does not come back by gossip; only something newer does.
//
// An edge is in the graph only if both ends list it in their newest adjacency, so
// no node can claim an edge to another, and one side's word ends it. A node is
// Up while the graph reaches it from here. It goes Down when nobody reachable
// vouches for it any more: one half-dead neighbour cannot take it down. A node
// that says it is leaving is Down for the others, and carries none of their
// traffic; its own still goes out.
//
// Two nodes with the same adjacencies compute the same tree for an origin.
// Trees are of shortest paths (breadth first); ties go to the neighbour found
// first, in the order of the node IDs.
//
// No message, from anyone, makes it panic. Only nodes that Allowed admits have a
// row, so tables are bounded by the flock, and by MaxNodes. What a neighbour may
// cost is bounded, too, over all its links: signatures to check that nobody asked
// it for, forged ones, comparisons, bytes of repair. News beyond that are dropped;
// the next comparison with any neighbour finds them.
//
// # Concurrency
//
// The package is pure: time and randomness are parameters, signatures are
// verified by a function that the caller gives. One goroutine owns a Table with
// its Gossip and Healer, the Index and the Cache. Adjacencies and Cards are
// immutable once published and may be read anywhere; Trees only by the owner. In the
// simulator thousands of tables in one goroutine share one Index and one Cache.
package route
