package route

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// pulling is the one repair that a node does at a time: it fetches what a
// neighbour has newer. What it fetched does not flood on; the other neighbours
// are told the new digest, and fetch it in turn if they lack it. So a node that
// joins gets the database once, from one neighbour, and two parts that were cut
// off exchange what differs.
type pulling struct {
	from   *link // nil: none
	until  time.Duration
	wants  []Stamp                  // still to be asked for
	asked  map[crux.NodeID]struct{} // that did not come yet
	unseen map[uint32]struct{}
	tellAt time.Duration // unseen holds rows that were pulled and did not flood here since
}

func (p *pulling) reset() {
	p.from, p.until, p.wants, p.asked = nil, never, nil, nil
	if len(p.unseen) == 0 {
		p.tellAt = never
	}
}

// tell sends the digest of the table.
func (g *Gossip) tell(l *link, answer bool) {
	l.told, l.toldAt = g.t.hash, g.now
	g.send(l, &Digest{Hash: g.t.hash, Count: uint32(g.t.n), Answer: answer})
}

// tellAll sends it to all neighbours but one.
func (g *Gossip) tellAll(but *link) {
	for _, l := range g.links {
		if l != nil && l != but {
			g.tell(l, false)
		}
	}
}

// tellPulled tells the neighbours of the rows that came by repair only.
func (g *Gossip) tellPulled() {
	news := len(g.pull.unseen) > 0
	g.pull.unseen, g.pull.tellAt = nil, never
	if news {
		g.tellAll(nil)
	}
}

func (g *Gossip) onDigest(l *link, m *Digest) {
	l.hash, l.count, l.stale, l.pullAt = m.Hash, m.Count, false, never
	if m.Hash == g.t.hash {
		return
	}
	if m.Answer {
		// It pulls from here now, and says so when it is done. Tables that differ
		// for longer (not everybody admits the same nodes) must not keep two
		// neighbours busy.
		if g.now-l.pulled >= pullAgain {
			l.pullAt = g.now + pullLater
		}
		return
	}
	if l.told != g.t.hash || g.now-l.toldAt > pullOver {
		g.tell(l, true)
	}
	switch {
	case g.pull.from != nil:
		l.stale = true
	case !g.afford(l, g.scan()):
		l.pullAt = g.now + pullAgain
	default:
		g.startPull(l)
	}
}

// scan is the work of looking at every row, in checks.
func (g *Gossip) scan() float64 { return 1 + float64(g.t.n)/scanRows }

func (g *Gossip) startPull(l *link) {
	l.pullAt, l.pulled = never, g.now
	g.pull.from, g.pull.until = l, g.now+pullOver
	g.send(l, &Buckets{g.t.buckets(bucketBits(min(g.t.n, int(l.count))))})
}

// pullNext begins the next pull, or asks those that had to wait how they are now.
func (g *Gossip) pullNext() {
	for _, l := range g.links {
		if l == nil {
			continue
		}
		if l.stale {
			l.stale = false
			g.tell(l, false)
		}
		if g.now >= l.pullAt {
			if l.pullAt = never; l.hash != g.t.hash && g.pull.from == nil {
				g.startPull(l)
			}
		}
	}
}

// onBuckets answers with the stamps of the rows in buckets that differ.
func (g *Gossip) onBuckets(l *link, m *Buckets) {
	if !g.serve(l, leastServed+servedPerRow*g.t.n) {
		return
	}
	k := log2(len(m.Sums))
	sums := g.t.buckets(k)
	var stamps []Stamp
	g.t.Each(func(a *Adjacency) {
		if b := bucket(a.Node, k); sums[b] != m.Sums[b] {
			stamps = append(stamps, Stamp{a.Node, a.Epoch, a.Clock})
		}
	})
	if !g.serve(l, 16*len(stamps)) {
		return
	}
	sortStamps(stamps)
	for len(stamps) > maxStamps {
		g.send(l, &Summary{stamps[:maxStamps], true})
		stamps = stamps[maxStamps:]
	}
	g.send(l, &Summary{stamps, false})
}

func sortStamps(s []Stamp) {
	slices.SortFunc(s, func(a, b Stamp) int { return a.Node.Compare(b.Node) })
}

func (g *Gossip) onSummary(l *link, m *Summary) {
	if g.pull.from != l {
		return
	}
	g.pull.until = g.now + pullOver
	for _, s := range m.Stamps {
		if g.lacks(s) && len(g.pull.wants) < MaxNodes {
			g.pull.wants = append(g.pull.wants, s)
		}
	}
	if !m.More {
		g.sendWant()
	}
}

// lacks says whether a row of this stamp would be taken.
func (g *Gossip) lacks(s Stamp) bool {
	a := Adjacency{Epoch: s.Epoch, Clock: s.Clock}
	if old := g.t.Get(s.Node); old != nil {
		return a.Newer(old)
	}
	if t, ok := g.t.tombs[s.Node]; ok && !a.Newer(&Adjacency{Epoch: t.Epoch, Clock: t.Clock}) {
		return false
	}
	return s.Node == g.t.self || g.allowed(s.Node)
}

// sendWant asks for the next rows that are still missing, or ends the pull.
func (g *Gossip) sendWant() {
	p := &g.pull
	var ask []crux.NodeID
	for len(p.wants) > 0 && len(ask) < maxWant {
		if s := p.wants[0]; g.lacks(s) {
			ask = append(ask, s.Node)
		}
		p.wants = p.wants[1:]
	}
	if len(ask) > 0 {
		p.until = g.now + pullOver
		slices.SortFunc(ask, crux.NodeID.Compare) // a hostile summary may come in several disordered parts
		ask = slices.Compact(ask)
		if p.asked == nil {
			p.asked = make(map[crux.NodeID]struct{})
		}
		for _, id := range ask {
			p.asked[id] = struct{}{}
		}
		g.send(p.from, &Want{ask})
		return
	}
	l := p.from
	p.reset()
	g.tell(l, true)
	g.pullNext()
}

func (g *Gossip) onWant(l *link, m *Want) {
	out := new(Rows)
	for _, id := range m.Nodes {
		if a := g.t.Get(id); a != nil {
			out.Adjacencies = append(out.Adjacencies, a)
		}
	}
	if g.serve(l, out.Size()) {
		g.send(l, out)
	}
}

// onRows takes in rows that were asked for, for a pull or for bare news.
func (g *Gossip) onRows(l *link, m *Rows) {
	for _, a := range m.Adjacencies {
		flood := false
		if k := slices.Index(g.asked, a.Node); k >= 0 {
			g.asked = slices.Delete(g.asked, k, k+1)
			flood = true
		}
		_, free := g.pull.asked[a.Node]
		if free = free && g.pull.from == l; free {
			delete(g.pull.asked, a.Node)
		}
		if old := g.t.Get(a.Node); old != nil && !a.Newer(old) {
			g.stats.Stale++
			continue
		}
		if g.accept(l, a, flood, free) {
			g.stats.Pulled++
			if !flood {
				g.pulled(g.t.ix.find(a.Node))
			}
		}
	}
	if g.pull.from == l {
		g.sendWant()
	}
}

// pulled notes a row that the other neighbours may lack.
func (g *Gossip) pulled(i uint32) {
	if g.pull.unseen == nil {
		g.pull.unseen = make(map[uint32]struct{})
	}
	g.pull.unseen[i] = struct{}{}
	g.pull.tellAt = g.now + tellAfter
}
