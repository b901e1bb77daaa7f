// Package cast sends a message to every node, or to some, along the trees that
// each node computes for itself from its route.Table.
//
// A published message is pushed eagerly to the neighbours in the tree of its
// root, who push it on: about n-1 copies for n nodes. To the neighbours that are
// not known to have it, a node announces it a little later (i-have); who misses
// it asks for it, and pushes it on to its own part of the tree. Trees may differ
// from node to node while their tables converge, and links may break: as long as
// the overlay hangs together, everybody gets the message, by Plumtree's lazy
// repair (Leitão, Pereira, Rodrigues, SRDS 2007), here without its prune
// messages, for the tree is known.
//
// # What it guarantees
//
// A message is delivered at most once in a process's life, whatever copies come.
// It is delivered to every node that live links connect to the origin, directly
// or through others, within the time that messages are kept for repair (10 s).
// Links are streams: they carry everything in order, or break; what was lost with
// one is repaired over the others, or over the next one. Beyond these bounds it is
// best effort, and a node that comes later gets nothing old.
//
// Messages are signed by their origin's session key, so that no member can forge
// another's, or change its topic, its payload, its options or whom it is for.
// What forwarders add (hops, the recorded route) is their word only. Whatever
// they say, what is sent on can be read.
//
// No message, from anyone, makes it panic. All state is bounded, by bytes where
// payloads are kept and by counts elsewhere; what does not fit is refused with
// Exhausted. What a neighbour was served, and what it forged, is remembered when
// its link ends and another one comes.
//
// # Concurrency
//
// The package is pure: time and randomness are parameters, signatures are
// functions that the caller gives. One goroutine owns a Cast, and it is the one
// that owns its route.Table. Messages are immutable once sent.
package cast
