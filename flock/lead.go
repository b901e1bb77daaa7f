package flock

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// leadership is what a node has as long as it leads.
type leadership struct {
	ring   []*member // self first, then in the order of joining
	byID   map[crux.NodeID]*member
	voters int // of the current epoch, those that are gone among them
	// leaseUntil is until when a majority of the voters has promised to vote for
	// nobody else; acting says whether that is still to come.
	leaseUntil time.Duration
	leaseAt    time.Duration // when to reckon it anew
	acting     bool
	stopped    time.Duration // when it noticed that it no longer acts
	scanned    time.Duration
	beatAt     time.Duration

	version uint64 // of the list
	free    []uint32
	pushed  uint64
	pushAt  time.Duration

	dirty     bool // the voters are not the members
	dirtyAt   time.Duration
	changedAt time.Duration
	notBefore time.Duration // no new epoch
	next      *advance
	prepared  [32]byte
	isReady   bool // prepared was announced
	scratch   []time.Duration
}

// member is what the leader knows of one member.
type member struct {
	entry  *Entry
	voter  bool          // of the current epoch
	elect  bool          // of the epoch that is proposed
	voted  bool          // answered the proposal
	epoch  uint64        // the epoch that it said it is in
	heard  time.Duration // when it was last heard
	sent   time.Duration // when the newest beat that it has answered was sent
	next   time.Duration // when to beat
	told   time.Duration // when it was last told of the epoch
	tells  int           // how often
	missed int           // beats without an answer
	lostAt time.Duration
	joined time.Duration
	gone   bool // has moved on to another flock
}

// takeLead makes this node the leader, with the list that it has.
func (m *Machine) takeLead() {
	m.role = Leader
	m.follow = follow{}
	m.elect = campaign{at: never}
	m.sync = syncing{at: never}
	l := &leadership{byID: map[crux.NodeID]*member{}, pushAt: never, scanned: m.now, stopped: m.now, beatAt: m.now, leaseUntil: never, acting: true}
	l.version = m.epoch.Epoch << 32
	if n := len(m.list.log); n > 0 {
		l.version = max(l.version, m.list.log[n-1].Version)
	}
	l.pushed = l.version
	m.list.have = spans{{0, l.version}}
	for i := len(m.list.slots) - 1; i >= 0; i-- {
		if m.list.slots[i] == nil {
			l.free = append(l.free, uint32(i))
		}
	}
	m.lead = l
	m.stats.Led++
	m.view.change()
}

// change writes a line of the list.
func (m *Machine) change(r *Record, s crux.MemberState, slot uint32) *Entry {
	l := m.lead
	l.version++
	e := &Entry{Version: l.version, Slot: slot, State: s, Record: r}
	m.list.put(e)
	m.list.have.add(l.version-1, l.version)
	l.pushAt = min(l.pushAt, m.now+pushDelay)
	m.view.change()
	return e
}

// changeMember writes a member's line and has the next epoch follow the change.
func (m *Machine) changeMember(mb *member, r *Record, s crux.MemberState) {
	if r.Incarnation != mb.entry.Record.Incarnation {
		mb.voter, mb.elect, mb.voted = false, false, false
	}
	if !mb.voter || s == crux.Lost {
		m.touchVoters()
	}
	mb.entry = m.change(r, s, mb.entry.Slot)
}

// touchVoters notes that the voters are no longer those who should be.
func (m *Machine) touchVoters() {
	l := m.lead
	l.changedAt = m.now
	if !l.dirty {
		l.dirty, l.dirtyAt = true, m.now
	}
}

// addMember puts a node on the list, or its newer record.
func (m *Machine) addMember(r *Record) *member {
	l := m.lead
	m.probe.fresh = m.now + freshFor
	if mb := l.byID[r.ID]; mb != nil {
		if r.Newer(mb.entry.Record) || mb.entry.State != crux.Alive {
			m.changeMember(mb, r, crux.Alive)
		}
		mb.heard, mb.next, mb.missed, mb.gone = m.now, m.now+beatFast/2, 0, false
		return mb
	}
	mb := &member{heard: m.now, joined: m.now, next: m.now + beatFast/2}
	mb.entry = m.change(r, crux.Alive, l.slot(m.list))
	l.ring = append(l.ring, mb)
	l.byID[r.ID] = mb
	l.beatAt = min(l.beatAt, mb.next)
	if r.ID != m.id {
		m.touchVoters()
	}
	return mb
}

func (l *leadership) slot(list *list) uint32 {
	if n := len(l.free); n > 0 {
		s := l.free[n-1]
		l.free = l.free[:n-1]
		return s
	}
	return uint32(len(list.slots))
}

// removeMember takes a node off the list.
func (m *Machine) removeMember(mb *member, s crux.MemberState) {
	l := m.lead
	slot := mb.entry.Slot
	m.change(mb.entry.Record, s, slot)
	l.free = append(l.free, slot)
	delete(l.byID, mb.entry.Record.ID)
	l.ring = slices.DeleteFunc(l.ring, func(o *member) bool { return o == mb })
	m.probe.remember(mb.entry.Record)
	m.touchVoters()
}

