// Package fabric is the client of lashup, the event fabric: it tells which
// members are alive and how to reach them, reads, writes and follows keys of the
// replicated store by typed handles, and sends messages to everybody.
//
//	c, err := fabric.Dial(network) // a service routine's crux.Node
//	err = c.Counter("calls", "web").Incr(ctx, 1)
//	for e, err := range c.Watch(ctx, fabric.Prefix("backends")) { … }
//
// A client talks to the lashup of its own node. It needs a rule CALLER:default:
// lashup1 in the bloc file, as for any other API.
//
// # Keys and types
//
// A key is a list of strings. Keys hold counters, sets, maps, flags and
// registers; maps hold named fields of all these types, to any depth. Every key
// is on every node. All members of the bloc may write all keys, so shared keys
// trust every one of them, but for the keys below [Client.Own], which the node
// alone writes, whose batches it signs, and below which [Client.Volatile] has
// what is neither signed nor kept, for values that change all the time.
//
// Writes are operations (add this, count one more), so that those of different
// nodes at the same time merge rather than overwrite each other. A handle's
// methods that end in "ing" give an [Update] without applying it: [Client.Apply]
// applies several at once, all or none.
//
// # Errors and repeated writes
//
// Errors have kinds (crux.KindOf): Invalid, Exhausted, Conflict, Denied and
// Unavailable say that nothing was done. A write that is refused because the
// node's lashup is being replaced is repeated until its context ends, and so is
// one whose connection was lost: it carries an ID by which it is applied once.
// If lashup crashed meanwhile, that ID is forgotten, and the write is repeated
// only if twice is as once (everything but counters' increments, and updates
// with a condition). Otherwise the error is of kind Timeout: whether it was
// applied is not known.
//
// # Watches
//
// A watch gives what exists, then each change once, and goes on by itself when
// lashup is replaced or restarted, or when it read too slowly: changes in
// between that undo each other, or follow each other on one key, are then one.
//
// All functions and methods may be called from any goroutine.
package fabric
