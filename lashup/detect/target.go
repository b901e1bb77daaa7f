package detect

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

const (
	warmUp     = 4                      // round trips until a history is trusted
	warmEvery  = 100 * time.Millisecond // between the pings that make them
	firstPing  = 50 * time.Millisecond  // of a new neighbour, at most
	maxTargets = 128                    // of any kind, beside the neighbours
)

// target is a node that is pinged: a neighbour, or one that is being checked.
type target struct {
	id      crux.NodeID
	watched bool // a neighbour
	hist    history
	next    time.Duration // when to ping it, if it is watched and not being checked
	wait    time.Duration // when the answer to such a ping is missing
	flights [8]flight     // the latest pings that were not answered
	flight  uint8
	check   *check
	said    Why // the verdict that stands; 0: none
}

// flight is a ping under way.
type flight struct {
	seq uint64 // 0: none
	at  time.Duration
}

func (m *Machine) find(id crux.NodeID) *target {
	for _, t := range m.targets {
		if t.id == id {
			return t
		}
	}
	return nil
}

// target finds a node or begins to keep it. It is nil if there are too many.
func (m *Machine) target(id crux.NodeID) *target {
	if t := m.find(id); t != nil {
		return t
	}
	if len(m.targets) >= maxTargets+m.watched {
		return nil
	}
	t := &target{id: id, next: never, wait: never}
	m.targets = append(m.targets, t)
	return t
}

// Neighbours says whom to ping from now on. A check of one that is not named any
// more goes on to its verdict.
func (m *Machine) Neighbours(now time.Duration, ids []crux.NodeID) Ready {
	m.begin(now)
	for _, t := range m.targets {
		if t.watched && !slices.Contains(ids, t.id) {
			t.watched, t.next, t.wait = false, never, never
			m.watched--
			m.disturb(1)
		}
	}
	for _, id := range ids {
		if id != m.cfg.Self {
			m.watch(id)
		}
	}
	return m.end()
}

// watch makes a node a neighbour.
func (m *Machine) watch(id crux.NodeID) {
	t := m.find(id)
	if t == nil {
		t = &target{id: id}
		m.targets = append(m.targets, t)
	}
	if t.watched {
		return
	}
	m.watched++
	m.disturb(1)
	t.watched, t.wait, t.said = true, never, 0
	t.next = m.now + time.Duration(m.cfg.Rand.Int64N(int64(firstPing)))
	switch c := t.check; {
	case c == nil:
	case c.running():
		c.verdict = true
	default:
		t.check = nil
	}
}

// sweep forgets targets that nothing is asked about any more.
func (m *Machine) sweep() {
	m.targets = slices.DeleteFunc(m.targets, func(t *target) bool { return !t.watched && t.check == nil })
}

// ping sends a ping.
func (m *Machine) ping(t *target) {
	m.seq++
	t.flights[t.flight] = flight{m.seq, m.now}
	t.flight = (t.flight + 1) % uint8(len(t.flights))
	m.stats.Pings++
	m.send(t.id, &Ping{m.seq})
}

// landed takes a ping that was answered out of the list, and says when it was
// sent.
func (t *target) landed(seq uint64) (at time.Duration, ok bool) {
	for i := range t.flights {
		if f := &t.flights[i]; f.seq == seq && seq != 0 {
			f.seq = 0
			return f.at, true
		}
	}
	return 0, false
}

// tickTarget does what is due for a target: a neighbour is pinged, and an answer
// that is missing begins a check.
func (m *Machine) tickTarget(t *target) {
	switch {
	case t.check != nil:
		m.tickCheck(t)
	case m.now >= t.wait:
		t.wait = never
		m.stats.Misses++
		m.lossSeen(true)
		m.beginCheck(t, missed)
	case m.now >= t.next:
		t.next = never
		t.wait = m.now + m.timeout(t)
		m.ping(t)
	}
}

func (t *target) due() time.Duration {
	if t.check != nil {
		return t.check.due()
	}
	return min(t.next, t.wait)
}

// heard notes a sign of life, which puts the next ping off.
func (m *Machine) heard(t *target) {
	if c := t.check; c != nil {
		c.heard = c.heard || c.running()
	} else if t.watched && t.wait == never && t.hist.measured() {
		t.next = m.now + m.interval()
	}
}

// acked notes the answer to a ping.
func (m *Machine) acked(t *target, seq uint64) {
	sent, ok := t.landed(seq)
	if !ok {
		return
	}
	rtt := m.now - sent
	if rtt <= m.timeout(t) {
		m.health = max(0, m.health-1)
	}
	if rtt <= m.p.Ceiling {
		t.hist.add(rtt)
	}
	m.answered(t.id)
	if t.wait != never {
		t.wait = never
		m.lossSeen(false)
	}
	if t.check != nil {
		m.alive(t)
	}
	if t.watched {
		t.next = m.now + m.interval()
		if !t.hist.measured() {
			t.next = m.now + warmEvery
		}
	}
}

// timeout is what an answer may take now.
func (m *Machine) timeout(t *target) time.Duration {
	d := t.hist.timeout
	if !t.hist.measured() {
		d = max(d, m.typical())
	}
	return min(max(d, m.p.Floor)*time.Duration(1+m.health), m.p.Ceiling)
}

// typical is what an answer may take from a node of which little is known: what
// the slowest neighbour may take.
func (m *Machine) typical() time.Duration {
	d := m.p.Initial
	for _, t := range m.targets {
		if t.hist.measured() {
			d = max(d, t.hist.timeout)
		}
	}
	return d
}

// interval is the time of silence before the next ping.
func (m *Machine) interval() time.Duration {
	d := time.Duration(float64(m.p.Interval) * m.stretch())
	return d - d/10 + time.Duration(m.cfg.Rand.Int64N(int64(d)/5+1))
}
