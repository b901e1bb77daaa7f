package flock

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// Who is a member is asked of the bloc file three times: when it comes in (join,
// merge), when it is spoken with (Peer), and here, when another file is at hand.

// A newer file spreads by the leader's list (wantFile). Where it takes the leader
// itself off, or whoever has it first, it spreads by Hellos (hearFile).

const (
	fileTold  = 16          // members told at once of a file that takes their leader off
	fileEvery = time.Second // at most one fetch at a Hello's word
)

// dropUnlisted removes those members that the bloc file at hand no longer
// admits. Only the leader writes the list; the others stop speaking with them at
// once, and if that silences their leader, elect another when their promise to
// it has run out, as always.
func (m *Machine) dropUnlisted() {
	switch {
	case !m.listed(m.self):
		m.tellFile()
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
	case m.leader != nil && !m.listed(m.leader):
		m.tellFile()
	}
}

// tellFile tells some members which file this node has, since its leader's list
// will not.
func (m *Machine) tellFile() {
	for range fileTold {
		if e := m.list.random(m.cfg.Rand.IntN, m.id); e != nil {
			m.sendTo(e.Record.Addr, e.Record.ID, &Hello{Own: m.advertised()})
		}
	}
}

// hearFile fetches a newer bloc file from who was or is a member and says that
// it has one. A Hello proves nothing, but a file is signed, and it is fetched
// where that member's record says.
func (m *Machine) hearFile(from crux.NodeID, theirs Bloc) {
	own, pb := m.cfg.File, &m.probe
	if theirs.Version <= own.Version || theirs.Open || own.Open || pb.filed > 0 && m.now-pb.filed < fileEvery {
		return
	}
	e := m.list.get(from)
	if e == nil && m.prev != nil {
		e = m.prev.get(from)
	}
	if e == nil || !m.listed(e.Record) {
		return
	}
	pb.filed = m.now
	m.out.Fetch = &Fetch{From: from, Addr: e.Record.Addr, Version: theirs.Version}
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
