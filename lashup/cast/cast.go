package cast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
	"fulcrum.example/lashup/route"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// Bounds of a Cast's tables.
const (
	maxLinks = 64
	maxPeers = 256 // of those that were neighbours of late: what they took is remembered
	sources  = 8   // neighbours remembered for a missing message
)

// maxHops is the most hops that a message can have taken: each node passes it on
// once.
const maxHops = route.MaxNodes

// badRate is how many forged or malformed messages a neighbour may send before it
// is not heard for a while.
var badRate = limit.Rate{PerSecond: 1, Burst: 16}

// Rates of what is compressed, in bytes of plain payload: to expand 1 MiB takes
// 1 ms, though it may have come in 1 kB. What a node publishes beyond compressRate
// goes as it is. Of one origin expandRate is expanded: twice as much, and at once
// all that a node compresses while messages are kept, for that may come together
// when links are back.
var (
	compressRate = limit.Rate{PerSecond: 16 << 20, Burst: 16 << 20}
	expandRate   = limit.Rate{PerSecond: 32 << 20, Burst: 192 << 20}
)

// Cast is one node's part in multicasting.
type Cast struct {
	cfg        Config
	now        time.Duration
	began      time.Duration
	out        Ready
	stats      Stats
	seq        uint64
	burst      limit.Bucket
	compressed limit.Bucket // see compressRate
	links      []*link      // by slot; nil: free

	served   *limit.Peers // bytes of repair
	bad      *limit.Peers // forged and malformed messages
	expanded *limit.Peers // see expandRate; by origin

	store    map[ID]*stored
	order    []*stored // oldest first
	bytes    int       // of what is kept
	windows  map[crux.NodeID]*window
	tell     []*stored // to be announced
	tellAt   time.Duration
	missing  map[ID]*missing
	waits    []*missing    // the same, in the order in which they were missed, and some that are over
	missAt   time.Duration // the first of them is due
	grafted  time.Duration // when some were last asked for
	onlys    int           // messages kept that are for some nodes only
	shape    uint64        // of the graph, when those were last sent on
	reviewAt time.Duration
}

// link is a neighbour.
type link struct {
	peer    crux.NodeID
	slot    int
	waiting int // missing messages that it was the first to announce
}

func (l *link) bit() uint64 { return 1 << l.slot }

// muted says whether a neighbour sent so much that was forged that it is not
// heard for a while.
func (c *Cast) muted(peer crux.NodeID) bool { return !c.bad.Has(c.now, peer, badRate, 1) }

// stored is a message that is kept for repair.
type stored struct {
	body   *Body
	at     time.Duration
	hops   uint32
	route  []crux.NodeID // to this node, which is included; nil: not recorded
	roots  uint8         // set of the roots whose copies were pushed on
	have   uint64        // slots of the neighbours that have it by their own word
	pushed uint64        // slots of those to whom it was sent
}

// perSecond is a rate of so many bytes a second, and at once.
func perSecond(bytes int) limit.Rate {
	return limit.Rate{PerSecond: float64(bytes), Burst: float64(bytes)}
}

// New makes a Cast.
func New(cfg Config, now time.Duration) *Cast {
	return &Cast{
		cfg: cfg, now: now, began: now, seq: cfg.Seq, served: limit.NewPeers(maxPeers), bad: limit.NewPeers(maxPeers), expanded: limit.NewPeers(maxPeers),
		store: make(map[ID]*stored), windows: make(map[crux.NodeID]*window), missing: make(map[ID]*missing),
		tellAt: never, missAt: never, reviewAt: never,
	}
}

// String prints the ID as origin.epoch.seq.
func (id ID) String() string { return fmt.Sprintf("%s.%d.%d", id.Origin, id.Epoch, id.Seq) }

// compare orders IDs by origin, incarnation and number.
func (id ID) compare(o ID) int {
	return cmp.Or(id.Origin.Compare(o.Origin), cmp.Compare(id.Epoch, o.Epoch), cmp.Compare(id.Seq, o.Seq))
}

// Stats returns the counters.
func (c *Cast) Stats() Stats { return c.stats }

// Seq is the number of the last message published in this epoch: what the
// process that takes over needs as Config.Seq.
func (c *Cast) Seq() uint64 { return c.seq }

// Neighbours sets the neighbours with which there are links now. A new one is
// told of the messages that are kept: what was lost with a link is repaired over
// the next one.
func (c *Cast) Neighbours(now time.Duration, peers []crux.NodeID) Ready {
	c.begin(now)
	for _, l := range c.links {
		if l != nil && !slices.Contains(peers, l.peer) {
			c.dropLink(l)
		}
	}
	for _, p := range peers {
		if c.link(p) == nil && p != c.cfg.Self {
			if l := c.addLink(p); l != nil {
				c.announceAll(l)
			}
		}
	}
	c.runTimers()
	return c.out
}

// Receive takes in a message from a neighbour.
func (c *Cast) Receive(now time.Duration, peer crux.NodeID, m Message) Ready {
	c.begin(now)
	l := c.link(peer)
	if l == nil || c.muted(peer) {
		return c.out
	}
	switch m := m.(type) {
	case *Push:
		c.onPush(l, m)
	case *IHave:
		c.onIHave(l, m)
	case *Graft:
		c.onGraft(l, m)
	}
	c.runTimers()
	return c.out
}

// Tick does what is due.
func (c *Cast) Tick(now time.Duration) Ready {
	c.begin(now)
	c.runTimers()
	return c.out
}

// NextTick is when Tick has something to do again.
func (c *Cast) NextTick() time.Duration {
	at := min(c.tellAt, c.missAt, c.reviewAt)
	if len(c.order) > 0 {
		at = min(at, c.order[0].at+c.cfg.Params.Keep)
	}
	return at
}

func (c *Cast) begin(now time.Duration) {
	c.now = max(c.now, now)
	c.out = Ready{Sends: c.out.Sends[:0], Delivered: c.out.Delivered[:0]}
}

func (c *Cast) runTimers() {
	if c.now >= c.tellAt {
		c.announce()
	}
	if c.now >= c.missAt {
		c.graft()
	}
	if c.now >= c.reviewAt {
		c.review()
	}
	c.expire()
}

func (c *Cast) link(peer crux.NodeID) *link {
	for _, l := range c.links {
		if l != nil && l.peer == peer {
			return l
		}
	}
	return nil
}

// addLink gives the neighbour a free slot; nil if there is none.
func (c *Cast) addLink(peer crux.NodeID) *link {
	l := &link{peer: peer, slot: slices.Index(c.links, nil)}
	switch {
	case l.slot >= 0:
		c.links[l.slot] = l
	case len(c.links) < maxLinks:
		l.slot = len(c.links)
		c.links = append(c.links, l)
	default:
		return nil
	}
	return l
}

func (c *Cast) dropLink(l *link) {
	c.links[l.slot] = nil
	for _, s := range c.order {
		s.have &^= l.bit()
		s.pushed &^= l.bit()
	}
	for _, m := range c.waits {
		m.forget(l)
	}
}

func (c *Cast) send(l *link, m Message) { c.out.Sends = append(c.out.Sends, Send{l.peer, m}) }

// jitter is a random time between d/2 and d.
func (c *Cast) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(c.cfg.Rand.Int64N(int64(d)/2+1))
}
