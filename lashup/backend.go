package lashup

import (
	"context"
	"net/netip"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/crdt"
	pb "fulcrum.example/protos/lashup"
)

// What the handlers need of the fabric and of the store. Methods may be called
// from any goroutine.

// network is the fabric.
type network interface {
	self() crux.NodeID
	// members is how the members fare now, by node.
	members() roster
	// changed is closed at the next change of members.
	changed() <-chan struct{}
	// tree gives all members by distance from origin, then by node, those out of
	// reach last. NotFound: origin is no member.
	tree(ctx context.Context, origin crux.NodeID) ([]branch, error)
	// check takes half a second at most. NotFound: id is no member.
	check(ctx context.Context, id crux.NodeID) (checked, error)
	publish(ctx context.Context, r cast.Request) (cast.ID, error)
	counts() map[string]int64
}

// roster is how the members fare, as this node sees them.
type roster struct {
	list           []member // by node
	isolated       bool
	cutFromMasters bool
}

type member struct {
	id        crux.NodeID
	state     pb.State
	since     time.Time
	rtt       time.Duration
	distance  int // -1: no way
	addr      netip.AddrPort
	seenBy    []crux.NodeID
	master    bool
	neighbour bool
}

// branch is a node in a tree.
type branch struct {
	id, parent crux.NodeID
	distance   int // -1: no way
}

// checked is the outcome of a check.
type checked struct {
	state pb.State
	rtt   time.Duration
	by    crux.NodeID
}

// storage is the store. Versions are numbers that grow.
type storage interface {
	// write applies all or none and returns once they are on disk.
	write(ctx context.Context, list []write) (version uint64, err error)
	read(ctx context.Context, key []string) (entry, error)
	// scan calls f for the keys that p selects, in their order, until it says
	// false.
	scan(ctx context.Context, p pattern, f func(entry) bool) error
	// watch begins to follow the keys that p selects: after the version since,
	// or from the beginning if it is 0.
	watch(p pattern, since uint64) (watch, error)
	counts() map[string]int64
}

// write is one operation on one key.
type write struct {
	key      []string
	op       crdt.Op
	context  *crdt.Context // nil: whatever is there
	volatile bool
}

// entry is what is known of a key.
type entry struct {
	key     []string
	value   crdt.Value
	context crdt.Context
	version uint64
}

// pattern selects keys, as the protos have it.
type pattern struct {
	elements []string
	prefix   bool
}

// watch is one watcher's queue.
type watch interface {
	// more holds a token when there may be something to take.
	more() <-chan struct{}
	// take gives what is queued. behind: the queue overflowed after it, and the
	// watch is over.
	take() (events []event, behind bool)
	close()
}

// event is one event of a watch: a change, or that what existed has been given.
type event struct {
	synced     bool
	whole      bool // synced: everything that exists was given
	key        []string
	old, new   crdt.Value
	oldUnknown bool
	existing   bool
	version    uint64
}
