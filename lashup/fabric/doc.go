// Package fabric puts lashup's four cores together, one state machine a node:
// the overlay says whose neighbour this node is, the detector whether they live,
// the routes who is reachable and how, and the multicast speaks to all of them.
//
// It is where they meet. A verdict of the detector takes the neighbour out of
// the overlay and out of this node's adjacency, which says why, and floods at
// once; a node that hears of it and has the same neighbour has it checked at
// once (the cascade); a node that hears it of itself asks its accuser to look
// again and publishes a newer adjacency (it refutes). A link that breaks is no
// verdict: the neighbour is checked at once, and only if it does not answer is
// it gone; if it does, the link is made anew and nobody hears of it. Nodes that
// cannot be reached, and contacts without a neighbour, are looked for at a
// falling rate, so that parts of a divided overlay grow together again.
//
// # What it guarantees
//
// The neighbours that this node publishes are those with whom the overlay is
// linked and whom the detector does not think dead. What it published once it
// never publishes again with another content: the clock rises with each change,
// and the epoch with each process. A node that leaves says so before its links
// close, so that nobody checks it. A node all of whose neighbours fall silent at
// once, or whose own timers run late, doubts itself and accuses nobody.
//
// # Concurrency
//
// The package is pure: no I/O, no clock, no randomness of its own. One goroutine
// owns a Machine with its Index and Cache, calls it with events and the time
// (monotone, since the driver's start), and carries out the Ready that each call
// returns. Every call is light, microseconds at a thousand nodes, so that pings
// are answered at once; what a Ready holds for others belongs in other
// goroutines. Messages, adjacencies and cards are immutable once they are out and
// may be read anywhere.
package fabric
