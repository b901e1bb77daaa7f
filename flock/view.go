package flock

import (
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// view is what this node tells others on its own machine.
type view struct {
	made    *crux.View // nil: to be made
	version uint64
	changed bool          // since the last Ready
	carry   []crux.Member // of the former list, while this one is not whole
	evicted []crux.NodeID // the same of those who were removed
	hints   []heldHint
}

type heldHint struct {
	crux.Hint
	until time.Duration
}

func (v *view) change() { v.made, v.changed = nil, true }

func (v *view) takeChanged() bool {
	c := v.changed
	v.changed = false
	return c
}

// carryOver keeps the members of a list that is given up, until the next one is
// whole: this node goes from one flock to another with its fellows, and nobody
// who follows its view should see them vanish and come back.
func (v *view) carryOver(m *Machine) {
	v.evicted = m.evicted()
	if m.list.count <= 1 {
		return
	}
	v.carry = v.carry[:0]
	m.list.each(func(e *Entry) {
		if e.member() {
			v.carry = append(v.carry, memberOf(e))
		}
	})
}

func memberOf(e *Entry) crux.Member {
	r := e.Record
	return crux.Member{ID: r.ID, Addr: r.Addr, Key: r.Key[:], Incarnation: r.Incarnation, State: e.State}
}

// hint adds something that the user should know. One text is kept once.
func (v *view) hint(m *Machine, from netip.AddrPort, authenticated bool, text string) {
	for i := range v.hints {
		if v.hints[i].Text == text {
			v.hints[i].until = m.now + hintFor
			return
		}
	}
	if len(v.hints) == maxHints {
		v.hints = append(v.hints[:0], v.hints[1:]...)
	}
	v.hints = append(v.hints, heldHint{crux.Hint{From: from, Authenticated: authenticated, Text: text}, m.now + hintFor})
	v.change()
}

func (v *view) expires() time.Duration {
	t := never
	for i := range v.hints {
		t = min(t, v.hints[i].until)
	}
	return t
}

func (v *view) expire(m *Machine) {
	n := len(v.hints)
	v.hints = slices.DeleteFunc(v.hints, func(h heldHint) bool { return h.until <= m.now })
	if len(v.hints) != n {
		v.change()
	}
}

// AddHint adds to the view's hints something that the driver saw.
func (m *Machine) AddHint(now time.Duration, h crux.Hint) Ready {
	m.begin(now)
	m.view.hint(m, h.From, h.Authenticated, h.Text)
	return m.end()
}

// View is what this node knows. It is never nil, immutable, and the same
// pointer until it changes.
func (m *Machine) View() *crux.View {
	v := &m.view
	if v.made != nil && v.made.Acting == (m.role == Leader && m.acting()) {
		return v.made
	}
	v.version++
	if m.synced() && m.join == nil {
		v.carry, v.evicted = nil, nil
	}
	out := &crux.View{
		Bloc: m.cfg.Bloc, Name: m.cfg.Name, Flock: m.flock, Epoch: m.epoch.Epoch, Version: v.version,
		Self: m.id, Acting: m.acting(), Synced: m.synced(), Members: m.members(),
	}
	out.Evicted = slices.DeleteFunc(m.evicted(), func(id crux.NodeID) bool {
		_, member := out.Member(id)
		return member
	})
	if m.leader != nil && m.role != Candidate {
		out.Leader = m.leader.ID
	}
	for i := range v.hints {
		out.Hints = append(out.Hints, v.hints[i].Hint)
	}
	v.made = out
	return out
}

// members are the list's that the bloc file admits, this node among them, and
// those of the former flock while the list is not whole.
func (m *Machine) members() []crux.Member {
	out := make([]crux.Member, 0, m.list.count+1)
	m.list.each(func(e *Entry) {
		if e.member() && (e.Record.ID == m.id || m.listed(e.Record)) {
			out = append(out, memberOf(e))
		}
	})
	self := crux.Member{ID: m.id, Addr: m.cfg.Addr, Key: m.self.Key[:], Incarnation: m.self.Incarnation, State: crux.Alive}
	if e := m.list.get(m.id); e == nil || !e.member() {
		out = append(out, self)
	}
	for _, c := range m.view.carry {
		if m.list.get(c.ID) == nil && c.ID != m.id && m.cfg.Enrolled(c.Key) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b crux.Member) int { return a.ID.Compare(b.ID) })
	return out
}

// evicted are those whom an operator removed, and those of the former flock while
// the list is not whole.
func (m *Machine) evicted() []crux.NodeID {
	var out []crux.NodeID
	m.list.each(func(e *Entry) {
		if m.removed(e) {
			out = append(out, e.Record.ID)
		}
	})
	for _, id := range m.view.evicted {
		if m.list.get(id) == nil {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, crux.NodeID.Compare)
	return out
}

// removed says whether an operator removed the entry's node: by eviction, whatever
// the bloc file says of it, or by taking its key off that. Whom a node's file does
// not list, and who has a newer one, may be new in that.
func (m *Machine) removed(e *Entry) bool {
	return e.State == Evicted || e.Record.Bloc <= m.cfg.File.Version && !m.listed(e.Record)
}

// Status is this node's state in short.
func (m *Machine) Status() Status {
	s := Status{
		Role: m.role, Flock: m.flock, Epoch: m.epoch.Epoch, Ballot: m.epoch.Ballot, Voters: m.epoch.Voters, VotersHash: m.epoch.Hash,
		Voter: m.epoch.Voter, Members: m.list.count, Synced: m.synced(), Acting: m.acting(),
	}
	if m.leader != nil && m.role != Candidate {
		s.Leader = m.leader.ID
	}
	if m.lead != nil && m.leaving == 0 {
		s.Lease = m.lead.leaseUntil
	}
	return s
}
