package fabric

import (
	"slices"

	"fulcrum.example/crux"
)

// sync lets the other parts hear who is a neighbour now. One that is found dead
// in the course of it changes that again.
func (m *Machine) sync() {
	for range 8 {
		if !m.dirty {
			return
		}
		m.dirty = false
		m.resync()
	}
}

func (m *Machine) resync() {
	var edges, peers []crux.NodeID
	for _, id := range m.overlay.Active() {
		l := m.links[id]
		if l == nil {
			continue
		}
		edges = append(edges, id)
		if l.up {
			peers = append(peers, id)
			l.renewed = false
		}
	}
	for _, id := range m.edges {
		if l := m.links[id]; l != nil && l.renewed && !slices.Contains(edges, id) {
			edges = append(edges, id)
		}
	}
	slices.SortFunc(edges, crux.NodeID.Compare)
	slices.SortFunc(peers, crux.NodeID.Compare)
	if !slices.Equal(edges, m.edges) {
		m.edges = edges
		for _, id := range edges {
			m.clearCut(id)
		}
		m.detected(m.detect.Neighbours(m.now, edges))
	}
	if !slices.Equal(peers, m.peers) {
		m.repeer(peers)
	}
}

// repeer tells gossip, multicast and the user of changed links.
func (m *Machine) repeer(peers []crux.NodeID) {
	before := m.peers
	m.peers = peers
	for _, id := range before {
		if !slices.Contains(peers, id) {
			m.gossiped(m.gossip.LinkDown(m.now, id))
		}
	}
	for _, id := range peers {
		if !slices.Contains(before, id) {
			m.gossiped(m.gossip.LinkUp(m.now, id))
		}
	}
	m.multicast(m.cast.Neighbours(m.now, peers))
	m.out.Neighbours, m.out.NeighboursChanged = peers, true
	m.saveSoon = true
}
