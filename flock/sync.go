package flock

import (
	"time"

	"fulcrum.example/crux"
)

// syncing is how a member catches up with the list.
type syncing struct {
	at     time.Duration // when to pull
	head   ListInfo      // the newest state heard of; Hash 0: only its version
	joined uint64        // the list's version when this node joined
	active time.Duration // until when the list counts as changing
	addr   Send          // the same as an address
	tries  int
}

// sane says whether a version may be one of this flock's list.
func (m *Machine) sane(version uint64) bool { return version>>32 <= m.epoch.Epoch+1 }

// synced says whether this node's list is whole.
func (m *Machine) synced() bool {
	return m.role == Leader || m.list.count > 0 && m.list.have.whole() >= m.sync.head.Version && m.sync.head.Version > 0
}

// learnHead takes in the leader's word on the newest state.
func (m *Machine) learnHead(head ListInfo) {
	s := &m.sync
	if m.role == Leader || !m.sane(head.Version) || head.Version < s.head.Version {
		return
	}
	if head.Version > s.head.Version {
		s.head = head
	}
	whole := m.list.have.whole()
	switch {
	case whole < head.Version:
		s.at = min(s.at, m.now+pullGap)
	case whole == head.Version && head.Hash != m.list.hash:
		// The copy has what its leader has not: lines of a leader before it.
		m.log.Debug("list differs from the leader's: fetching it anew")
		m.prev, m.prevAt = m.list, m.now+previousFor
		m.view.carryOver(m)
		m.list = newList()
		s.at = m.now
		m.view.change()
	}
}

// push spreads the leader's changes along the tree.
func (m *Machine) push() {
	l := m.lead
	l.pushAt = never
	if m.list.count > 1 {
		for _, pg := range m.list.pages(m.flock, l.pushed, l.version, 1<<20) {
			m.forward(-1, pg)
		}
	}
	l.pushed = l.version
}

// forward pushes a page to this node's children in the tree.
func (m *Machine) forward(slot int, pg *Page) {
	skip := func(e *Entry) bool {
		return e.Record.ID == m.id || m.leader != nil && e.Record.ID == m.leader.ID
	}
	m.list.children(slot, skip, func(e *Entry) {
		if e.Version < pg.To { // otherwise it has joined with that
			m.send(e.Record, pg)
		}
	})
}

// onPage takes in a part of the list.
func (m *Machine) onPage(p *Packet, pg *Page) {
	if pg.Flock != m.flock || m.role == Leader || pg.From >= pg.To || !m.sane(pg.To) {
		m.ignore()
		return
	}
	s := &m.sync
	wasSynced := m.synced()
	if !m.list.have.add(pg.From, pg.To) {
		m.ignore()
		return
	}
	changed := false
	for _, e := range pg.Entries {
		changed = m.takeLine(e) || changed
	}
	if pg.To > s.head.Version {
		s.head = ListInfo{Version: pg.To}
	}
	s.tries = 0
	if changed {
		s.active = m.now + activeFor
	}
	if m.list.have.whole() < s.head.Version {
		s.at = m.now + pullGap
	} else if m.now < s.active {
		s.at = m.now + m.jitter(pullActive)
	}
	if changed || wasSynced != m.synced() {
		m.view.change()
	}
	if self := m.list.get(m.id); self != nil && pg.From >= s.joined {
		m.forward(int(self.Slot), pg)
	}
}

// takeLine takes in one line of the list.
func (m *Machine) takeLine(e *Entry) bool {
	if e == nil || e.Record == nil || !m.sane(e.Version) {
		return false
	}
	switch e.State {
	case crux.Alive, crux.Suspect, crux.Lost, Gone, Evicted:
	default:
		return false
	}
	if !m.list.put(e) {
		return false
	}
	switch {
	case !e.member():
		m.probe.remember(e.Record)
	case m.leader != nil && m.leader.ID == e.Record.ID && e.Record.Newer(m.leader) && e.Record.Incarnation == m.leader.Incarnation:
		m.leader = e.Record
	}
	m.wantFile(e.Record)
	return true
}

// tickSync pulls what is missing, or asks somebody whether there is more.
func (m *Machine) tickSync() {
	s := &m.sync
	s.at = never
	if m.role == Leader {
		return
	}
	whole := m.list.have.whole()
	if head := max(s.head.Version, 1); whole < head {
		s.tries++
		s.at = m.now + pullRetry + m.jitter(pullRetry/4)
		m.pullGaps(head)
	} else if m.now < s.active {
		m.pull(span{whole, max(whole, (m.epoch.Epoch+1)<<32)})
		s.at = m.now + m.jitter(pullActive)
	}
}

// pullGaps asks for what is missing up to head, from several members at a time.
func (m *Machine) pullGaps(head uint64) {
	left := pullWidth
	m.list.have.gaps(head, func(g span) bool {
		if g.from>>32 != g.to>>32 {
			m.pull(g) // most of it is void: versions begin anew with an epoch
			left--
		} else {
			for ; g.from < g.to && left > 0; left-- {
				part := span{g.from, min(g.from+pullChunk, g.to)}
				m.pull(part)
				g.from = part.to
			}
		}
		return left > 0
	})
}

// pull asks somebody for a part of the list: a random member, or at first the
// one that the leader named, and now and then the leader itself.
func (m *Machine) pull(g span) {
	msg := &Pull{Flock: m.flock, From: g.from, To: g.to}
	s := &m.sync
	if s.tries%4 != 0 || m.leader == nil {
		if e := m.list.random(m.cfg.Rand.IntN, m.id); e != nil {
			m.send(e.Record, msg)
			return
		}
		if s.tries <= 1 && !s.addr.Receiver.IsZero() && s.addr.Receiver != m.id {
			m.sendTo(s.addr.To, s.addr.Receiver, msg)
			return
		}
	}
	if m.leader != nil && m.leader.ID != m.id {
		m.send(m.leader, msg)
	}
}

// onPull gives a part of the list to a member. A node that is not on the list
// of this one (it may have joined just now) gets little at a time, and nobody
// gets anything but at the address that the list says.
func (m *Machine) onPull(p *Packet, q *Pull) {
	if q.Flock != m.flock || !m.sane(q.From) {
		m.ignore()
		return
	}
	limit := pullPages
	switch e := m.list.get(p.Sender); {
	case e == nil:
		limit = pullPages / 4
	case !e.member() || e.Record.Addr != p.From:
		m.ignore()
		return
	}
	for _, pg := range m.list.pages(m.flock, q.From, q.To, limit) {
		m.reply(p, pg)
	}
	if s := &m.sync; m.role != Leader && q.From > s.head.Version {
		s.head = ListInfo{Version: q.From}
		s.at = min(s.at, m.now+pullGap)
	}
}

// wantFile asks for the bloc file that a member has, if it is newer.
func (m *Machine) wantFile(r *Record) {
	if r.Bloc > m.cfg.File.Version && r.ID != m.id {
		m.out.Fetch = &Fetch{From: r.ID, Addr: r.Addr, Version: r.Bloc}
	}
}
