// Package flock is the flock protocol as a pure state machine: the nodes of a
// bloc find one another, become one group with one leader, and stay one.
//
// A Machine is one node. Its driver (flock/node, or flock/sim in the simulator)
// feeds it packets and the time and carries out the Ready that each call
// returns: packets to send, keys to use, a view to publish. The machine does no
// I/O, starts no goroutine, reads no clock and no global randomness; keys are
// made from Config.Entropy and records are signed by Config.Sign. One goroutine
// owns a Machine; no method may be called from another.
//
// # What it guarantees
//
// At most one node ever acts as leader of a (flock ID, epoch), whatever is lost,
// delayed, cut, crashed, restarted or suspended. The proof is in elect.go.
//
// No message, from anyone, makes it panic; what is stale, unknown or out of
// place is ignored and counted in Stats. All tables are bounded.
//
// # How it works
//
// A node starts as a flock of one (probe.go) and sends Hellos to candidate
// addresses. Each Hello carries the sender's flock and the best one it has heard
// of, so that word of the best flock spreads like a rumour. A node that is alone
// joins the best flock it knows (join.go: Join, Offer, Accept, Grant). A flock
// of several does the same as a whole (merge.go): its leader has the better
// flock prove its size by its members' signatures, and then sends its members
// there.
//
// The leader keeps the list of members (list.go), which spreads along a tree
// over the members' slots and is repaired by pulls; beats (beat.go) tell every
// member the newest version and its hash, and tell the leader who is alive.
//
// Time passes in epochs (epoch.go). Each has one leader, one secret and a fixed
// set of voters; the next one begins when a majority of the voters agrees to it,
// whether their leader asks (new members, key rotation) or, when it is silent,
// one of them (elect.go). A side that cannot reach a majority founds a new flock
// and merges again when it can.
package flock
