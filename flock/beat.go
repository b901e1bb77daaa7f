package flock

import (
	"time"

	"fulcrum.example/crux"
)

// follow is what a member hears of its leader.
type follow struct {
	heard   time.Duration // when, 0: never
	members uint32        // how many there are, says the leader
	moving  bool          // the flock is merging into another
}

// staleGrace is how long after a node joined word that it is elsewhere may have
// been under way.
const staleGrace = 500 * time.Millisecond

// wasAsleep is a time between two scans that can only be explained by the
// process having been stopped.
const wasAsleep = 700 * time.Millisecond

// scan looks at every member: who is due for a beat, who has been silent.
func (m *Machine) scan() {
	l := m.lead
	if gap := m.now - l.scanned; gap > wasAsleep {
		// It was this node that was silent. What the members answered
		// meanwhile is still to be read.
		for _, mb := range l.ring {
			mb.heard = min(mb.heard+gap, m.now)
			mb.lostAt = min(mb.lostAt+gap, m.now)
		}
	}
	l.scanned = m.now
	due := m.now + beatMin
	for i := 0; i < len(l.ring); i++ {
		mb := l.ring[i]
		if mb.entry.Record.ID == m.id {
			continue
		}
		if m.judge(mb) {
			i-- // removed
			continue
		}
		if m.now >= mb.next {
			m.beat(mb)
		}
		due = min(due, mb.next)
		if mb.epoch < m.epoch.Epoch && mb.tells < maxTells && mb.entry.live() {
			if m.now >= mb.told+tellAgain {
				m.tellEpoch(mb)
			}
			due = min(due, mb.told+tellAgain)
		}
	}
	l.beatAt = max(due, m.now+10*time.Millisecond)
}

// judge notes how long a member has been silent. It returns true if the member
// was removed.
func (m *Machine) judge(mb *member) bool {
	silent, n := m.now-mb.heard, m.list.count
	switch s := mb.entry.State; {
	case mb.gone && m.merge != nil:
	case s == crux.Alive && silent > suspectAfter(n):
		m.changeMember(mb, mb.entry.Record, crux.Suspect)
	case s == crux.Suspect && silent > lostAfter(n):
		mb.lostAt = m.now
		m.changeMember(mb, mb.entry.Record, crux.Lost)
		m.log.Info("lost a member", "node", mb.entry.Record.ID, "silent", silent)
	case s == crux.Lost && m.now-mb.lostAt > removeAfter:
		m.removeMember(mb, Gone)
		return true
	}
	return false
}

func (m *Machine) beat(mb *member) {
	mb.missed++
	switch {
	case mb.entry.State == crux.Lost:
		mb.next = m.now + m.jitter(4*beatEvery(m.list.count))
	case mb.missed <= 5:
		mb.next = m.now + beatFast
	default:
		mb.next = m.now + beatEvery(m.list.count)
	}
	m.send(mb.entry.Record, &Beat{
		Flock: m.flock, Epoch: m.epoch.Epoch, Ballot: m.epoch.Ballot, Sent: uint64(m.now),
		Members: uint32(m.list.count), List: m.list.info(), State: mb.entry.State,
		Moving: m.merge != nil && m.merge.moving,
	})
}

// fromMember finds the member that sent a packet; nil if it is none.
func (m *Machine) fromMember(p *Packet) *member {
	if m.lead == nil {
		return nil
	}
	mb := m.lead.byID[p.Sender]
	if mb == nil || mb.entry.Record.Incarnation != p.Incarnation {
		return nil
	}
	return mb
}

// heardFrom notes that a member answered something that was sent at a time.
func (m *Machine) heardFrom(mb *member, sent time.Duration) {
	mb.heard = m.now
	if sent > mb.sent && sent <= m.now {
		mb.sent = sent
	}
	if mb.missed > 0 && sent > 0 {
		mb.missed = 0
		mb.next = max(m.now, min(mb.next-beatFast, m.now)+beatEvery(m.list.count))
	}
	if mb.entry.State != crux.Alive {
		m.changeMember(mb, mb.entry.Record, crux.Alive)
	}
}

