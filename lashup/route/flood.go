package route

import (
	"math"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// pending holds the changes that wait to flood on. Which neighbours have one
// already is a set of slots.
type pending struct {
	rows []change
	at   time.Duration // when they go
}

type change struct {
	i    uint32        // the row
	have uint64        // slots that have it
	bare bool          // who had the row before has its card
	at   time.Duration // not to go before
}

// add queues a change that the slots in have sent. It takes the place of an
// earlier one of the same row.
func (q *pending) add(c change) {
	k := slices.IndexFunc(q.rows, func(o change) bool { return o.i == c.i })
	if k < 0 {
		q.rows = append(q.rows, c)
		return
	}
	c.bare = c.bare && q.rows[k].bare
	q.rows[k] = c
}

// rates counts the changes of rows in the current second: of those that change
// most (Misra, Gries, 1982), so that a bloc that starts needs no more room. A count
// is too low by at most one for each maxRates changes of all rows, and never too
// high.
type rates struct {
	second time.Duration
	of     map[uint32]int
}

// next counts a change of row i and says when it may flood on: now, or in the
// next second if the row has changed too often in this one. So nobody makes the
// others carry his changes without end; the newest of them arrives all the same.
func (r *rates) next(now time.Duration, i uint32) time.Duration {
	if s := now / time.Second; s != r.second {
		r.second, r.of = s, nil
	}
	if r.of == nil {
		r.of = make(map[uint32]int)
	}
	n, ok := r.of[i]
	if !ok && len(r.of) >= maxRates {
		r.lower()
		return now
	}
	if r.of[i] = n + 1; n >= maxChanges {
		return (r.second + 1) * time.Second
	}
	return now
}

// lower counts a change of one more row than there is room for: one change of
// each row that has room is forgotten with it.
func (r *rates) lower() {
	for i, n := range r.of {
		if r.of[i] = n - 1; n == 1 {
			delete(r.of, i)
		}
	}
}

// seen notes that a slot has row i.
func (q *pending) seen(i uint32, slot int) {
	for k := range q.rows {
		if q.rows[k].i == i {
			q.rows[k].have |= 1 << slot
			return
		}
	}
}

// forget frees a slot.
func (q *pending) forget(slot int) {
	for k := range q.rows {
		q.rows[k].have &^= 1 << slot
	}
}

// onNews takes in what floods.
func (g *Gossip) onNews(l *link, m *News) {
	var ask []crux.NodeID
	for _, it := range m.Items {
		if id := g.news(l, it); !id.IsZero() {
			ask = append(ask, id)
		}
	}
	if len(ask) > 0 {
		slices.SortFunc(ask, crux.NodeID.Compare)
		ask = slices.Compact(ask)
		if len(g.asked) > maxAsked {
			g.asked = g.asked[:0] // they did not answer
		}
		g.asked = append(g.asked, ask...)
		g.send(l, &Want{ask})
	}
}

// news takes in one change. If it came without a card that this node lacks, it
// returns the node to ask for.
func (g *Gossip) news(l *link, it Item) (ask crux.NodeID) {
	a := it.Adjacency
	i := g.t.ix.find(a.Node)
	old := g.t.row(i)
	if old != nil && !a.Newer(old) {
		g.known(l, i, old, a)
		return ask
	}
	if it.Bare {
		if a.Node == g.t.self || old == nil || old.Card.Epoch != a.Epoch || old.Card.Seq != a.cardSeq() {
			return a.Node
		}
		if a.Card == nil {
			a = a.withCard(old.Card)
		}
	}
	if g.accept(l, a, true, false) {
		g.stats.News++
	}
	return ask
}

// known handles news that are none: most often the same change by another way.
func (g *Gossip) known(l *link, i uint32, old, a *Adjacency) {
	g.stats.Stale++
	if old.Newer(a) {
		return
	}
	if !a.same(old) {
		g.stats.Bad++ // its owner's fault, not the neighbour's
		return
	}
	g.queue.seen(i, l.slot)
	delete(g.pull.unseen, i)
}

// withCard completes an adjacency that came bare.
func (a *Adjacency) withCard(c *Card) *Adjacency {
	return &Adjacency{
		Node: a.Node, Epoch: a.Epoch, Clock: a.Clock, Edges: a.Edges, Cuts: a.Cuts,
		Leaving: a.Leaving, Master: a.Master, Card: c, Sig: a.Sig,
	}
}

// accept verifies a newer adjacency, takes it into the table, and lets it flood
// on if it should. One that a pull asked for is free; any other, the neighbour
// pays for.
func (g *Gossip) accept(l *link, a *Adjacency, flood, free bool) bool {
	if a.Node != g.t.self && !g.allowed(a.Node) || !free && !g.afford(l, 1) {
		return false
	}
	if !g.cfg.Verify(a) {
		g.refuse(l)
		return false
	}
	if a.Node == g.t.self {
		if g.out.Ahead == nil || a.Newer(g.out.Ahead) {
			g.out.Ahead = a
		}
		return false
	}
	old := g.t.Get(a.Node)
	if old != nil && a.Card != old.Card && *a.Card == *old.Card {
		a = a.withCard(old.Card) // one copy in memory
	}
	changed, err := g.t.Update(a)
	if err != nil {
		g.stats.Bad++
	}
	if !changed {
		return false
	}
	g.updated(old, a)
	if flood {
		g.churn.add(g.now)
		g.floodOn(change{i: g.t.ix.find(a.Node), have: 1 << l.slot, bare: sameCard(old, a)}, g.hold(old, a))
	}
	return true
}

// floodOn queues a change that may wait for so long.
func (g *Gossip) floodOn(c change, wait time.Duration) {
	c.at = g.rates.next(g.now, c.i)
	if c.at > g.now {
		g.stats.Slowed++
	}
	g.queue.add(c)
	g.queue.at = min(g.queue.at, max(c.at, g.now+wait))
}

func sameCard(old, a *Adjacency) bool { return old != nil && *old.Card == *a.Card }

// churn is how many changes came of late.
type churn struct {
	n  float64
	at time.Duration
}

func (c *churn) add(now time.Duration) { c.n, c.at = c.now(now)+1, now }

// Churn is how many changes flooded here of late: half of them are forgotten each
// second.
func (g *Gossip) Churn(now time.Duration) float64 { return g.churn.now(now) }

func (c *churn) now(now time.Duration) float64 {
	if c.n < 0.5 {
		return 0
	}
	return c.n * math.Exp2(-(now-c.at).Seconds()/churnHalf.Seconds())
}

// hold is how long a change may wait for others: not at all if it says that a
// node is gone. When many nodes change their neighbours, as when a bloc starts, it
// waits for longer: then a frame has many changes, and many of the copies that
// would have gone to a neighbour come from it first.
func (g *Gossip) hold(old, a *Adjacency) time.Duration {
	if urgent(old, a) {
		return 0
	}
	d := min(holdNews+time.Duration(g.churn.now(g.now)*float64(holdEach)), holdMost)
	if d > 2*holdNews {
		d = g.jitter(d) // not all at the same time
	}
	return d
}

// urgent says whether a change says that a node is gone, or that it is not, after
// all: until all know that, it is down for them whenever its neighbours change.
func urgent(old, a *Adjacency) bool {
	switch {
	case a.Leaving:
		return old == nil || !old.Leaving
	case old == nil:
		return slices.ContainsFunc(a.Cuts, Cut.lasting)
	}
	return differs(a, old) || differs(old, a)
}

// differs says whether a has a cut for good that b has not.
func differs(a, b *Adjacency) bool {
	return slices.ContainsFunc(a.Cuts, func(c Cut) bool {
		why, ok := b.CutOf(c.Node)
		return c.lasting() && (!ok || why != c.Why)
	})
}

// lasting says whether more has ended than a link.
func (c Cut) lasting() bool { return c.Why != Closed }

// flush sends the changes that are ripe to the neighbours that lack them.
func (g *Gossip) flush() {
	ripe, later := g.queue.rows[:0:0], g.queue.rows[:0]
	g.queue.at = never
	for _, c := range g.queue.rows {
		if c.at > g.now {
			later = append(later, c)
			g.queue.at = min(g.queue.at, c.at)
		} else if g.t.row(c.i) != nil {
			ripe = append(ripe, c)
		}
	}
	g.queue.rows = later
	var last []Message
	var lastOf []change // in last
	for _, l := range g.links {
		if l == nil {
			continue
		}
		var rows []change
		for _, c := range ripe {
			if c.have&(1<<l.slot) == 0 {
				rows = append(rows, c)
			}
		}
		if !slices.Equal(rows, lastOf) {
			last, lastOf = g.newsOf(rows), rows
		}
		for _, m := range last {
			g.send(l, m)
		}
	}
}

// newsOf makes messages of changes.
func (g *Gossip) newsOf(rows []change) (out []Message) {
	for part := range slices.Chunk(rows, maxNews) {
		m := &News{make([]Item, len(part))}
		for k, c := range part {
			m.Items[k] = Item{g.t.row(c.i), c.bare}
		}
		out = append(out, m)
	}
	return out
}
