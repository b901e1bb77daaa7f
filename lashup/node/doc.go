// Package node drives the fabric of one node: it is lashup/fabric over sockets.
//
// A lock guards the machine (core.go), and what is done under it takes
// microseconds, so that a ping is answered at once. One goroutine reads the socket
// of datagrams, opens them and gives them to the machine itself; each link has one
// that reads, decodes, verifies and does the same, and one that writes what its
// bounded queue holds; one keeps the machine's timer. Dials, Hellos, probes and
// what asks fulcrum for a signature run in goroutines of their own.
//
// # Who is spoken to
//
// The flock's members, and nobody else. One that an operator removes is gone at
// once: its links are closed and its card is forgotten. One that the whole list of
// the flock that it was last seen in lacks is gone a minute later, for it may be
// back before, and one that is in another flock now, because the flock was divided
// or this node's fulcrum has started anew, a day later: flock decides who is a
// member, and lashup who is alive (roster.go).
//
// The process at the other end of a link is proved by TLS to be an instance of the
// same API on the node that it is taken for; the first frame of each side is its
// card, signed by the node key. Datagrams are sealed with keys that only those two
// processes have. So an address that another node has now, forged cards, replays
// and garbage come to nothing.
//
// A node is found by its newest card, which the fabric spreads, or else by a
// Hello to the address of its row in the registry: the datagrams of a lashup
// process arrive at the UDP port with the number of its gRPC port (Listen).
//
// # When fulcrum is away
//
// Links and datagrams go on. New links wait, because only fulcrum can sign a
// handshake.
//
// # Handover
//
// Freeze stops a node and gives its state and sockets, and Open with those goes on
// in another process in the same epoch, with the same keys: the others see links
// that were made anew, and no other change. From Freeze to Close the old process
// answers pings. Thaw takes everything back.
//
// All methods may be called from any goroutine; the functions of a Sink are called
// with the machine's lock held, and must not wait for anything. Close
// waits for everything that Open started.
package node
