package fabric

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// Status is a summary for people.
type Status struct {
	Members   int // that the flock lists
	Up, Down  int // of the nodes that have a row, this one included
	Masters   int // that the flock lists
	MastersUp int
	Passive   int // nodes that the overlay holds in reserve
	Isolated  bool
	Leaving   bool
	Stats     Stats
}

// Status gives the summary. It looks at every row.
func (m *Machine) Status() Status {
	s := Status{
		Passive: len(m.overlay.Passive()), Isolated: m.detect.Isolated(), Leaving: m.leaving, Stats: m.stats,
	}
	m.table.Each(func(a *route.Adjacency) {
		if st, _ := m.table.State(a.Node); st == route.Up {
			s.Up++
		} else {
			s.Down++
		}
	})
	if m.members != nil {
		s.Members, s.Masters = m.members.Len(), len(m.members.masters)
		for _, id := range m.members.masters {
			if st, _ := m.table.State(id); st == route.Up {
				s.MastersUp++
			}
		}
	}
	return s
}

// Table is what this node knows of everybody. It belongs to the machine's
// goroutine, and is not to be changed.
func (m *Machine) Table() *route.Table { return m.table }

// State is a node's, as the Events have told it; for Down with the reason.
func (m *Machine) State(id crux.NodeID) (route.State, route.Why) { return m.table.State(id) }

// Card is the newest card of a node, or nil.
func (m *Machine) Card(id crux.NodeID) *route.Card {
	if a := m.table.Get(id); a != nil {
		return a.Card
	}
	return nil
}

// Own is the adjacency that this node published last.
func (m *Machine) Own() *route.Adjacency { return m.own }

// Neighbours are the nodes with whom this one has links and agrees to be
// neighbours, ascending. The slice is never changed.
func (m *Machine) Neighbours() []crux.NodeID { return m.peers }

// Clock and CastSeq are what a process needs that takes over in the same epoch.
func (m *Machine) Clock() uint64 { return m.clock }

// CastSeq is the number of the last message that was published.
func (m *Machine) CastSeq() uint64 { return m.cast.Seq() }

// Saved are nodes worth trying after a restart: the neighbours, then those in
// reserve; at most 64.
func (m *Machine) Saved() []crux.NodeID {
	out := append([]crux.NodeID(nil), m.peers...)
	for _, id := range m.overlay.Passive() {
		if len(out) < maxSaved {
			out = append(out, id)
		}
	}
	return out
}
