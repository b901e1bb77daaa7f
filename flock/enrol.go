package flock

import "slices"

// Who is a member is asked of the bloc file three times: when it comes in (join,
// merge), when it is spoken with (Peer), and here, when another file is at hand.

// dropUnlisted removes those members that the bloc file at hand no longer
// admits. Only the leader writes the list; the others stop speaking with them at
// once, and if that silences their leader, elect another when their promise to
// it has run out, as always.
func (m *Machine) dropUnlisted() {
	switch {
	case !m.listed(m.self):
		if !m.single() {
			m.log.Info("the bloc file no longer lists this node: leaving the flock", "flock", m.flock)
			m.found()
		}
	case m.role == Leader:
		for _, mb := range slices.Clone(m.lead.ring) {
			if m.listed(mb.entry.Record) {
				continue
			}
			m.removeMember(mb, Gone)
			m.renewKey()
			m.log.Info("the bloc file no longer lists a member: it is removed", "node", mb.entry.Record.ID)
		}
	}
}

// renewKey begins the next epoch at once, so that who was removed has no key any
// more.
func (m *Machine) renewKey() {
	l := m.lead
	l.isReady = false
	l.dirtyAt = m.now - calmDownMax
	m.abandonAdvance()
	l.notBefore = m.now
}
