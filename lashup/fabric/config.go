package fabric

import (
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

// Config is what a Machine is made of.
type Config struct {
	// Card introduces this process. Needed.
	Card *route.Card
	// Rand is the source of everything that is left to chance. Needed.
	Rand *rand.Rand
	// Index and Cache are shared by all machines of a goroutine (one in
	// production). Needed.
	Index *route.Index
	Cache *route.Cache
	// Sign sets Sig of an adjacency of this node; Verify checks one of another:
	// the card's signature, and the adjacency's. Needed.
	Sign   func(*route.Adjacency)
	Verify func(*route.Adjacency) bool
	// SignCast signs a multicast with the session key; VerifyCast checks one by
	// the session key in its origin's card. Needed.
	SignCast   func(signed []byte) [64]byte
	VerifyCast func(card *route.Card, signed []byte, sig [64]byte) bool
	// Room, if not nil, says how many bytes the queue of the link to a peer still
	// takes.
	Room func(peer crux.NodeID) int
	// Clock and CastSeq are what Machine.Clock and Machine.CastSeq said in a
	// process that this one takes over from in the same epoch; else 0.
	Clock   uint64
	CastSeq uint64
	// Saved are nodes that were known when Saved was last called, from disk.
	Saved []crux.NodeID
	// Master marks this node.
	Master bool
	// Params of the parts; zero means the defaults.
	Overlay overlay.Params
	Detect  detect.Params
	Cast    cast.Params
}

// Times and bounds of the machine itself.
const (
	// publishGap is the least time between two adjacencies that bring no bad
	// news: changes that come together are published together.
	publishGap    = 50 * time.Millisecond
	startGap      = 300 * time.Millisecond // the same in the first while, when each link is one of many
	startFor      = 5 * time.Second
	gapPerUpdate  = 5 * time.Millisecond // more for each adjacency of others of late
	maxPublishGap = time.Second
	// A neighbour that answers pings may be without a link for mendLimit before
	// the overlay looks for another; who had not dialled it helps after
	// mendHelp.
	mendLimit = 2 * time.Second
	mendHelp  = 500 * time.Millisecond
	// renewLimit is how long two nodes whose link was made anew may take to
	// agree that they are still neighbours.
	renewLimit = time.Second
	// avoidFor is how long a neighbour that was found dead is not tried again,
	// unless it is heard of before.
	avoidFor = 30 * time.Second
	// retryAfter is the same where the fault may be with this node.
	retryAfter = time.Second
	// saveEvery is the least time between two wishes to save.
	saveEvery = 10 * time.Second
	saveFirst = 3 * time.Second
	maxSaved  = 64
	// askEvery is how often a node that this one cut off, and others reach, is
	// asked again.
	askEvery = 15 * time.Second
	maxAsked = 64
	maxCuts  = 32
	// backWithin is the time over which the nodes that hear a lost one again make
	// it their neighbour.
	backWithin = 500 * time.Millisecond
	maxBack    = 64
	// comesWithin is how long a node that was never up has to come by itself: it
	// may be just starting.
	comesWithin = 2 * time.Second
	// underWay is how long an adjacency may take to everybody: one that comes
	// later was published after what is known by now.
	underWay = time.Second
	// maxEvicted bounds who is remembered as evicted, to be let back at once
	// when the flock has it again; others come back when they ask.
	maxEvicted = 4096
)
