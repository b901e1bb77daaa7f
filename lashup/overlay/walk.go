package overlay

import (
	"fulcrum.example/crux"
)

// walksWanted is how many walks a contact is to send off for this node: of two
// contacts that are asked at a time one is enough.
func (m *Machine) walksWanted() uint8 {
	if len(m.active) > 0 {
		return 0
	}
	for _, l := range m.links {
		if l.state == asking && l.ask == askJoin && l.walks {
			return 0
		}
	}
	return 2
}

// announce sends off walks for a node that has joined here. Where there is room
// still, as while a bloc starts, one is enough, and no edge is split for it.
func (m *Machine) announce(node crux.NodeID, walks int) {
	room := uint8(2)
	if m.room() > 0 {
		room, walks = 1, min(walks, 1)
	}
	msg := &ForwardJoin{Node: node, Room: room, TTL: uint8(m.p.Walk), Over: uint8(m.p.Walk)}
	for _, id := range m.pick(nil, m.active, walks, node) {
		m.send(id, msg)
	}
}

// announceSelf sends off walks for this node: one for each two neighbours that it
// lacks, as an edge that is split gives two.
func (m *Machine) announceSelf(lack int) {
	room := lack
	if !m.maySplit() {
		room = 1
	}
	msg := &ForwardJoin{Node: m.cfg.Self, Room: uint8(room), TTL: uint8(m.p.Walk), Over: uint8(2 * m.p.Walk)}
	for _, id := range m.pick(nil, m.active, (lack+1)/2, m.cfg.Self) {
		m.send(id, msg)
	}
}

// maySplit says whether edges are split for this node: not while others may come, or
// be found that have room, unless it has too few neighbours.
func (m *Machine) maySplit() bool {
	return len(m.active) < m.p.Active/2 || m.now >= m.fill.patient+seekMin
}

// nextHop is a random neighbour to which a walk goes on.
func (m *Machine) nextHop(from, node crux.NodeID) (crux.NodeID, bool) {
	id := m.choose(m.active, func(id crux.NodeID) bool { return id != from && id != node })
	return id, !id.IsZero()
}

// onForwardJoin passes a walk on or ends it. It ends, after its hops, at the first
// node that can take the newcomer: with room, or with an edge to split.
func (m *Machine) onForwardJoin(l *link, msg *ForwardJoin) {
	if l.state != active || !m.walks.Take(m.now, walkRate, 1) {
		return
	}
	if int(msg.TTL) == m.p.Mention {
		m.note(msg.Node)
	}
	hop, ok := m.nextHop(l.peer, msg.Node)
	next := *msg
	switch {
	case ok && msg.TTL > 0:
		next.TTL--
		m.send(hop, &next)
	case m.take(msg):
	case ok && msg.Over > 0:
		next.TTL, next.Over = 0, msg.Over-1
		m.send(hop, &next)
	default:
		m.note(msg.Node)
	}
}

// take makes the node of a walk a neighbour, if that is possible.
func (m *Machine) take(msg *ForwardJoin) bool {
	if !m.free(msg.Node) || m.pending() >= maxPending {
		return false
	}
	full := m.lack() == 0
	if full && (msg.Room < 2 || m.splitting() || !m.mayPush(msg.Node)) || !m.takes.Take(m.now, takeRate, 1) {
		return false
	}
	m.dial(msg.Node, askLow).force = full
	return true
}

// splitting says whether an edge is being split already.
func (m *Machine) splitting() bool {
	for _, l := range m.links {
		if l.force && (l.state == dialling || l.state == asking) {
			return true
		}
	}
	return false
}
