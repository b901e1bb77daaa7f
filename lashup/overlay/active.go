package overlay

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
)

// activate makes the peer of a link a neighbour.
func (m *Machine) activate(l *link) {
	m.enter(l, active, never)
	m.active = append(slices.Clip(m.active), l.peer)
	m.remove(l.peer)
	m.out.Changed = true
	m.joined(l)
}

func (m *Machine) deactivate(peer crux.NodeID) {
	kept := make([]crux.NodeID, 0, len(m.active))
	for _, id := range m.active {
		if id != peer {
			kept = append(kept, id)
		}
	}
	m.active = kept
	m.out.Changed = true
}

// room is how many more neighbours there may be.
func (m *Machine) room() int { return max(0, m.p.Active-len(m.active)) }

// claim says whether a node gets a place here because it asks for one: there is
// room, or it and all others have not pushed out too many neighbours of late. One
// that connects and closes again and again would take them all.
func (m *Machine) claim(peer crux.NodeID) bool {
	return m.room() > 0 || m.mayPush(peer) && m.pushed.Take(m.now, pushAll, 1) && m.pushers.Take(m.now, peer, pushOne, 1)
}

// mayPush says whether claim would let a node push out a neighbour.
func (m *Machine) mayPush(peer crux.NodeID) bool {
	return m.pushed.Has(m.now, pushAll, 1) && m.pushers.Has(m.now, peer, pushOne, 1)
}

// makeRoom lets a random neighbour go if there is no room for a new one, and
// tells it whom to try instead.
func (m *Machine) makeRoom(newcomer crux.NodeID, hasRoom bool) {
	if m.room() > 0 {
		return
	}
	l := m.find(m.active[m.cfg.Rand.IntN(len(m.active))])
	bye := &Disconnect{}
	if hasRoom {
		bye.Try = newcomer
	}
	m.send(l.peer, bye)
	m.close(l)
	m.note(l.peer)
}

// accept makes a peer that asked a neighbour.
func (m *Machine) accept(l *link, hasRoom bool) {
	m.makeRoom(l.peer, hasRoom)
	m.activate(l)
	m.send(l.peer, &Accept{Room: uint8(m.lack()), Others: m.sample(l.peer)})
}

// refuse sends a peer away, to others.
func (m *Machine) refuse(l *link, busy bool) {
	m.send(l.peer, &Refuse{Busy: busy, Others: m.sample(l.peer)})
	m.close(l)
	m.note(l.peer)
}

// decline ends a link to a peer that would be a neighbour, for want of room.
func (m *Machine) decline(l *link) {
	m.send(l.peer, &Disconnect{})
	m.close(l)
	m.note(l.peer)
}

// crossed handles a request of a peer that is being asked itself: both want it.
// It says whether the message needs no further answer.
func (m *Machine) crossed(l *link) bool {
	switch {
	case l.state == incoming:
		return false
	case l.state == asking && (l.own || m.claim(l.peer)):
		m.accept(l, false)
	case l.state == asking:
		m.decline(l)
	}
	return true
}

func (m *Machine) onJoin(l *link, msg *Join) {
	switch {
	case m.crossed(l):
	case !m.joins.Take(m.now, limit.Rate{PerSecond: m.p.JoinRate, Burst: float64(m.p.JoinBurst)}, 1), !m.claim(l.peer):
		m.refuse(l, true)
	default:
		m.pardon(l.peer)
		m.accept(l, msg.Walks > 0)
		m.announce(l.peer, int(msg.Walks))
	}
}

func (m *Machine) onNeighbour(l *link, msg *Neighbour) {
	switch {
	case m.crossed(l):
	case msg.High && !m.claim(l.peer):
		m.refuse(l, true)
	case msg.High:
		m.pardon(l.peer)
		m.accept(l, true)
	case m.room() == 0 || m.banned(l.peer):
		m.refuse(l, false)
	default:
		m.accept(l, false)
	}
}

func (m *Machine) onAccept(l *link, msg *Accept) {
	if l.state != asking {
		return // both had asked
	}
	for _, id := range msg.Others {
		m.note(id)
	}
	if m.room() == 0 && !l.own && !(l.force && m.claim(l.peer)) {
		m.decline(l)
		return
	}
	m.makeRoom(l.peer, msg.Room > 0)
	m.activate(l)
}

func (m *Machine) onRefuse(l *link, msg *Refuse) {
	if l.state != asking {
		return
	}
	m.close(l)
	for _, id := range msg.Others {
		m.note(id)
	}
	if msg.Busy {
		m.busy(msg.Others)
	}
}

func (m *Machine) onDisconnect(l *link, msg *Disconnect) {
	was := l.state
	m.close(l)
	if msg.Leaving {
		m.remove(l.peer)
	} else {
		m.note(l.peer)
	}
	if was != active {
		return
	}
	tried := m.free(msg.Try)
	if tried {
		m.dial(msg.Try, askLow)
	}
	// Who lets a neighbour go has none too few, and most others have not either: a
	// walk finds one with room for less than it costs to be refused.
	tries := lossTries
	if tried || len(m.active) > 1 {
		tries = 0
	}
	m.lost(tries)
}

// free says whether a node could be dialled.
func (m *Machine) free(id crux.NodeID) bool {
	return !id.IsZero() && id != m.cfg.Self && m.find(id) == nil && !m.banned(id)
}

// Drop takes a node out of both views, and does not try it before a time: the
// detector's verdict. A node without neighbours may still come back by itself.
func (m *Machine) Drop(now time.Duration, peer crux.NodeID, until time.Duration) Ready {
	m.begin(now)
	if m.left {
		return m.end()
	}
	m.remove(peer)
	m.ban(peer, until)
	if l := m.find(peer); l != nil {
		was := l.state
		if was == active {
			m.send(peer, &Disconnect{})
		}
		m.close(l)
		if was == active {
			m.lost(lossTries)
		}
	}
	return m.end()
}

// Allow takes back a Drop: the node has been heard again.
func (m *Machine) Allow(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	if !m.left {
		m.pardon(peer)
		m.note(peer)
	}
	return m.end()
}

// Reach makes a node a neighbour, even if both have to let another go: it is
// what joins two parts of the overlay. It is nothing for a neighbour, and for
// one that is being asked.
func (m *Machine) Reach(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	m.pardon(peer)
	if !m.left && m.free(peer) && m.pending() < maxPending {
		l := m.dial(peer, askHigh)
		l.force, l.own = true, true
	}
	return m.end()
}