// evict removes a member for good: it is refused as long as the flock lives,
// and the next epoch, whose key it does not get, begins at once.
func (m *Machine) evict(id crux.NodeID) error {
	if m.role != Leader || !m.acting() {
		who := "there is no leader now; try again soon"
		if m.role != Leader && m.leader != nil {
			who = "the leader is " + m.leader.ID.String() + " at " + m.leader.Addr.String()
		}
		return crux.Errorf("evict "+id.String(), crux.Unavailable, "only the leader can; %s", who)
	}
	mb := m.lead.byID[id]
	if mb == nil {
		return crux.Errorf("evict "+id.String(), crux.NotFound, "it is not a member")
	}
	if id == m.id {
		return crux.Errorf("evict "+id.String(), crux.Invalid, "the leader cannot evict itself; stop it, and evict it from the next one")
	}
	m.send(mb.entry.Record, &Dismiss{Flock: m.flock, Code: OfferEvicted})
	m.removeMember(mb, Evicted)
	m.renewKey()
	m.log.Info("evicted a member", "node", id)
	return nil
}

// acting says whether this node leads, and a majority of the voters has made
// sure that nobody else can.
func (m *Machine) acting() bool {
	return m.lead != nil && m.now < m.lead.leaseUntil && m.leaving == 0
}

// reckonLease finds until when a majority of the voters is bound.
func (m *Machine) reckonLease() {
	l := m.lead
	l.leaseAt = m.now + beatFast/3
	need := l.voters / 2 // besides this node, which is always a voter
	if need == 0 {
		l.leaseUntil = never
		return
	}
	l.scratch = l.scratch[:0]
	for _, mb := range l.ring {
		if mb.voter && mb.entry.Record.ID != m.id && mb.sent > 0 {
			l.scratch = append(l.scratch, mb.sent)
		}
	}
	if len(l.scratch) < need {
		l.leaseUntil = min(l.leaseUntil, m.now)
		return
	}
	slices.Sort(l.scratch)
	l.leaseUntil = l.scratch[len(l.scratch)-need] + lease(min(l.voters, m.list.count))
}

// hopeless says that a majority of the voters will never come together again,
// because too many have left or restarted.
func (l *leadership) hopeless() bool {
	n := 0
	for _, mb := range l.ring {
		if mb.voter {
			n++
		}
	}
	return 2*n <= l.voters
}

func (m *Machine) nextLead() time.Duration {
	l := m.lead
	t := min(l.beatAt, l.pushAt)
	switch {
	case !l.acting:
	case l.next != nil:
		t = min(t, l.leaseUntil, l.next.again, l.next.over)
	case l.dirty && !m.frozen():
		t = min(t, l.leaseUntil, max(l.notBefore, min(l.changedAt+calmDown, l.dirtyAt+calmDownMax)))
	default:
		t = min(t, l.leaseUntil)
	}
	return t
}

// tickLead does what a leader has to do from time to time.
func (m *Machine) tickLead() {
	l := m.lead
	if m.now >= l.beatAt {
		m.scan()
	}
	if m.now >= l.leaseAt || m.now >= l.leaseUntil {
		m.reckonLease()
	}
	if a := m.acting(); a != l.acting {
		l.acting, l.stopped = a, m.now
		m.view.change()
	}
	if m.now >= l.pushAt {
		m.push()
	}
	if !l.acting && m.merge == nil && (m.now > l.stopped+regroupAfter || l.hopeless()) {
		m.regroup(m.reachable())
		return
	}
	m.tickAdvance()
}

// reachable are the members that answer their leader.
func (m *Machine) reachable() []*Record {
	var out []*Record
	for _, mb := range m.lead.ring {
		if mb.entry.live() && mb.entry.Record.ID != m.id && !mb.gone {
			out = append(out, mb.entry.Record)
		}
	}
	return out
}

// regroup founds a new flock, because this one has no majority, and calls those
// who can be reached into it. The founder makes the ID, so that there is no
// other leader of it.
func (m *Machine) regroup(reach []*Record) {
	from := m.flock
	m.log.Info("no majority: founding a new flock", "flock", from, "epoch", m.epoch.Epoch, "reachable", len(reach))
	m.list.each(func(e *Entry) {
		if e.member() && e.Record.ID != m.id {
			m.probe.remember(e.Record) // whoever is there next may be in another flock
		}
	})
	m.found()
	m.probe.until = m.now
	msg := &Move{From: from, To: m.summary()}
	for _, r := range reach {
		m.send(r, msg)
	}
}

// stepDown makes a leader a member that knows no leader.
func (m *Machine) stepDown() {
	if m.vote.to == m.id {
		m.vote = ballot{} // nobody counts for that proposal any more
	}
	m.role, m.lead, m.leader, m.merge = Follower, nil, nil, nil
	m.follow = follow{}
	m.elect = campaign{at: m.now + silence(m.list.count)}
	m.view.change()
}
