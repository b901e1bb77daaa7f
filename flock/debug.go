package flock

import "fmt"

// Debug x
func (m *Machine) Debug() (bool, bool) { return m.join != nil, m.merge != nil }

// Dump x
func (m *Machine) Dump() string {
	j := ""
	if m.join != nil {
		j = fmt.Sprintf("join{to %x tries %d busy %d hops %d acc %v}", m.join.target.Flock[:2], m.join.tries, m.join.busy, m.join.hops, m.join.accept != nil)
	}
	return fmt.Sprintf("%s V=%v n=%d heard %v vote %v role %d flock %x e%d lead %v count %d have %x head %x hash %x at %v active %v offers %d %s best %x/%d bad %d stats %v lead %+v", m.id, m.epoch.Voter, m.epoch.Voters, m.follow.heard, m.vote, m.role, m.flock[:2], m.epoch.Epoch, m.leader != nil, m.list.count, m.list.have, m.sync.head.Version, m.list.hash, m.sync.at, m.sync.active, len(m.offers), j, m.probe.best.Flock[:2], m.probe.best.Size, len(m.probe.bad), m.stats, m.lead)
}
