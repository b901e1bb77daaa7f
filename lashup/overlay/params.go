package overlay

import (
	"time"

	"fulcrum.example/lashup/limit"
)

// Params are the numbers and times of the overlay. Zero fields mean the default.
type Params struct {
	Active    int           // neighbours at most (6)
	Passive   int           // passive nodes at most (30)
	Walk      int           // hops of a ForwardJoin, and of a Shuffle (ARWL: 6)
	Mention   int           // hops left when a ForwardJoin's node is noted as passive (PRWL: 3)
	Shuffle   time.Duration // the mean time between two shuffles (30 s, ±50%)
	JoinRate  float64       // joins a second that this node takes (10)
	JoinBurst int           // at once (10)
}

func (p Params) withDefaults() Params {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&p.Active, 6)
	def(&p.Passive, 30)
	def(&p.Walk, 6)
	def(&p.Mention, 3)
	def(&p.JoinBurst, 10)
	if p.Shuffle == 0 {
		p.Shuffle = 30 * time.Second
	}
	if p.JoinRate == 0 {
		p.JoinRate = 10
	}
	return p
}

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

// How long what may take.
const (
	dialMin   = 500 * time.Millisecond // for a dial; doubled when that was too short
	dialMax   = 3 * time.Second
	askFor    = 2 * time.Second        // for the peer to answer a Join or a Neighbour
	incomeFor = 2 * time.Second        // for a peer that dialled to say what it wants
	growFor   = 4 * time.Second        // after its first neighbour a node takes others to be starting, too
	growPause = 600 * time.Millisecond // and waits so long after each for the next to come
	trailFor  = 5 * time.Second        // for the answer to a shuffle

	aloneMin = 100 * time.Millisecond // between rounds of tries while alone
	aloneMax = 8 * time.Second
	busyMin  = 40 * time.Millisecond // after a refused join
	busyMax  = time.Second
	seekSoon = 150 * time.Millisecond // after a loss, or the first neighbour
	seekMin  = 250 * time.Millisecond // between walks of a node that lacks neighbours
	seekMax  = 20 * time.Second

	firstShuffle = 2 * time.Second // the mean time to it; doubled each time up to Params.Shuffle
)

// Bounds.
const (
	parallel    = 2  // tries at a time
	maxPending  = 8  // of them with those that take long
	maxIncoming = 64 // peers that have not said yet what they want
	roundTries  = 6  // in one round, while alone
	lossTries   = 3  // passive nodes that are tried in place of a lost neighbour
	anchors     = 2  // contacts that a node joins through
	anchorTries = 6
	busyTurns   = 4 // refused joins until a node that is alone insists
	maxContacts = 32
	maxBans     = 64
	maxTrails   = 32
	maxPushers  = 1024 // for whom a neighbour went of late
	shuffleOwn  = 3    // of the active view in a shuffle (ka)
	shufflePast = 4    // of the passive view (kp)
)

// Rates. The last two are of neighbours that are let go for a node that asks or
// that a walk names: a thousand nodes that start at once through three contacts
// cost those twenty in the worst second, and no two nodes more than two.
var (
	walkRate = limit.Rate{PerSecond: 200, Burst: 200} // ForwardJoins and Shuffles that this node passes on
	takeRate = limit.Rate{PerSecond: 20, Burst: 20}   // dials that walks of others cause here
	pushAll  = limit.Rate{PerSecond: 20, Burst: 40}
	pushOne  = limit.Rate{PerSecond: 0.1, Burst: 3} // for one node
)
