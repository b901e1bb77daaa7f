package flock

import (
	"encoding/binary"
	"time"
)

// offer is a proposal of the next epoch that this node has seen. Should the
// proposer win, its first beat is enough to go there.
type offer struct {
	from *Record
	info EpochInfo
}

// advance is the leader's own proposal of the next epoch.
type advance struct {
	info  EpochInfo
	votes int
	sent  time.Duration // first; an answer may be to that
	again time.Duration
	over  time.Duration
}

// voterHash is a voter's part in the hash over an epoch's voters.
func voterHash(r *Record) uint64 {
	return mix(binary.LittleEndian.Uint64(r.ID[:]) ^ mix(r.Incarnation))
}

// offered finds a proposal that a node has made.
func (m *Machine) offered(p *Packet, epoch, ballot uint64) *offer {
	for i := range m.offers {
		o := &m.offers[i]
		if o.from.ID == p.Sender && o.from.Incarnation == p.Incarnation && o.info.Epoch == epoch && o.info.Ballot == ballot {
			return o
		}
	}
	return nil
}

// keepOffer remembers a proposal, the newest of each proposer.
func (m *Machine) keepOffer(from *Record, info EpochInfo) {
	for i := range m.offers {
		if m.offers[i].from.ID == from.ID {
			if m.offers[i].info.Secret != info.Secret {
				m.keys.drop(keyOf(&m.offers[i].info))
			}
			m.offers[i] = offer{from, info}
			return
		}
	}
	if len(m.offers) == maxPropose {
		m.keys.drop(keyOf(&m.offers[0].info))
		m.offers = append(m.offers[:0], m.offers[1:]...)
	}
	m.offers = append(m.offers, offer{from, info})
}

// onEpoch: a key that will be, a proposal to vote on, or an epoch that began.
func (m *Machine) onEpoch(p *Packet, msg *Epoch) {
	info := msg.Info
	from := m.Peer(p.Sender)
	if from == nil || info.Flock != m.flock || info.Epoch < m.epoch.Epoch {
		m.tellStale(p, info.Flock, info.Epoch)
		return
	}
	if info.Epoch == m.epoch.Epoch {
		if msg.Phase == Commit && m.leader != nil && m.leader.ID == p.Sender && m.role == Follower {
			m.reply(p, &Ack{Flock: m.flock, Epoch: info.Epoch, List: m.list.have.whole()})
		}
		m.ignore()
		return
	}
	switch msg.Phase {
	case Prepare:
		if m.leader == nil || m.role == Leader || m.leader.ID != p.Sender || info.Epoch != m.epoch.Epoch+1 {
			m.ignore()
			return
		}
		m.keys.accept(keyOf(&info), m.now+epochLife)
	case Propose:
		code := m.cast(p, &info)
		if m.role != Leader {
			m.keepOffer(from, info)
			m.keys.accept(keyOf(&info), m.now+epochLife)
		}
		m.reply(p, &Vote{Flock: info.Flock, Epoch: info.Epoch, Ballot: info.Ballot, Code: code})
	case Commit:
		m.adopt(from, info)
		m.reply(p, &Ack{Flock: m.flock, Epoch: info.Epoch, List: m.list.have.whole()})
	default:
		m.ignore()
	}
}

// adopt takes this node into an epoch that another leads.
func (m *Machine) adopt(leader *Record, info EpochInfo) {
	if m.lead != nil {
		m.stepDown()
	}
	for i := range m.offers {
		if m.offers[i].info.Secret != info.Secret {
			m.keys.drop(keyOf(&m.offers[i].info))
		}
	}
	m.offers = m.offers[:0]
	m.role, m.leader, m.epoch, m.began = Follower, leader, info, m.now
	m.vote = ballot{}
	m.keys.install(m.now, keyOf(&info))
	m.follow.heard = m.now
	m.restElection()
	m.view.change()
}

// tickAdvance begins the next epoch when there is reason, and brings a proposal
// to its end.
func (m *Machine) tickAdvance() {
	l := m.lead
	if a := l.next; a != nil {
		switch {
		case m.now >= a.over:
			m.abandonAdvance()
		case m.now >= a.again:
			a.again = m.now + proposeLate
			m.propose(false)
		}
		return
	}
	if m.frozen() || !l.acting || m.now < l.notBefore {
		return
	}
	age := m.now - m.began
	settled := m.now-l.changedAt >= calmDown || m.now-l.dirtyAt >= calmDownMax
	switch {
	case l.dirty && settled, age >= epochLife:
		m.startAdvance()
	case age >= prepareAt && !l.isReady:
		m.prepare()
	}
}

