package route

import (
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
)

// GossipConfig is what a Gossip is made of. All fields are needed.
type GossipConfig struct {
	Table *Table
	Rand  *rand.Rand
	// Allowed says whether a node may have a row: whether it is a member.
	Allowed func(crux.NodeID) bool
	// Verify checks an adjacency that came in: its card's signature by the node
	// key, and its own by the card's session key.
	Verify func(*Adjacency) bool
}

// Send is a message for a neighbour.
type Send struct {
	To  crux.NodeID
	Msg Message
}

// GossipReady is what a call asks of the caller. Its slices are good until the
// next call of the Gossip.
type GossipReady struct {
	Sends []Send
	// Updated are the rows that changed, in order, this node's own included;
	// Before are those that they replaced, nil for new nodes.
	Updated, Before []*Adjacency
	// Ahead, if not nil, is an adjacency of this very node that is newer than
	// its own: it must publish one that is newer still.
	Ahead *Adjacency
}

// GossipStats counts what a Gossip did. It only grows.
type GossipStats struct {
	News   uint64 // changes taken in that flooded here
	Stale  uint64 // and those that were known already
	Pulled uint64 // rows taken in by repair
	Bad    uint64 // adjacencies refused: forged, or two with one stamp
	Slowed uint64 // changes that waited because their row changes all the time
	Over   uint64 // changes and comparisons put off because their neighbour has cost too much of late
}

// Times and bounds of gossip.
const (
	holdNews    = 5 * time.Millisecond  // so long changes gather, if nobody's life depends on them
	holdMost    = 50 * time.Millisecond // the same while there are very many
	holdEach    = time.Millisecond      // more for each change of late
	churnHalf   = time.Second           // in which half of those are forgotten
	digestEvery = 10 * time.Second      // ± half
	pullOver    = time.Second           // without an answer
	pullLater   = 150 * time.Millisecond
	pullAgain   = 5 * time.Second       // after a pull, unless the neighbour says by itself that it has news
	tellAfter   = 60 * time.Millisecond // a pull, and what floods now has arrived
	maxLinks    = 64
	maxPeers    = 256 // of those that were neighbours of late: what they took is remembered
	maxAsked    = 256 // nodes asked for that did not come yet
	maxChanges  = 16  // of one row that flood on at once within a second
	maxRates    = 128 // rows whose changes are counted
)

// Gossip keeps a table the same as everybody's. Changes flood: each goes to all
// links but those that have it. Digests find what a flood missed, when a link
// comes up and now and then. One goroutine owns it.
type Gossip struct {
	cfg       GossipConfig
	t         *Table
	now       time.Duration
	out       GossipReady
	stats     GossipStats
	links     []*link // by slot; nil: free
	queue     pending
	rates     rates
	churn     churn
	asked     []crux.NodeID // by Want, for news that came bare
	pull      pulling
	strangers bool          // rows were left out of late that Allowed did not admit
	next      time.Duration // the periodic digest

	served *limit.Peers // bytes of repair
	work   *limit.Peers // see workRate
	bad    *limit.Peers // forged adjacencies
}

// NewGossip makes the gossip of a table.
func NewGossip(cfg GossipConfig, now time.Duration) *Gossip {
	g := &Gossip{
		cfg: cfg, t: cfg.Table, now: now,
		served: limit.NewPeers(maxPeers), work: limit.NewPeers(maxPeers), bad: limit.NewPeers(maxPeers),
	}
	g.queue.at = never
	g.pull.reset()
	g.next = now + g.jitter(digestEvery)
	return g
}

// Stats returns the counters.
func (g *Gossip) Stats() GossipStats { return g.stats }

// LinkUp adds a neighbour, and compares tables with it.
func (g *Gossip) LinkUp(now time.Duration, peer crux.NodeID) GossipReady {
	g.begin(now)
	if g.link(peer) == nil {
		if l := g.addLink(peer); l != nil {
			g.tell(l, false)
		}
	}
	return g.end()
}

// LinkDown takes a neighbour away.
func (g *Gossip) LinkDown(now time.Duration, peer crux.NodeID) GossipReady {
	g.begin(now)
	if l := g.link(peer); l != nil {
		g.links[l.slot] = nil
		g.queue.forget(l.slot)
		if g.pull.from == l {
			g.pull.reset()
			g.pullNext()
		}
	}
	return g.end()
}

