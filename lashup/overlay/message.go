package overlay

import (
	"fulcrum.example/crux"
)

// Message is one frame on a link. It is immutable once sent.
type Message interface {
	// Size is the exact length in bytes of what Append appends.
	Size() int
	Append(b []byte) []byte
}

// Join asks to become a neighbour, and to make the sender known: the first
// message of whoever dialled.
type Join struct {
	Walks uint8 // how many ForwardJoins to send off; at most 6
}

// Neighbour asks to become a neighbour: the first message of whoever dialled.
type Neighbour struct {
	High bool // the sender has no neighbour, or must have this one: not to be refused, unless it pushes others out too often
}

// Accept makes the receiver, which has asked, a neighbour.
type Accept struct {
	Room   uint8         // neighbours that the sender could take beside the receiver
	Others []crux.NodeID // for the passive view; at most maxOthers
}

// Refuse answers a Join or a Neighbour. The link is closed after it.
type Refuse struct {
	Busy   bool          // there were too many joins just now, or neighbours pushed out
	Others []crux.NodeID // to try; at most maxOthers
}

// Disconnect ends the neighbourhood, and the link.
type Disconnect struct {
	Leaving bool        // the sender is about to end
	Try     crux.NodeID // who would take the receiver in the sender's place; zero: unknown
}

// ForwardJoin carries the name of a node that looks for neighbours over the
// overlay.
type ForwardJoin struct {
	Node crux.NodeID
	Room uint8 // how many neighbours it could take; with 2 or more an edge may be split
	TTL  uint8 // hops that it still goes in any case
	Over uint8 // hops that it goes on after those until somebody can take it
}

// Shuffle carries some nodes of one node's views to another.
type Shuffle struct {
	Origin crux.NodeID
	Seq    uint32 // of the origin's shuffles
	TTL    uint8
	Nodes  []crux.NodeID // at most maxOthers
}

// ShuffleReply goes back the way that the Shuffle came.
type ShuffleReply struct {
	Origin crux.NodeID // of the Shuffle
	Seq    uint32
	Nodes  []crux.NodeID // at most maxOthers
}
