package fabric

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// cut is a former neighbour, and why.
type cut struct {
	node crux.NodeID
	why  route.Why
	at   time.Duration
}

// review compares what this node publishes with what is so, and publishes it if
// it differs: bad news at once, other changes together.
func (m *Machine) review() {
	if m.leaving && m.own.Leaving {
		return
	}
	if !m.news && slices.Equal(m.edges, m.own.Edges) {
		m.publishAt = never
		return
	}
	if at := m.published + m.gap(); !m.urgent && !m.uprooted() && m.now < at {
		m.publishAt = at
		return
	}
	m.publish()
}

// uprooted says whether of the published edges none is left, or one of several, and
// there are others: until those are known nobody can reach this node, or all depend on
// the one.
func (m *Machine) uprooted() bool {
	left := 0
	for _, id := range m.edges {
		if m.own.Lists(id) {
			left++
		}
	}
	return left < len(m.edges) && (left == 0 || left == 1 && len(m.own.Edges) > 2)
}

// gap is the least time between two adjacencies of this node that bring no bad
// news. It is longer while all others publish, too, as when a bloc starts: then
// each would be out of date at once.
func (m *Machine) gap() time.Duration {
	d := publishGap
	if m.now < m.started+startFor {
		d = startGap
	}
	return min(d+time.Duration(m.gossip.Churn(m.now)*float64(gapPerUpdate)), maxPublishGap)
}

// publish signs and floods the next adjacency.
func (m *Machine) publish() {
	m.clock++
	a := &route.Adjacency{
		Node: m.id, Epoch: m.cfg.Card.Epoch, Clock: m.clock, Edges: m.edges, Leaving: m.leaving,
		Master: m.cfg.Master, Card: m.cfg.Card,
	}
	for _, c := range m.cuts {
		a.Cuts = append(a.Cuts, route.Cut{Node: c.node, Why: c.why})
	}
	a.Normalize()
	m.cfg.Sign(a)
	m.own, m.published, m.publishAt = a, m.now, never
	m.news, m.urgent = false, false
	r, err := m.gossip.Publish(m.now, a)
	if err != nil {
		m.stats.Refused++
	}
	m.gossiped(r)
}

// setCut notes why a node is cut off; the oldest is forgotten when there are too
// many.
func (m *Machine) setCut(id crux.NodeID, why route.Why) {
	i := m.cutIndex(id)
	switch {
	case i >= 0 && m.cuts[i].why == why:
		return
	case i >= 0:
		m.cuts = slices.Delete(m.cuts, i, i+1)
	case len(m.cuts) >= maxCuts:
		m.cuts = slices.Delete(m.cuts, 0, 1)
	}
	m.cuts = append(m.cuts, cut{id, why, m.now})
	m.news, m.urgent = true, true
	m.askAt = min(m.askAt, m.now+m.jitter(askEvery))
}

// clearCut takes a cut back, at once: until all know, the node is dead to them
// whenever it changes its neighbours.
func (m *Machine) clearCut(id crux.NodeID) {
	if i := m.cutIndex(id); i >= 0 {
		m.cuts = slices.Delete(m.cuts, i, i+1)
		m.news, m.urgent = true, true
	}
}

func (m *Machine) cutIndex(id crux.NodeID) int {
	return slices.IndexFunc(m.cuts, func(c cut) bool { return c.node == id })
}

// ahead answers an adjacency of this node's own that is newer than the latest:
// another process of it, or this one before it lost its files.
func (m *Machine) ahead(a *route.Adjacency) {
	if a.Epoch > m.cfg.Card.Epoch {
		m.out.Superseded = max(m.out.Superseded, a.Epoch)
		return
	}
	m.clock = max(m.clock, a.Clock)
	m.news, m.urgent = true, true
}

// SetCard gives the node another card, of the same epoch: its address changed.
func (m *Machine) SetCard(now time.Duration, c *route.Card) Ready {
	m.begin(now)
	m.cfg.Card = c
	m.news, m.urgent = true, true
	return m.end()
}

// Leave says to everybody that this node leaves, and ends its links. The machine
// does nothing any more.
func (m *Machine) Leave(now time.Duration) Ready {
	m.begin(now)
	if !m.leaving {
		m.leaving = true
		m.publish()
		m.overlaid(m.overlay.Leave(m.now))
	}
	return m.end()
}

// jitter is a random time between 3d/4 and 5d/4.
func (m *Machine) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(m.rand.Int64N(int64(d)/2+1))
}
