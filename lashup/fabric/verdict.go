package fabric

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

// detected carries out what the detector asks.
func (m *Machine) detected(r detect.Ready) {
	m.at.detect = m.detect.NextTick()
	for _, s := range r.Sends {
		m.out.Datagrams = append(m.out.Datagrams, Datagram{s.To, s.Msg})
	}
	m.out.Probes = append(m.out.Probes, r.Probes...)
	if r.Isolated != nil {
		m.out.Isolated = r.Isolated
	}
	// The verdicts lead to other calls of the detector, which end the life of
	// its slices.
	verdicts, results := slices.Clone(r.Verdicts), slices.Clone(r.Results)
	for i := range results {
		m.answered(&results[i])
	}
	for i := range verdicts {
		m.verdict(&verdicts[i])
	}
}

// verdict acts on what the detector found of a neighbour.
func (m *Machine) verdict(v *detect.Verdict) {
	switch v.Why {
	case detect.Alive:
		m.clearCut(v.Node)
		m.overlaid(m.overlay.Allow(m.now, v.Node))
		m.again(v.Node)
	case detect.Dead:
		m.condemn(v.Node, route.Dead)
	case detect.Hung:
		m.condemn(v.Node, route.Hung)
	case detect.Asymmetric:
		m.condemn(v.Node, route.Asymmetric)
	case detect.Unheard:
		if m.table.Len() > 2 {
			m.letGo(v.Node, m.now+retryAfter)
			return
		}
		// Of two nodes neither can tell whose fault it is, and there is nobody
		// who would believe a wrong word.
		m.condemn(v.Node, route.Dead)
	}
}

// condemn publishes that a neighbour is gone, and ends its link.
func (m *Machine) condemn(id crux.NodeID, why route.Why) {
	a := m.table.Get(id)
	if !slices.Contains(m.edges, id) && (a == nil || !a.Lists(m.id)) {
		return // it has not been a neighbour for long
	}
	m.stats.Verdicts++
	m.setCut(id, why)
	m.letGo(id, m.now+avoidFor)
}

// letGo ends a link without a word about its peer, and does not try that again
// before a time.
func (m *Machine) letGo(id crux.NodeID, until time.Duration) {
	if l := m.links[id]; l != nil {
		delete(m.links, id)
		m.out.Close = append(m.out.Close, id)
		m.dirty = true
	}
	m.overlaid(m.overlay.Drop(m.now, id, until))
}

// updated looks at the adjacencies that are new for what they mean to this node.
func (m *Machine) updated(now, before []*route.Adjacency) {
	m.detect.Changes(m.now, len(now))
	for i, a := range now {
		if a.Node != m.id {
			m.hear(a, before[i])
		}
	}
}

func (m *Machine) hear(a, before *route.Adjacency) {
	if a.Leaving && slices.Contains(m.edges, a.Node) {
		m.letGo(a.Node, m.now+avoidFor)
	}
	if before != nil && a.Epoch > before.Epoch {
		m.reborn(a.Node)
	}
	m.speaks(a.Node)
	for _, c := range a.Cuts {
		if c.Why != route.Dead && c.Why != route.Hung {
			continue
		}
		if before != nil {
			if w, ok := before.CutOf(c.Node); ok && (w == route.Dead || w == route.Hung) {
				continue
			}
		}
		m.accusation(c.Node, a.Node)
	}
}

// accusation is somebody's new word that a node is dead.
func (m *Machine) accusation(target, by crux.NodeID) {
	switch {
	case target == m.id:
		m.stats.Accused++
		m.news, m.urgent = true, true
		m.detected(m.detect.Refute(m.now, by))
	case slices.Contains(m.edges, target):
		m.detected(m.detect.Accused(m.now, target, by))
	}
}

// reborn forgets what was held against a node's earlier process.
func (m *Machine) reborn(id crux.NodeID) {
	if i := m.cutIndex(id); i >= 0 && m.cuts[i].why != route.Asymmetric {
		m.clearCut(id)
	}
	m.overlaid(m.overlay.Allow(m.now, id))
}

// speaks takes the death of a node back that publishes again, long after it was
// found dead: it hung, and goes on. All are to know at once, for its old links are
// gone and its new ones not yet there: nobody is to take it for dead once more.
func (m *Machine) speaks(id crux.NodeID) {
	i := m.cutIndex(id)
	if i >= 0 && m.cuts[i].why != route.Asymmetric && m.now > m.cuts[i].at+underWay {
		m.clearCut(id)
		m.overlaid(m.overlay.Allow(m.now, id))
	}
}

// witnesses gives nodes that could tell whether a target lives: its other
// neighbours, in random order, then this node's.
func (m *Machine) witnesses(target crux.NodeID, n int) []crux.NodeID {
	var out []crux.NodeID
	add := func(from []crux.NodeID) {
		if len(from) == 0 {
			return
		}
		start := m.rand.IntN(len(from))
		for k := range from {
			id := from[(start+k)%len(from)]
			if len(out) < n && id != target && id != m.id && !slices.Contains(out, id) && m.cutIndex(id) < 0 {
				out = append(out, id)
			}
		}
	}
	add(m.table.Neighbours(target))
	add(m.edges)
	return out
}