// onBeat: the leader's sign of life, or that of one who thinks it leads.
func (m *Machine) onBeat(p *Packet, b *Beat) {
	if b.Flock != m.flock || b.Epoch < m.epoch.Epoch {
		m.tellStale(p, b.Flock, b.Epoch)
		return
	}
	rec := m.Peer(p.Sender)
	if rec == nil {
		m.ignore()
		return
	}
	if b.Epoch > m.epoch.Epoch {
		if o := m.offered(p, b.Epoch, b.Ballot); o != nil {
			m.adopt(rec, o.info)
		} else if m.role == Leader {
			m.stepDown()
		}
	} else if m.role == Leader || m.leader == nil || m.leader.ID != p.Sender {
		m.ignore() // nobody else leads this epoch
		return
	}
	m.hear(b)
	if b.State == crux.Lost {
		m.view.hint(m, p.From, true, "the leader at "+p.From.String()+" does not hear this node: what it sends there is lost on the way")
	}
	ack := &Ack{Flock: m.flock, Epoch: m.epoch.Epoch, Sent: b.Sent, List: m.list.have.whole()}
	if m.vote.epoch > m.epoch.Epoch && m.vote.to != p.Sender {
		// This node is alive, but has voted for another: its leader may not
		// count on it any more.
		ack.Sent = 0
	}
	m.reply(p, ack)
}

// hear notes a beat of the leader, or of who is about to be.
func (m *Machine) hear(b *Beat) {
	f := &m.follow
	f.heard, f.members, f.moving = m.now, b.Members, b.Moving
	m.vote.heard = m.now // a Release takes back the vote, not this promise
	m.restElection()
	if m.leader != nil {
		m.learnHead(b.List)
	}
}

// onAck: a member is alive.
func (m *Machine) onAck(p *Packet, a *Ack) {
	mb := m.fromMember(p)
	if mb == nil || a.Flock != m.flock || a.Epoch > m.epoch.Epoch {
		m.ignore()
		return
	}
	m.heardFrom(mb, time.Duration(a.Sent))
	mb.epoch = a.Epoch
	if a.Epoch < m.epoch.Epoch && m.now-mb.told > beatFast/2 {
		m.tellEpoch(mb)
	}
}

// tellStale tells a node that has spoken for what was that it is no more.
func (m *Machine) tellStale(p *Packet, flock crux.FlockID, epoch uint64) {
	m.ignore()
	if m.join != nil && m.join.target.Flock == flock {
		return // on the way there: the Grant was overtaken
	}
	if m.leader != nil && m.leader.ID == p.Sender && flock == m.flock {
		return // the leader's own, overtaken by its newer word
	}
	if m.Peer(p.Sender) != nil {
		m.reply(p, &Stale{Flock: flock, Epoch: epoch, Now: m.summary()})
	}
}

// onStale: somebody has gone on without this node, or has gone away.
func (m *Machine) onStale(p *Packet, s *Stale) {
	if s.Flock != m.flock || s.Epoch > m.epoch.Epoch {
		m.ignore()
		return
	}
	if s.Now.Flock != m.flock {
		if mb := m.fromMember(p); mb != nil && m.now-mb.joined > staleGrace {
			m.departed(mb)
		}
		m.consider(&s.Now, true)
		return
	}
	if s.Now.Epoch <= m.epoch.Epoch || s.Now.Leader.IsZero() || s.Now.Leader == m.id {
		return
	}
	if m.role == Leader {
		m.log.Info("another leads a later epoch: stepping down", "epoch", s.Now.Epoch, "leader", s.Now.Leader)
		m.stepDown()
	}
	m.startJoin(s.Now)
}

// departed notes that a member is in another flock now.
func (m *Machine) departed(mb *member) {
	if m.merge != nil {
		mb.gone = true
		return
	}
	m.removeMember(mb, Gone)
}

// onLeave: a member goes, or the leader does.
func (m *Machine) onLeave(p *Packet, msg *Leave) {
	if msg.Flock != m.flock {
		m.ignore()
		return
	}
	if mb := m.fromMember(p); mb != nil {
		m.departed(mb)
		return
	}
	if m.leader == nil || m.role == Leader || m.leader.ID != p.Sender {
		m.ignore()
		return
	}
	// The leader itself says that it acts no longer: no need to wait until the
	// promise made to it has run out.
	m.follow.heard = 0
	m.elect.at = m.now
}

// onDismiss: the leader has no place for this node.
func (m *Machine) onDismiss(p *Packet, d *Dismiss) {
	if d.Flock != m.flock || m.leader == nil || m.role == Leader || m.leader.ID != p.Sender {
		m.ignore()
		return
	}
	from := m.leader.Addr
	if d.Code != OfferEvicted {
		m.startJoin(m.summary())
		return
	}
	m.found()
	m.shun(d.Flock, refusedFor)
	m.view.hint(m, from, true, "this node was evicted from its flock by an operator; only another bloc file or a new flock takes it back")
}
