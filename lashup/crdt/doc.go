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
package crdt
