package overlay

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// candidate is a passive node.
type candidate struct {
	id    crux.NodeID
	fails uint8 // tries that failed, or losses
}

// ban keeps a node from being tried.
type ban struct {
	id    crux.NodeID
	until time.Duration
}

// note takes a node into the passive view, in place of the worst one if it is
// full. It is nothing for this node, a neighbour, and one that is banned.
func (m *Machine) note(id crux.NodeID) {
	if !m.welcome(id) || m.passiveIndex(id) >= 0 {
		return
	}
	if len(m.passive) >= m.p.Passive {
		m.removeAt(m.worst())
	}
	m.passive = append(m.passive, candidate{id: id})
}

// welcome says whether a node may be in the passive view.
func (m *Machine) welcome(id crux.NodeID) bool {
	return !id.IsZero() && id != m.cfg.Self && !m.banned(id) && !slices.Contains(m.active, id)
}

// worst is the index of one of those that failed most.
func (m *Machine) worst() int {
	start := m.cfg.Rand.IntN(len(m.passive))
	worst := start
	for k := range m.passive {
		if i := (start + k) % len(m.passive); m.passive[i].fails > m.passive[worst].fails {
			worst = i
		}
	}
	return worst
}

func (m *Machine) passiveIndex(id crux.NodeID) int {
	return slices.IndexFunc(m.passive, func(c candidate) bool { return c.id == id })
}

func (m *Machine) remove(id crux.NodeID) {
	if i := m.passiveIndex(id); i >= 0 {
		m.removeAt(i)
	}
}

func (m *Machine) removeAt(i int) {
	last := len(m.passive) - 1
	m.passive[i] = m.passive[last]
	m.passive = m.passive[:last]
}

// blame marks a node that could not be reached. While there are others, one that
// fails again is forgotten.
func (m *Machine) blame(id crux.NodeID) {
	i := m.passiveIndex(id)
	if i < 0 {
		return
	}
	c := &m.passive[i]
	c.fails = min(c.fails+1, 100)
	if c.fails > 1 && len(m.active) > 0 {
		m.removeAt(i)
	}
}

// Known names nodes that may be up: those kept on disk at the start, or the
// members that lashup/route knows. They fill up the passive view.
func (m *Machine) Known(now time.Duration, ids []crux.NodeID) Ready {
	m.begin(now)
	for range 2 * m.p.Passive {
		if len(ids) == 0 || len(m.passive) >= m.p.Passive || m.left {
			break
		}
		m.note(ids[m.cfg.Rand.IntN(len(ids))])
	}
	if len(ids) <= m.p.Passive && !m.left {
		for _, id := range ids {
			if len(m.passive) < m.p.Passive {
				m.note(id)
			}
		}
	}
	m.wake()
	return m.end()
}

// sample is some nodes of both views, for another node.
func (m *Machine) sample(but crux.NodeID) []crux.NodeID {
	ids := make([]crux.NodeID, 0, maxOthers)
	ids = m.pick(ids, m.active, maxOthers/2, but)
	return m.pickPassive(ids, maxOthers-len(ids), but)
}

// pick appends up to n of some nodes, at random.
func (m *Machine) pick(ids, from []crux.NodeID, n int, but crux.NodeID) []crux.NodeID {
	if len(from) == 0 {
		return ids
	}
	start, want := m.cfg.Rand.IntN(len(from)), len(ids)+n
	for k := range from {
		if id := from[(start+k)%len(from)]; id != but && len(ids) < want {
			ids = append(ids, id)
		}
	}
	return ids
}

// pickPassive appends up to n passive nodes that have not failed, at random.
func (m *Machine) pickPassive(ids []crux.NodeID, n int, but crux.NodeID) []crux.NodeID {
	want := len(ids) + n
	m.cfg.Rand.Shuffle(len(m.passive), func(i, j int) { m.passive[i], m.passive[j] = m.passive[j], m.passive[i] })
	for _, c := range m.passive {
		if c.id != but && c.fails == 0 && len(ids) < want {
			ids = append(ids, c.id)
		}
	}
	return ids
}

func (m *Machine) banned(id crux.NodeID) bool {
	return slices.ContainsFunc(m.bans, func(b ban) bool { return b.id == id && m.now < b.until })
}

func (m *Machine) ban(id crux.NodeID, until time.Duration) {
	m.bans = slices.DeleteFunc(m.bans, func(b ban) bool { return b.id == id || m.now >= b.until })
	if len(m.bans) >= maxBans {
		m.bans = slices.Delete(m.bans, 0, 1)
	}
	m.bans = append(m.bans, ban{id, until})
}

func (m *Machine) pardon(id crux.NodeID) {
	m.bans = slices.DeleteFunc(m.bans, func(b ban) bool { return b.id == id })
}
