package crux

import (
	"context"
	"crypto/ed25519"
	"net/netip"
)

// MemberState says what the flock knows of a member.
type MemberState uint8

// The states of a member. Suspect: it has not answered its leader for a while;
// it is a member still. Lost: silent for so long that it is not a voter of the
// next epoch; its rows stay until their leases end.
const (
	Alive MemberState = iota + 1
	Suspect
	Lost
)

// String gives the state's lower-case name.
func (s MemberState) String() string {
	switch s {
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Lost:
		return "lost"
	}
	return "unknown"
}

// Member is one node of the flock.
type Member struct {
	ID          NodeID
	Addr        netip.AddrPort // UDP for the flock, TCP for the node's gRPC
	Key         ed25519.PublicKey
	Incarnation uint64
	State       MemberState
}

// View is what a node knows of its flock at one time. It is immutable and
// shared: nobody may change what its slices point to.
type View struct {
	Bloc    BlocID
	Name    string // the flock name that the user chose
	Flock   FlockID
	Epoch   uint64
	Version uint64 // grows with every change that this node sees, whatever the flock
	Self    NodeID
	Leader  NodeID   // zero while there is none
	Acting  bool     // Leader is Self, and a majority has answered lately
	Synced  bool     // Members is whole: this node has what the leader has
	Members []Member // sorted by ID; Self is always among them
	// Evicted are the nodes that an operator removed, ascending, none of them a
	// member: by eviction, for as long as the flock lives, or by taking their keys
	// off the bloc file. Who is in neither list is elsewhere, or silent, or has left.
	Evicted []NodeID
	Hints   []Hint // why this node may be more alone than its user thinks
}

// Member finds a member by ID.
func (v *View) Member(id NodeID) (Member, bool) {
	lo, hi := 0, len(v.Members)
	for lo < hi {
		m := (lo + hi) / 2
		if v.Members[m].ID.Compare(id) < 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(v.Members) && v.Members[lo].ID == id {
		return v.Members[lo], true
	}
	return Member{}, false
}

// Hint is something seen that explains why another node is not in this flock.
// Unless Authenticated, anybody who can send a packet could have caused it.
type Hint struct {
	From          netip.AddrPort
	Authenticated bool
	Text          string // one sentence, as "nodes at 10.0.0.7 use another key"
}

// Members lets a component follow the flock.
type Members interface {
	// View is the newest view; never nil. It does not block.
	View() *View
	// Watch sends the newest view at once and again after each change, until
	// ctx ends, when the channel is closed. A slow receiver misses views in
	// between, never the last.
	Watch(ctx context.Context) <-chan *View
}

// Flock is a group protocol: it finds the other nodes of the bloc, agrees on
// members and a leader, and keeps doing so. The one that fulcrum ships is
// flock/node; another technique can take its place behind this interface.
//
// Guarantees: at most one leader for each (FlockID, Epoch), under partitions
// and suspended processes too; flocks with different names, and different
// blocs, never merge.
type Flock interface {
	Members
	// Evict removes a member: it gets no further keys. Only the leader can;
	// elsewhere it fails with Unavailable and names the leader.
	Evict(ctx context.Context, id NodeID) error
	// Close leaves the flock, tells the leader, and waits for all it started.
	Close() error
}
