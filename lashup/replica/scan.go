package replica

import "fulcrum.example/lashup/crdt"

// Item is what is known of a key.
type Item struct {
	Key     []string
	Value   crdt.Value   // of type 0: nothing is there
	Context crdt.Context // for Write.Seen; the caller's own
	Version Version
}

// WatchID names a watch.
type WatchID uint64

// EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	// Changed: a key has another value than before.
	Changed EventKind = iota + 1
	// Synced: what existed when the watch began, or what changed since the
	// version that it resumes from, has been given.
	Synced
	// FellBehind: the queue overflowed; the watch is over. A new watch from
	// Version goes on.
	FellBehind
)

// Event is one event of a watch.
type Event struct {
	Kind     EventKind
	Key      []string
	Old, New crdt.Value // of type 0: nothing was there, nothing is
	// Existing: it was so when the watch began or resumed. OldUnknown: Old is
	// not known, for the watch was resumed.
	Existing, OldUnknown bool
	// Whole, in Synced: everything that exists was given, and what was not does
	// not exist; either the watch began at the zero Version, or the replica
	// does not know any more what has changed since the version it was to
	// resume from.
	Whole bool
	// Version is where to resume from when this event was the last. It is zero
	// before Synced if that is going to be Whole.
	Version Version
}
