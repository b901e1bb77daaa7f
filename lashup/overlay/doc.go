// Package overlay chooses a node's neighbours: the membership protocol HyParView
// (Leitão, Pereira, Rodrigues: "HyParView: a membership protocol for reliable
// gossip-based broadcast", DSN 2007), with links that are made and ended by a
// driver.
//
// A Machine is one node's part. Its driver (lashup/fabric) feeds it messages,
// what became of links, and the time, and carries out the Ready that each call
// returns: nodes to dial, links to close, messages to send. The machine does no
// I/O, starts no goroutine, and reads no clock and no global randomness. One
// goroutine owns it.
//
// # How it works
//
// The active view is the neighbours: at most six, each with an open link, and
// always mutual. The passive view is up to thirty other nodes, to take the place
// of a neighbour that is lost. Whoever is new joins through a contact; walks
// over the overlay carry its name to others, which become its neighbours too.
// Shuffles, again walks, exchange parts of the passive views now and then.
//
// It differs from the paper in this:
//
//   - Timers are drawn at random, there are no rounds.
//   - A walk that ends at a node without room splits an edge: the newcomer comes
//     between the node and one of its neighbours. So joins leave every degree as
//     it was, and the graph is near regular. A neighbour that has to go is
//     told whom to try in its place.
//   - Who has just joined has two neighbours, and waits for a while that others come:
//     where many start at once the next ones fill its places. Then it looks for
//     nodes that have room, and has edges split if that was not enough.
//   - A node that lacks neighbours sends a walk of its own (ForwardJoin) over the
//     links that it has, beside promoting passive ones.
//   - Joins are throttled at the contact: the refused one is given others to try.
//   - A node joins through two contacts, so that two that start at once and find
//     only each other do not stay an island.
//   - The answer to a shuffle goes back the way the shuffle came: no link is made
//     for it.
//
// # Links
//
// A link is named by its peer; there is at most one at a time. Whoever dials
// asks (Join or Neighbour), the other accepts or refuses; a link that is refused,
// or of which an end is no longer wanted, is closed. What was queued on a link
// is sent before it closes, and messages of a link arrive in their order. After
// Close the driver reports nothing more of that link, not even its end.
//
// Two nodes may dial each other at a time. Then Wins says, alike on both sides,
// which of the two connections stays. Of two that one side dialled the later
// stays, as that side knows nothing of the earlier; and one that has been up for
// longer than handshakes take gives way to any, for the same reason. The driver
// that replaces a link that it has reported calls LinkUp for the new one;
// LinkDown in between is allowed, and not needed. To Dial where a dial is under
// way is to go on with that.
//
// # What it guarantees
//
// Active and passive view are disjoint, bounded, and without this node. Every
// open link is active, or in a handshake that times out. Once messages have
// arrived and handshakes are over, two nodes agree whether they are neighbours.
// While a node is alone it tries those that it knows for ever, at a falling rate.
// One that says that it has no neighbour, or must have this one, is refused in one
// case only: it would push out a neighbour, and has itself done so three times of
// late (one is forgiven in 10 s), or all have, forty times (20 in a second). It is
// then given others to try. The same holds for joins, which have a limit of their
// own beside it, and for whom a walk names. So who connects, and closes, and
// connects again takes nobody's neighbours away.
package overlay
