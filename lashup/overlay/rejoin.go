package overlay

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// rejoin tries contacts and passive nodes while there is no neighbour.
func (m *Machine) rejoin() time.Duration {
	f := &m.fill
	for {
		if m.now < f.at {
			return f.at
		}
		if until := m.busyUntil(); until > 0 {
			return until
		}
		id, ok := m.nextCandidate()
		if !ok && len(f.round) == 0 {
			return never // it knows nobody
		}
		if !ok || len(f.round) >= roundTries {
			f.round = f.round[:0]
			f.at = m.now + m.jitter(f.aloneWait)
			f.aloneWait = min(2*f.aloneWait, aloneMax)
			return f.at
		}
		f.round = append(f.round, id)
		what := askJoin
		if f.met || f.busyTurns >= busyTurns {
			what = askHigh
		}
		m.dial(id, what).anchor = true
	}
}

// nextCandidate is a node to try while alone.
func (m *Machine) nextCandidate() (crux.NodeID, bool) {
	f := &m.fill
	fits := func(id crux.NodeID) bool { return m.free(id) && !slices.Contains(f.round, id) }
	for len(f.hints) > 0 {
		id := f.hints[len(f.hints)-1]
		f.hints = f.hints[:len(f.hints)-1]
		if fits(id) {
			return id, true
		}
	}
	contact := m.choose(f.contacts, fits)
	passive := m.choosePassive(fits)
	if contact.IsZero() || !passive.IsZero() && f.met && m.cfg.Rand.IntN(2) == 0 {
		contact = passive
	}
	return contact, !contact.IsZero()
}

// choose picks one of some nodes that fits, at random; zero if none does.
func (m *Machine) choose(from []crux.NodeID, fits func(crux.NodeID) bool) (id crux.NodeID) {
	if len(from) == 0 {
		return id
	}
	start := m.cfg.Rand.IntN(len(from))
	for k := range from {
		if c := from[(start+k)%len(from)]; fits(c) {
			return c
		}
	}
	return id
}

// choosePassive picks a passive node that fits and has failed least.
func (m *Machine) choosePassive(fits func(crux.NodeID) bool) (id crux.NodeID) {
	if len(m.passive) == 0 {
		return id
	}
	start, fails := m.cfg.Rand.IntN(len(m.passive)), uint8(255)
	for k := range m.passive {
		if c := m.passive[(start+k)%len(m.passive)]; c.fails < fails && fits(c.id) {
			id, fails = c.id, c.fails
		}
	}
	return id
}
