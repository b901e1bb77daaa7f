package cast

import (
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// Bounds of one message; more is refused.
const (
	MaxPayload = 1<<20 + 64<<10 // bytes, before compression
	MaxTopic   = 128            // bytes
	MaxFanout  = 8
	MaxOnly    = 1024  // nodes
	MaxTTL     = 65535 // hops, of a limit; no message takes more than maxHops
	MaxRoute   = 255   // nodes recorded; a longer way is recorded up to there
)

// Params are the times and bounds of a Cast.
type Params struct {
	Keep     time.Duration // messages are kept so long for repair
	Announce time.Duration // announcements gather for at most so long
	Wait     time.Duration // for the message, after an announcement
	Retry    time.Duration // for the answer of one neighbour before the next is asked
	Store    int           // bytes of the messages kept
	Burst    int           // bytes that this node may publish a second, and at once
	Serve    int           // bytes of repair for one neighbour a second, and at once
	Missing  int           // announced messages of one neighbour that are being waited for
}

// DefaultParams repair a loss in some 0.1 s and keep at most 16 MiB.
func DefaultParams() Params {
	return Params{
		Keep: 10 * time.Second, Announce: 50 * time.Millisecond, Wait: 50 * time.Millisecond, Retry: 150 * time.Millisecond,
		Store: 16 << 20, Burst: 8 << 20, Serve: 8 << 20, Missing: 1024,
	}
}

// Config is what a Cast is made of. All fields but Seq and Room are needed.
type Config struct {
	Self   crux.NodeID
	Epoch  uint64 // the incarnation: that of this node's card
	Seq    uint64 // the last number used in this epoch, by the process before this one
	Rand   *rand.Rand
	Table  *route.Table
	Params Params
	// Sign signs with this node's session key.
	Sign func(msg []byte) [64]byte
	// Verify checks a signature by the session key of a card.
	Verify func(card *route.Card, msg []byte, sig [64]byte) bool
	// Room, if not nil, says how many bytes the queue to a neighbour still
	// takes. What does not fit is not pushed; the neighbour asks for it later.
	Room func(peer crux.NodeID) int
}

// ID names a message: the Seq-th of one incarnation of its origin.
type ID struct {
	Origin     crux.NodeID
	Epoch, Seq uint64
}

// Options say how a message is sent. The zero value sends it to everybody.
type Options struct {
	RecordRoute bool          // deliver with the way that it took
	Loop        bool          // deliver at the origin, too
	Fanout      int           // copies, over trees of so many different roots; 0 means 1; at most MaxFanout
	TTL         int           // the most hops from the origin; 0: no limit; at most MaxTTL
	Only        []crux.NodeID // deliver to these only, over the part of the tree that leads to them; at most MaxOnly
	Compress    bool          // compress the payload, where that helps; at most 16 MiB a second
}

// Request is what Publish sends.
type Request struct {
	Topic   string // 1 to MaxTopic bytes
	Payload []byte // at most MaxPayload bytes; not to be changed afterwards
	Options Options
}

// Send is a message for a neighbour.
type Send struct {
	To  crux.NodeID
	Msg Message
}

// Delivery is a message that arrived, once. Payload and Route must not be
// changed.
type Delivery struct {
	ID      ID
	Topic   string
	Payload []byte
	Route   []crux.NodeID // if recorded: from the origin to this node, both included
}

// Ready is what a call asks of the caller. Its slices are good until the next
// call of the Cast.
type Ready struct {
	Sends     []Send
	Delivered []Delivery
}

// Stats counts what a Cast did. It only grows.
type Stats struct {
	Published uint64
	Delivered uint64
	Pushed    uint64 // copies sent along a tree
	Duplicate uint64 // copies that came for nothing
	Asked     uint64 // messages asked for by repair
	Served    uint64 // messages sent by repair
	Held      uint64 // copies not pushed for lack of room
	Evicted   uint64 // messages that were not kept for as long as they should be
	GivenUp   uint64 // announced messages that nobody sent
	Bad       uint64 // messages refused: forged or malformed
}
