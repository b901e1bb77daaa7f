package fabric

import (
	"maps"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// Member is a node that the flock lists.
type Member struct {
	ID     crux.NodeID
	Master bool
	// Contact says that it is worth asking for entry into the overlay, and
	// looking for while it is unreachable: its address is known.
	Contact bool
}

// Members is a list of the flock's members, immutable and shareable.
type Members struct {
	list     []Member
	index    map[crux.NodeID]int32
	contacts []crux.NodeID
	masters  []crux.NodeID
}

// NewMembers makes one; it keeps list.
func NewMembers(list []Member) *Members {
	m := &Members{list: list, index: make(map[crux.NodeID]int32, len(list))}
	for i := range list {
		m.index[list[i].ID] = int32(i)
		if list[i].Contact {
			m.contacts = append(m.contacts, list[i].ID)
		}
		if list[i].Master {
			m.masters = append(m.masters, list[i].ID)
		}
	}
	return m
}

// Len is how many there are.
func (m *Members) Len() int { return len(m.list) }

// Has says whether a node is one.
func (m *Members) Has(id crux.NodeID) bool {
	if m == nil {
		return false
	}
	_, ok := m.index[id]
	return ok
}

// Members tells of the flock's members. Nobody else may have a row in the
// table; who is not one any more is forgotten, and its link closed.
func (m *Machine) Members(now time.Duration, list *Members) Ready {
	m.begin(now)
	before := m.members
	m.members = list
	m.evict()
	m.readmit()
	fresh := m.fresh(before)
	m.overlaid(m.overlay.Contacts(m.now, list.contacts))
	if len(fresh) > 0 {
		m.overlaid(m.overlay.Known(m.now, fresh))
	}
	m.gossiped(m.gossip.Compare(m.now))
	if before == nil || !slices.Equal(before.contacts, list.contacts) {
		m.healer.Contacts(m.now, list.contacts)
		m.at.healer = m.healer.NextTick()
	}
	return m.end()
}

// allowed says whether a node may have a row.
func (m *Machine) allowed(id crux.NodeID) bool { return m.members.Has(id) }

// stranger says whether a node is no member, as far as that is known.
func (m *Machine) stranger(id crux.NodeID) bool { return m.members != nil && !m.members.Has(id) }

// evict forgets who is no member.
func (m *Machine) evict() {
	var out []crux.NodeID
	m.table.Each(func(a *route.Adjacency) {
		if a.Node != m.id && !m.members.Has(a.Node) {
			out = append(out, a.Node)
		}
	})
	for _, id := range m.overlay.Active() {
		if !m.members.Has(id) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, crux.NodeID.Compare)
	for _, id := range out {
		m.overlaid(m.overlay.Drop(m.now, id, never))
		delete(m.links, id)
		m.dirty = true
		m.clearCut(id)
		m.table.Forget(id)
		delete(m.fallen, id)
		m.at.table = 0
		if len(m.evicted) < maxEvicted {
			m.evicted[id] = struct{}{}
		}
	}
}

// readmit lets those come back that were evicted and are members again.
func (m *Machine) readmit() {
	for _, id := range slices.SortedFunc(maps.Keys(m.evicted), crux.NodeID.Compare) {
		if m.members.Has(id) {
			delete(m.evicted, id)
			m.gossip.Readmit(id)
			m.overlaid(m.overlay.Allow(m.now, id))
		}
	}
}

// fresh are members that were none before, for the overlay's passive view: at
// most as many as it could use.
func (m *Machine) fresh(before *Members) (out []crux.NodeID) {
	list := m.members.contacts
	start := 0
	if len(list) > 0 {
		start = m.rand.IntN(len(list))
	}
	for k := 0; k < len(list) && len(out) < maxSaved; k++ {
		id := list[(start+k)%len(list)]
		if id != m.id && !before.Has(id) {
			out = append(out, id)
		}
	}
	return out
}