// Publish takes in this node's own next adjacency and sends it to all links.
// Errors: Invalid, it is malformed or another's; Conflict, it is not newer than
// the one before.
func (g *Gossip) Publish(now time.Duration, a *Adjacency) (GossipReady, error) {
	const op = "publish adjacency"
	g.begin(now)
	if a.Node != g.t.self {
		return g.end(), crux.Errorf(op, crux.Invalid, "%s is not this node", a.Node)
	}
	old := g.t.Get(a.Node)
	changed, err := g.t.Update(a)
	if err == nil && !changed {
		err = crux.Errorf(op, crux.Conflict, "%d.%d is not newer than what was published before", a.Epoch, a.Clock)
	}
	if err != nil {
		return g.end(), crux.Wrap(op, err)
	}
	g.updated(old, a)
	g.floodOn(change{i: g.t.me, bare: sameCard(old, a)}, 0)
	g.runTimers()
	return g.end(), nil
}

// Receive takes in a message from a neighbour.
func (g *Gossip) Receive(now time.Duration, peer crux.NodeID, m Message) GossipReady {
	g.begin(now)
	l := g.link(peer)
	if l == nil || g.muted(peer) {
		return g.end()
	}
	switch m := m.(type) {
	case *Digest:
		g.onDigest(l, m)
	case *Buckets:
		g.onBuckets(l, m)
	case *Summary:
		g.onSummary(l, m)
	case *Want:
		g.onWant(l, m)
	case *Rows:
		g.onRows(l, m)
	case *News:
		g.onNews(l, m)
	}
	g.runTimers()
	return g.end()
}

// Compare compares tables with all neighbours again if rows were left out that
// Allowed did not admit: it admits others now.
func (g *Gossip) Compare(now time.Duration) GossipReady {
	g.begin(now)
	if g.strangers {
		g.strangers = false
		g.tellAll(nil)
	}
	return g.end()
}

// Readmit tells that a node which the table was to forget is a member again: it may
// come with the row that it had.
func (g *Gossip) Readmit(id crux.NodeID) {
	g.t.readmit(id)
	g.strangers = true
}

// allowed says whether a node may have a row.
func (g *Gossip) allowed(id crux.NodeID) bool {
	ok := g.cfg.Allowed(id)
	g.strangers = g.strangers || !ok
	return ok
}

// Tick does what is due.
func (g *Gossip) Tick(now time.Duration) GossipReady {
	g.begin(now)
	g.runTimers()
	return g.end()
}

// NextTick is when Tick has something to do again.
func (g *Gossip) NextTick() time.Duration {
	at := min(g.queue.at, g.pull.until, g.pull.tellAt, g.next)
	if g.pull.from == nil {
		for _, l := range g.links {
			if l != nil {
				at = min(at, l.pullAt)
			}
		}
	}
	return at
}

func (g *Gossip) begin(now time.Duration) {
	g.now = max(g.now, now)
	g.out = GossipReady{Sends: g.out.Sends[:0], Updated: g.out.Updated[:0], Before: g.out.Before[:0]}
}

func (g *Gossip) end() GossipReady { return g.out }

func (g *Gossip) runTimers() {
	if g.now >= g.queue.at {
		g.flush()
	}
	if g.now >= g.pull.until {
		g.pull.reset()
		g.pullNext()
	}
	if g.now >= g.pull.tellAt {
		g.tellPulled()
	}
	if g.pull.from == nil {
		g.pullNext()
	}
	if g.now >= g.next {
		g.next = g.now + g.jitter(digestEvery)
		if l := g.anyLink(); l != nil {
			g.tell(l, false)
		}
		g.tidy()
	}
}

// tidy has the table take no more room than its rows need. Nothing here may refer
// to rows by their numbers then.
func (g *Gossip) tidy() {
	if len(g.queue.rows) == 0 && len(g.pull.unseen) == 0 && g.t.shrink() {
		g.rates = rates{}
	}
}

func (g *Gossip) send(l *link, m Message) {
	g.out.Sends = append(g.out.Sends, Send{l.peer, m})
}

func (g *Gossip) updated(old, a *Adjacency) {
	g.out.Updated = append(g.out.Updated, a)
	g.out.Before = append(g.out.Before, old)
}

// jitter is a random time between d/2 and 3d/2.
func (g *Gossip) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(g.cfg.Rand.Int64N(int64(d)+1))
}
