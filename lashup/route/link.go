package route

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
)

// link is a neighbour.
type link struct {
	peer   crux.NodeID
	slot   int
	hash   uint64 // what it last said of its table
	count  uint32
	told   uint64 // what it was last told of this one
	toldAt time.Duration
	stale  bool          // its table differs from this one, and a pull must wait
	pullAt time.Duration // when to pull from it, if it still differs
	pulled time.Duration // when that was last done
}

// badRate is how many forged adjacencies a neighbour may send before it is not
// heard for a while.
var badRate = limit.Rate{PerSecond: 1, Burst: 16}

// workRate is what a neighbour may cost unasked, in checks of an adjacency's
// signatures (some 0.1 ms each). At once it is as much as the largest database:
// everybody may start, or part and meet again, at a time.
var workRate = limit.Rate{PerSecond: 1000, Burst: MaxNodes}

// scanRows is how many rows are looked through for the work of one check.
const scanRows = 4096

// What a neighbour may have of repair.
const (
	serveEvery   = 10      // seconds, in which it may have:
	serveBase    = 1 << 20 // bytes, and four times the database
	leastServed  = 1 << 10 // bytes that a request counts as, at least,
	servedPerRow = 4       // and for each row that is looked at for it
)

func (g *Gossip) link(peer crux.NodeID) *link {
	for _, l := range g.links {
		if l != nil && l.peer == peer {
			return l
		}
	}
	return nil
}

// muted says whether a neighbour sent so much that was forged that it is not
// heard for a while.
func (g *Gossip) muted(peer crux.NodeID) bool { return !g.bad.Has(g.now, peer, badRate, 1) }

// afford says whether a neighbour may cost so many checks more. What it may not
// is left to the next comparison of tables, with whomever.
func (g *Gossip) afford(l *link, checks float64) bool {
	if !g.work.Take(g.now, l.peer, workRate, checks) {
		g.stats.Over++
		return false
	}
	return true
}

// addLink gives the neighbour a free slot; nil if there is none.
func (g *Gossip) addLink(peer crux.NodeID) *link {
	l := &link{peer: peer, pullAt: never, pulled: -pullAgain}
	l.slot = slices.Index(g.links, nil)
	switch {
	case l.slot >= 0:
		g.links[l.slot] = l
	case len(g.links) < maxLinks:
		l.slot = len(g.links)
		g.links = append(g.links, l)
	default:
		return nil
	}
	return l
}

func (g *Gossip) anyLink() *link {
	var up []*link
	for _, l := range g.links {
		if l != nil {
			up = append(up, l)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[g.cfg.Rand.IntN(len(up))]
}

// refuse counts what only a faulty or hostile neighbour sends on.
func (g *Gossip) refuse(l *link) {
	g.stats.Bad++
	g.bad.Take(g.now, l.peer, badRate, 1)
}

// serve says whether the neighbour may have so many bytes more of repair.
func (g *Gossip) serve(l *link, bytes int) bool {
	most := float64(serveBase + 4*g.t.bytes)
	return g.served.Take(g.now, l.peer, limit.Rate{PerSecond: most / serveEvery, Burst: most}, float64(bytes))
}
