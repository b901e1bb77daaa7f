package crux

import "context"

// Snapshot is what the registry holds for one selector at one time. Rows is
// immutable and shared.
//
// Whole is false while the answer may lack rows that other nodes know (a reeve
// that has just started, or lost its steward before its first full answer): a
// receiver then adds what it sees and drops nothing.
type Snapshot struct {
	Rev   Revision
	Whole bool
	Rows  []Row // status Starting, Serving or Draining; never Gone
}

// Registry answers which services there are. reeve implements it on each node;
// child processes have one that follows their node's.
type Registry interface {
	// Lookup answers from memory: the rows that match, greatest version first,
	// then by node and NetID.
	Lookup(sel Selector) Snapshot
	// Watch sends the present snapshot at once and a new one after each change
	// to the matching rows, until ctx ends, when the channel is closed. A slow
	// receiver gets the newest snapshot, never a stale queue.
	Watch(ctx context.Context, sel Selector) <-chan Snapshot
}

// Publisher is the write side of a node's registry, used by the heartbeater
// alone: it says which endpoints live on this node.
type Publisher interface {
	// Put registers or changes an endpoint of this node: status, key. It
	// returns once the row is in this node's own table; steward and the others
	// learn of it at once, but not before Put returns.
	Put(ctx context.Context, s Fservice, key []byte, generation uint32) error
	// Drop withdraws an endpoint of this node.
	Drop(ctx context.Context, horde Horde, inst Inst, at NetID) error
}