// prepare announces the key of the next epoch.
func (m *Machine) prepare() {
	l := m.lead
	l.isReady = true
	m.cfg.Entropy(l.prepared[:])
	info := EpochInfo{Flock: m.flock, Epoch: m.epoch.Epoch + 1, Secret: l.prepared}
	m.keys.accept(keyOf(&info), m.now+epochLife)
	msg := &Epoch{Phase: Prepare, Info: info}
	for _, mb := range l.ring {
		if mb.entry.live() && mb.entry.Record.ID != m.id {
			m.send(mb.entry.Record, msg)
		}
	}
}

// startAdvance fixes the next epoch's voters and asks the present ones.
func (m *Machine) startAdvance() {
	l := m.lead
	m.nonce++
	a := &advance{sent: m.now, again: m.now + proposeLate, over: m.now + proposeOver}
	a.info = EpochInfo{Flock: m.flock, Epoch: m.epoch.Epoch + 1, Ballot: m.nonce, Secret: l.prepared, Voter: true}
	if !l.isReady {
		m.cfg.Entropy(a.info.Secret[:])
	}
	l.isReady = false
	for _, mb := range l.ring {
		mb.elect, mb.voted = mb.entry.live() && !mb.gone, false
		if mb.elect {
			a.info.Voters++
			a.info.Hash += voterHash(mb.entry.Record)
		}
	}
	l.next, l.dirty = a, false
	m.keys.accept(keyOf(&a.info), m.now+epochLife)
	// The leader's own vote goes the way of every vote: to one ballot at a time.
	m.vote = ballot{epoch: a.info.Epoch, to: m.id, inc: m.self.Incarnation, num: a.info.Ballot}
	a.votes = 1
	if !m.countAdvance() {
		m.propose(true)
	}
}

// propose sends the proposal to all, or to those who have not answered.
func (m *Machine) propose(all bool) {
	msg := &Epoch{Phase: Propose, Info: m.lead.next.info}
	for _, mb := range m.lead.ring {
		if mb.elect && mb.entry.Record.ID != m.id && (all || mb.voter && !mb.voted) {
			m.send(mb.entry.Record, msg)
		}
	}
}

// abandonAdvance gives the votes back.
func (m *Machine) abandonAdvance() {
	l := m.lead
	a := l.next
	if a == nil {
		return
	}
	l.next, l.notBefore = nil, m.now+calmDownMax
	m.touchVoters()
	m.vote = ballot{}
	m.keys.drop(keyOf(&a.info))
	msg := &Release{Flock: m.flock, Epoch: a.info.Epoch, Ballot: a.info.Ballot}
	for _, mb := range l.ring {
		if mb.elect && mb.entry.Record.ID != m.id {
			m.send(mb.entry.Record, msg)
		}
	}
}

// countVote takes a vote for the leader's own proposal.
func (m *Machine) countVote(p *Packet, v *Vote) {
	l := m.lead
	mb := m.fromMember(p)
	if mb == nil || l.next == nil || v.Epoch != l.next.info.Epoch || v.Ballot != l.next.info.Ballot || m.now >= l.next.over {
		m.ignore()
		return
	}
	if v.Code != VoteYes && v.Code != VoteNot {
		return
	}
	m.heardFrom(mb, l.next.sent)
	if mb.voted {
		return
	}
	mb.voted = true
	if v.Code == VoteYes && mb.voter {
		l.next.votes++
		m.countAdvance()
	}
}

// countAdvance begins the epoch if a majority has agreed.
func (m *Machine) countAdvance() bool {
	l := m.lead
	if 2*l.next.votes <= l.voters {
		return false
	}
	m.epoch, m.began = l.next.info, m.now
	l.next = nil
	m.vote = ballot{}
	l.voters = int(m.epoch.Voters)
	m.keys.install(m.now, keyOf(&m.epoch))
	m.stats.Led++
	for _, mb := range l.ring {
		mb.voter, mb.elect = mb.elect, false
		mb.tells = 0
		if mb.entry.Record.ID == m.id {
			mb.epoch = m.epoch.Epoch
		} else if mb.entry.live() {
			m.tellEpoch(mb)
		}
		if mb.voter != mb.entry.live() {
			m.touchVoters()
		}
	}
	m.reckonLease()
	m.view.change()
	return true
}

// tellEpoch tells one member of the epoch that has begun.
func (m *Machine) tellEpoch(mb *member) {
	mb.told = m.now
	mb.tells++
	info := m.epoch
	info.Voter = mb.voter
	m.send(mb.entry.Record, &Epoch{Phase: Commit, Info: info})
}
