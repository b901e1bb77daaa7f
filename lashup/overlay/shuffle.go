package overlay

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// shuffling is the exchange of passive nodes.
type shuffling struct {
	at     time.Duration
	mean   time.Duration
	seq    uint32        // of the latest
	sent   []crux.NodeID // in it
	trails []trail
}

// trail is where a shuffle came from that was passed on: its answer goes back
// there.
type trail struct {
	origin crux.NodeID
	seq    uint32
	back   crux.NodeID
	until  time.Duration
}

// startShuffle sends a part of both views on a walk.
func (m *Machine) startShuffle() {
	s := &m.shuffle
	s.at = m.now + m.jitter(s.mean)
	if len(m.active) == 0 {
		return
	}
	s.mean = min(2*s.mean, m.p.Shuffle)
	s.seq++
	to := m.active[m.cfg.Rand.IntN(len(m.active))]
	nodes := m.pick(nil, m.active, shuffleOwn, to)
	s.sent = m.pickPassive(nodes, shufflePast, to)
	m.send(to, &Shuffle{Origin: m.cfg.Self, Seq: s.seq, TTL: uint8(m.p.Walk), Nodes: slices.Clone(s.sent)})
}

// onShuffle passes a shuffle on, or answers it at the end of its walk.
func (m *Machine) onShuffle(l *link, msg *Shuffle) {
	if l.state != active || msg.Origin == m.cfg.Self || !m.walks.Take(m.now, walkRate, 1) {
		return
	}
	if hop, ok := m.nextHop(l.peer, msg.Origin); ok && msg.TTL > 1 {
		m.follow(trail{msg.Origin, msg.Seq, l.peer, m.now + trailFor})
		next := *msg
		next.TTL--
		m.send(hop, &next)
		return
	}
	reply := m.pickPassive(nil, min(len(msg.Nodes)+1, maxOthers), msg.Origin)
	m.send(l.peer, &ShuffleReply{Origin: msg.Origin, Seq: msg.Seq, Nodes: reply})
	m.integrate(msg.Nodes, reply)
	m.integrate([]crux.NodeID{msg.Origin}, reply)
}

// follow notes a shuffle that is passed on.
func (m *Machine) follow(t trail) {
	s := &m.shuffle
	s.trails = slices.DeleteFunc(s.trails, func(o trail) bool {
		return m.now >= o.until || o.origin == t.origin && o.seq == t.seq
	})
	if len(s.trails) < maxTrails {
		s.trails = append(s.trails, t)
	}
}

// onShuffleReply takes the answer to this node's shuffle, or passes another's
// back.
func (m *Machine) onShuffleReply(l *link, msg *ShuffleReply) {
	s := &m.shuffle
	if l.state != active {
		return
	}
	if msg.Origin == m.cfg.Self {
		if msg.Seq == s.seq {
			m.integrate(msg.Nodes, s.sent)
		}
		return
	}
	i := slices.IndexFunc(s.trails, func(t trail) bool { return t.origin == msg.Origin && t.seq == msg.Seq })
	if i < 0 {
		return
	}
	back := s.trails[i].back
	s.trails = slices.Delete(s.trails, i, i+1)
	if slices.Contains(m.active, back) {
		m.send(back, msg)
	}
}

// integrate takes nodes into the passive view. If it is full, those that the
// other side got in exchange go first.
func (m *Machine) integrate(nodes, sent []crux.NodeID) {
	for _, id := range nodes {
		if len(m.passive) >= m.p.Passive && m.passiveIndex(id) < 0 {
			i := slices.IndexFunc(m.passive, func(c candidate) bool { return slices.Contains(sent, c.id) })
			if i >= 0 && m.welcome(id) {
				m.removeAt(i)
			}
		}
		m.note(id)
	}
}
