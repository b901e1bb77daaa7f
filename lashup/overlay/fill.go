package overlay

import (
	"time"

	"fulcrum.example/crux"
)

// filling is how a node gets the neighbours that it lacks.
type filling struct {
	contacts []crux.NodeID // a sample of those to join through
	peak     int           // the most contacts there were when anchors were last sought
	anchored int           // contacts that were joined
	tried    int           // tries to join further contacts
	hints    []crux.NodeID // whom a busy contact has named

	at        time.Duration // not before: the next try while alone, or of a contact
	round     []crux.NodeID // who was tried in this round, while alone
	aloneWait time.Duration
	busyWait  time.Duration
	busyTurns int
	credit    int // passive nodes that may be tried in place of lost neighbours
	seekAt    time.Duration
	seekWait  time.Duration
	dialFor   time.Duration // how long a dial is waited for
	growing   time.Duration // until then others may be starting, too
	patient   time.Duration // and until then they are left time to come here
	met       bool          // this node has had a neighbour
}

// Contacts names nodes to join through, in place of those named before.
func (m *Machine) Contacts(now time.Duration, ids []crux.NodeID) Ready {
	m.begin(now)
	f := &m.fill
	f.contacts = f.contacts[:0]
	if len(ids) <= maxContacts {
		f.contacts = append(f.contacts, ids...)
	} else {
		for range maxContacts {
			f.contacts = append(f.contacts, ids[m.cfg.Rand.IntN(len(ids))])
		}
	}
	if len(ids) >= 2*f.peak {
		f.peak, f.anchored, f.tried = len(ids), 0, 0 // many more: the flock has merged with another
	}
	m.wake()
	return m.end()
}

// wake looks for neighbours at once, if there are none.
func (m *Machine) wake() {
	if len(m.active) == 0 && m.pending() == 0 {
		m.fill.at, m.fill.round = 0, m.fill.round[:0]
	}
}

// pending is how many links this node is making.
func (m *Machine) pending() int { return m.count(dialling) + m.count(asking) }

// lack is how many neighbours are missing for which nothing is under way.
func (m *Machine) lack() int {
	n := m.room()
	for _, l := range m.links {
		if (l.state == dialling || l.state == asking) && !l.force {
			n--
		}
	}
	return max(0, n)
}

// hedge is how long a try is waited for before another one begins: longer where
// dials have taken longer, as on a machine that has too much to do.
func (m *Machine) hedge() time.Duration { return m.fill.dialFor * 2 / 5 }

// busyUntil says until when the tries under way are waited for; 0: another one
// may begin.
func (m *Machine) busyUntil() time.Duration {
	fresh, total, first := 0, 0, never
	for _, l := range m.links {
		if l.state != dialling && l.state != asking || l.force {
			continue
		}
		total++
		if end := l.since + m.hedge(); m.now < end {
			fresh++
			first = min(first, end)
		}
	}
	switch {
	case total >= maxPending:
		return never // they end, and that is an event
	case fresh >= parallel:
		return first
	}
	return 0
}

// fillUp tries to get what is lacking, and says when to try again.
func (m *Machine) fillUp() time.Duration {
	if len(m.active) == 0 {
		return m.rejoin()
	}
	return min(m.anchor(), m.promote(), m.seek())
}

// anchor joins through further contacts: two nodes that find only each other at
// their start must not stay an island.
func (m *Machine) anchor() time.Duration {
	f := &m.fill
	if f.anchored+m.anchoring() >= anchors || f.tried >= anchorTries {
		return never
	}
	if m.now < f.at {
		return f.at
	}
	if until := m.busyUntil(); until > 0 {
		return until
	}
	id, ok := m.nextAnchor()
	if !ok {
		return never
	}
	f.tried++
	l := m.dial(id, askJoin)
	l.anchor, l.force, l.own = true, true, true
	return m.now + m.hedge()
}

// anchoring counts the contacts that are being joined.
func (m *Machine) anchoring() (n int) {
	for _, l := range m.links {
		if l.anchor && l.state != active {
			n++
		}
	}
	return n
}

func (m *Machine) nextAnchor() (crux.NodeID, bool) {
	f := &m.fill
	for len(f.hints) > 0 {
		id := f.hints[len(f.hints)-1]
		f.hints = f.hints[:len(f.hints)-1]
		if m.free(id) {
			return id, true
		}
	}
	id := m.choose(f.contacts, m.free)
	return id, !id.IsZero()
}

// promote tries passive nodes in place of neighbours that were lost.
func (m *Machine) promote() time.Duration {
	for m.fill.credit > 0 && m.lack() > 0 {
		if until := m.busyUntil(); until > 0 {
			return until
		}
		id := m.choosePassive(m.free)
		if id.IsZero() {
			m.fill.credit = 0
			break
		}
		m.fill.credit--
		m.dial(id, askLow)
	}
	return never
}

// seek sends walks to find nodes that have room, or an edge to split.
func (m *Machine) seek() time.Duration {
	f := &m.fill
	lack := m.lack()
	if lack == 0 {
		return never // the end of a try is an event
	}
	if len(m.active) >= anchors && m.now < f.patient {
		return f.patient
	}
	if m.now < f.seekAt {
		return f.seekAt
	}
	m.announceSelf(lack)
	f.seekAt = m.now + m.jitter(f.seekWait)
	f.seekWait = min(2*f.seekWait, seekMax)
	return f.seekAt
}

// joined notes a new neighbour.
func (m *Machine) joined(l *link) {
	f := &m.fill
	if l.anchor {
		f.anchored++
	}
	if len(m.active) == 1 {
		f.seekAt = m.now + m.jitter(seekSoon)
		f.growing = m.now + growFor
	}
	f.patient = min(m.now+growPause, f.growing)
	f.met, f.at, f.round = true, 0, f.round[:0]
	f.aloneWait, f.busyWait, f.busyTurns, f.seekWait = aloneMin, busyMin, 0, seekMin
}

// lost has some passive nodes tried in place of a neighbour that is gone, and
// walks sent if that does not help.
func (m *Machine) lost(tries int) {
	f := &m.fill
	f.credit = min(f.credit+tries, 2*lossTries)
	f.seekWait = seekMin
	f.seekAt = min(f.seekAt, m.now+m.jitter(seekSoon))
	f.at = 0
}

// busy goes on to others after a refused join, but not at once.
func (m *Machine) busy(others []crux.NodeID) {
	f := &m.fill
	f.hints = append(f.hints[:0], others...)
	m.cfg.Rand.Shuffle(len(f.hints), func(i, j int) { f.hints[i], f.hints[j] = f.hints[j], f.hints[i] })
	f.busyTurns++
	f.at = m.now + m.jitter(f.busyWait)
	f.busyWait = min(2*f.busyWait, busyMax)
	f.round = f.round[:0]
}
