// Package crdt holds the data types of the lashup store: counters, sets, flags,
// registers and maps of them to any depth, which every replica may change at any
// time and which come out the same on all of them once all have heard of the same
// operations, in whatever order, however often.
//
// A State is the value of one key: what is there (a dot store) and what has been
// seen (a causal context). State.Apply carries out an Op on it and returns a
// delta, which is a State too and about as long as the operation. State.Join
// takes in a delta or a whole state; it is associative, commutative and
// idempotent, so deltas may be lost, repeated, reordered and joined with one
// another, and whole states make up for what was lost. (Almeida, Shoker and
// Baquero, Delta State Replicated Data Types, 2018.)
//
// The package is pure: no I/O, goroutines, clock or randomness. One goroutine
// owns a State. Apply, Join and Fold change the State they are called on and
// nothing else; an Op, and a delta once it was made, are never changed and may be
// shared.
//
// # What the types do
//
// An operation works on what its replica has seen. Removing (an element, a field,
// all of a key) takes back the operations that were seen, and is no error where
// there are none; what others do concurrently stays, alone. So a counter that is
// reset while another replica increments it ends with that increment. An add-wins
// set keeps an element that is added and removed concurrently, a remove-wins set
// does not; the flags are likewise. A last-writer register shows the latest of
// concurrent values by timestamp and then by dot; but a value always wins over
// those that its writer saw. A multi-value register shows all.
//
// A set, map or flag from which all was removed is absent, as if it had never been;
// a key or a field that is absent has no type, and the next operation may give it
// another. Concurrent operations that give a key different types are all kept; the
// lowest type is read, and Reset removes them all.
//
// # What is kept of what is gone
//
// Nothing, but for the context (one span a node, when no deltas are missing), and
//
//   - of a counter that was reset, a floor an actor, until the actor increments it
//     again or is folded;
//   - of a remove-wins set, the elements that were removed, until the set is.
//
// An absent state may be forgotten when every replica has it (causal stability);
// that is the store's to know.
//
// # Dots
//
// A Dot is a number of its actor's sequence over all keys. An operation takes as
// many as it has effects (Op.Dots), so that each can be removed by itself. The
// delta of an operation has seen its actor's numbers from the last one that the
// key saw up to its own, and the dots that it removes. The context of a whole state
// is therefore one span an actor.
//
// # Folding closed incarnations
//
// A node that is opened again is a new actor, so a key that a node wrote to in
// many of its incarnations collects a span and, in a counter, an entry for each.
// State.Fold(node, before) makes one of them. It is for a replica's whole states,
// and a replica may call it when
//
//  1. the incarnations of the node before that one have ended;
//  2. every member has noted, durably and for others to see, that it has all that
//     those incarnations did, and all that its own earlier ones did (as it lost
//     what it had not synced in a crash, it may need to hear of that from others);
//  3. the replica itself has all that each of the members had when it noted that.
//
// A member that was away for so long that the others no longer wait for it, or
// that was restored from a backup older than its note, takes a snapshot of another
// replica before it writes. A note that is an operation of its member's makes (3)
// easy to know: having the note and all that its writer did before it will do.
//
// Replicas fold at different times, and states, deltas and fragments of before
// and after, in flight for however long, join as if none had folded. Why:
//
// The context. Fold adds to it all that the closed incarnations did or might have
// done, as one span. Marks of a node are ordered by incarnation and then by number,
// so that such a set is a span like any other, and joins, comparisons and
// differences of contexts are those of sets, whoever has folded. By (1) and (2) the
// state has seen all of the set that exists, so that adding it claims nothing false.
// Nothing is renamed: the dots that are alive keep their names.
//
// Counters. Call an actor's part of a counter its cell and floor. By (2) the cells
// of closed incarnations are final and known to all. Call a reset old if its writer
// had not noted (2) yet, else new. A new reset has seen all of these cells, so it puts
// a floor at the top of each that is alive for its writer; all are dead after it. By
// (3) the state has all old resets. So of the cells that are alive in it, what is
// left is final but for one thing: the next new reset takes all of it. Their
// sum can be kept in one entry, folded, in the place of the last of the cells
// that are alive: that one's actor L and top. A new reset, by whoever has or has not
// folded, is known by a floor of L at that top; a lower floor of L, and any floor of
// an earlier incarnation, is of an old reset and in the sum already. Hence the rules
// of the join: a folded entry stands for all entries of its node up to its
// incarnation, it prevails over a plain cell of its actor, and it falls to a floor at its
// top, which is then folded itself: it takes the cells that the sum was made of from
// who has not folded. Cells of closed incarnations later than L are dead; who still has
// them, for an old reset has not come there, loses them to that reset or to the
// context of any state that has folded, as with dots.
//
// Two that fold different incarnations: of two folded entries of one node the
// later stands for the earlier, and (3) for the later fold implies (3) for the
// earlier one, so what they both count they count alike.
package crdt
