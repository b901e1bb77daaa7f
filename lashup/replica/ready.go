package replica

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// Ready is what a call asks of the driver. It is valid until the next call.
type Ready struct {
	Sends []Send   // to neighbours, in order, reliably (fabric.SendTo)
	Casts [][]byte // to be multicast to all members (topic "lashup/kv")

	// Persist are entries to write to disk, in this order, of batch Batch (0:
	// none). After a crash a batch is there as a whole or not at all, and not
	// without all earlier ones; only one of more than BatchSize bytes may be
	// there in part, its first entries then. When a batch and all earlier ones
	// are on disk, the driver calls Persisted.
	Persist []Entry
	Batch   uint64

	Acks    []Ack
	Watches []WatchID // watches that have something to take, by Next

	// Renew asks for a new incarnation: the others have closed this one, as that
	// of a node that does not come back. The driver makes another Replica.
	Renew bool
	// Repaired are keys whose value here was found to be corrupt and was
	// replaced by the neighbours'. For a log.
	Repaired [][]string
}

// BatchSize is how many bytes of entries the driver must be able to write at once.
const BatchSize = 48 << 20

// Send is a message to a neighbour.
type Send struct {
	To  crux.NodeID
	Msg Message
}

// Entry is a line of the disk's table. A nil Value deletes it.
type Entry struct{ Key, Value []byte }

// Request is a set of writes: all are applied, or none.
type Request struct {
	Token  uint64 // repeated by the Ack
	Writes []Write
}

// Write is one operation on one key.
type Write struct {
	Key []string
	Op  crdt.Op
	// Seen, if not nil, is the context that Get gave; if the key has changed
	// since, the write is refused with Conflict.
	Seen *crdt.Context
	// Volatile is for keys below node/ID/volatile, and those only: see the
	// package's documentation.
	Volatile bool
}

// Ack is the outcome of a Request. Err is nil: its entries are on disk (volatile
// ones: it is applied). Errors, where nothing was done: Invalid, the key or the
// operation is malformed, or does not fit the key's type; Denied, the key is
// another node's; Conflict, see Write.Seen; Exhausted, a limit of the message or
// of the queues was reached; Unavailable, the disk has failed and has not been
// written to since. Any other error comes from Persisted: the write was applied,
// others may have seen it, and it may or may not survive a crash.
type Ack struct {
	Token   uint64
	Err     error
	Version Version // a watch that resumes from here sees what comes after
}

// Version is a point in the life of one node's replica. Those of one epoch are
// in the order of their numbers. The zero Version is before everything.
type Version struct {
	Epoch  uint64 // the incarnation
	Number uint64
}
