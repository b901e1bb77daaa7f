package fabric

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

// returning is a node that cannot be reached by links and was heard by datagram:
// it hung, or the net was divided. As many others hear it at the same time, each
// waits for a random time before it makes it a neighbour, and one of them will do.
type returning struct {
	node crux.NodeID
	at   time.Duration
}

// heal looks for nodes that are cut off: those that were seen before are pinged,
// and those that were not are dialled, as nothing else could find them.
func (m *Machine) heal() {
	probe := m.healer.Tick(m.now)
	m.at.healer = m.healer.NextTick()
	for _, id := range probe {
		switch {
		case m.leaving || !m.members.Has(id):
		case m.Card(id) == nil:
			m.overlaid(m.overlay.Reach(m.now, id))
		default:
			m.out.Datagrams = append(m.out.Datagrams, Datagram{id, &detect.Ping{Seq: m.rand.Uint64()}})
		}
	}
}

// sign takes in that a node which is no neighbour was heard.
func (m *Machine) sign(from crux.NodeID) {
	if !m.lost(from) || len(m.back) >= maxBack ||
		slices.ContainsFunc(m.back, func(r returning) bool { return r.node == from }) {
		return
	}
	at := m.now + time.Duration(m.rand.Int64N(int64(backWithin)))
	if _, ok := m.fallen[from]; !ok {
		at += comesWithin
	}
	m.back = append(m.back, returning{from, at})
	m.backAt = min(m.backAt, at)
}

// lost says whether a node is a member that cannot be reached, and did not leave.
func (m *Machine) lost(id crux.NodeID) bool {
	s, why := m.table.State(id)
	return s == route.Down && why != route.Left && !m.leaving && m.members.Has(id)
}

// takeBack makes neighbours of those whose time has come, if nobody else has.
func (m *Machine) takeBack() {
	m.backAt = never
	m.back = slices.DeleteFunc(m.back, func(r returning) bool {
		if m.now < r.at {
			m.backAt = min(m.backAt, r.at)
			return false
		}
		if m.lost(r.node) {
			m.overlaid(m.overlay.Reach(m.now, r.node))
		}
		return true
	})
}

// Reach makes a node a neighbour, even if both have to let another go for it: for
// drivers that know of a part of the bloc that this node does not reach.
func (m *Machine) Reach(now time.Duration, id crux.NodeID) Ready {
	m.begin(now)
	if !m.leaving && m.members.Has(id) {
		m.overlaid(m.overlay.Reach(m.now, id))
	}
	return m.end()
}
