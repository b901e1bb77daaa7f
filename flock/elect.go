package flock

import (
	"encoding/binary"
	"time"

	"fulcrum.example/crux"
)

// How the next epoch of a flock comes about, and why it has one leader.
//
// An epoch e has a fixed set of voters V(e): processes, that is, pairs of node
// and incarnation. It is fixed by the proposal that began e: its proposer put
// the number of voters into it and told every one of them, and nobody else,
// that it is one (EpochInfo.Voter). Epoch 1 is the founder's: V(1) is the
// founder. A node that joins later, or again, is no voter of the current epoch,
// and a restarted one has another incarnation, so it has forgotten nothing.
//
// Epoch e+1 begins when a node X, who knows V(e)'s size, holds votes for one
// proposal of its own (a ballot) from more than half of V(e). A voter in epoch e
// gives its vote for e+1 to one ballot at a time. It takes its vote from X only
// if X itself has said that it will never use that ballot (Release; or a higher
// ballot of X for the same epoch; or a later incarnation of X, whose process
// is the only one that could have used it). X says so only of a ballot that has
// not won, and then counts no more votes for it.
//
// Claim: for each (flock, e) at most one node leads. For e = 1 it is the
// founder, who drew the flock's ID at random. Suppose it holds for e, and X and
// Y both begin e+1. Both know the same V(e): EpochInfo of e came from e's one
// leader, and from the one ballot with which it began e. Two majorities of V(e)
// share a voter v, which gave its vote first to, say, X's ballot and then to
// Y's. In between, X gave that ballot up; but a ballot that was given up never
// wins, and one that has won is never given up. So X = Y, and since X begins an
// epoch once, with one ballot, there is one V(e+1).
//
// A vote is never cleared otherwise but by going to another epoch or flock.
// Where votes stay locked, because X died between asking and winning, no
// majority comes about and those who are left found a new flock: the ID of a
// flock costs nothing, a second leader would.
//
// Acting is a matter of time: a voter does not vote for others as long as it has
// heard its leader within promise(), and the leader counts only on what it sent
// within lease(), which is shorter; so it has stopped acting when the first
// vote is given.

// campaign is a member's way to a new leader, once the old one is silent.
type campaign struct {
	at     time.Duration // when to do something
	since  time.Duration // when the silence was noticed; 0: it was not
	stood  bool          // this node's turn has come
	doubts int           // how often this node has put it off for its own slowness
	round  uint64
	yes    int
	ready  bool                    // a majority would vote for this node
	asked  map[crux.NodeID]*Record // who answered in this round, and would vote or could be led
	reach  map[crux.NodeID]*Record // who answered in this campaign
	order  []*Record               // asked, in the order of their answers
	denied time.Duration           // when a member last said that it hears the leader
	yield  time.Duration           // until when to let a better candidate try
	prop   *proposal
}

// proposal is a candidate's own.
type proposal struct {
	info  EpochInfo
	set   []*Record              // the voters that the epoch would have
	in    map[crux.NodeID]uint64 // their incarnations
	voted map[crux.NodeID]bool   // for it
	live  map[crux.NodeID]bool   // answered
	votes int
	sent  time.Duration // first; an answer may be to that
	again time.Duration
	over  time.Duration
}

// restElection puts off an election: the leader was heard.
func (m *Machine) restElection() {
	if m.role == Leader {
		return
	}
	if m.role == Candidate {
		m.role = Follower
		m.view.change()
	}
	m.dropProposal()
	m.elect = campaign{at: m.follow.heard + silence(m.size()), round: m.elect.round}
}

// leaderHeard says whether this node has promised its leader not to vote for
// others.
func (m *Machine) leaderHeard() bool {
	return m.follow.heard > 0 && m.now-m.follow.heard < promise(int(m.follow.members))
}

// rank orders the candidates of an epoch: the least stands first.
func (m *Machine) rank(id crux.NodeID) uint64 {
	return mix(binary.LittleEndian.Uint64(id[:]) ^ mix(m.epoch.Epoch^binary.LittleEndian.Uint64(m.flock[:8])))
}

// place is how many members stand before this node.
func (m *Machine) place() int {
	mine, n := m.rank(m.id), 0
	m.list.each(func(e *Entry) {
		if e.State == crux.Alive && e.Record.ID != m.id && (m.leader == nil || e.Record.ID != m.leader.ID) && m.rank(e.Record.ID) < mine {
			n++
		}
	})
	return n
}

func (m *Machine) tickElect() {
	c := &m.elect
	if m.role == Leader {
		c.at = never
		return
	}
	if quiet := m.follow.heard + silence(m.size()); m.follow.heard > 0 && m.now < quiet {
		c.at = quiet
		return
	}
	if late := m.now - c.at; late > lateness && c.doubts < maxDoubts && !c.stood {
		// It was this node that was not running. What the leader has sent
		// meanwhile is still to be read.
		c.doubts++
		c.at = m.now + min(late, beatMin)
		return
	}
	if !c.stood {
		m.standUp()
		if m.now < c.at {
			return
		}
	}
	if c.prop != nil {
		m.tickProposal()
		return
	}
	if m.now < c.yield {
		c.at, c.ready = c.yield, false
		return
	}
	if c.ready {
		m.stand()
		return
	}
	over := m.now - c.since
	if over >= aloneAfter || over >= regroupAfter && (c.denied == 0 || m.now-c.denied > 4*campaignEvery) {
		m.regroupAsCandidate()
		return
	}
	m.ask()
}

// standUp notes the silence, and that this node stands when its turn comes.
func (m *Machine) standUp() {
	c := &m.elect
	if c.since == 0 {
		c.since = m.now
		c.at = m.now + time.Duration(min(m.place(), rankMax))*rankStep
		if c.at > m.now {
			c.at += m.jitter(rankStep) / 2
			return
		}
	}
	c.stood, c.at = true, m.now
	c.round++ // answers to an earlier campaign do not count
	c.reach, c.asked = map[crux.NodeID]*Record{}, map[crux.NodeID]*Record{}
	m.role = Candidate
	m.view.change()
}

// ask begins a round of pre-votes.
func (m *Machine) ask() {
	c := &m.elect
	c.round++
	c.yes, c.ready, c.order, c.asked = 0, false, c.order[:0], map[crux.NodeID]*Record{}
	if m.epoch.Voter && m.free(m.epoch.Epoch+1, m.id, m.self.Incarnation, m.nonce+1) {
		c.yes = 1
	}
	c.at = m.now + m.jitter(campaignEvery)
	msg := &PreVote{Flock: m.flock, Epoch: m.epoch.Epoch + 1, Round: c.round, List: m.list.have.whole()}
	m.list.each(func(e *Entry) {
		if e.member() && e.Record.ID != m.id {
			m.send(e.Record, msg)
		}
	})
	if m.list.count <= 1 && m.leader != nil {
		m.send(m.leader, msg)
	}
	m.mayStand()
}

// onPreVote says whether this node would vote for the sender.
func (m *Machine) onPreVote(p *Packet, v *PreVote) {
	if v.Flock != m.flock || v.Epoch <= m.epoch.Epoch {
		m.tellStale(p, v.Flock, v.Epoch-min(v.Epoch, 1))
		return
	}
	m.reply(p, &PreVoteReply{Flock: v.Flock, Epoch: v.Epoch, Round: v.Round, Code: m.wouldVote(p, v)})
}

func (m *Machine) wouldVote(p *Packet, v *PreVote) VoteCode {
	switch {
	case v.Epoch != m.epoch.Epoch+1:
		return VoteUnknown
	case m.role == Leader:
		if mb := m.fromMember(p); mb != nil {
			mb.next, m.lead.beatAt = m.now, m.now // it does not hear this node
		} else {
			m.reply(p, &Dismiss{Flock: m.flock, Code: OfferRedirect})
		}
		return VoteLeader
	case m.leaderHeard():
		return VoteLeader
	case v.List < m.list.have.whole():
		return VoteBehind
	case !m.free(v.Epoch, p.Sender, p.Incarnation, ^uint64(0)):
		return VoteTaken
	}
	if m.role == Candidate && m.elect.prop == nil && m.rank(p.Sender) < m.rank(m.id) {
		m.elect.yield = m.now + campaignOver
	}
	if m.epoch.Voter {
		return VoteYes
	}
	return VoteNot
}

// onPreVoteReply counts those who would vote for this node.
func (m *Machine) onPreVoteReply(p *Packet, v *PreVoteReply) {
	c := &m.elect
	from := m.Peer(p.Sender)
	if m.role != Candidate || from == nil || v.Flock != m.flock || v.Epoch != m.epoch.Epoch+1 {
		m.ignore()
		return
	}
	if v.Code == VoteLeader {
		c.denied = m.now
		return
	}
	c.reach[from.ID] = from
	if v.Round != c.round || c.prop != nil || v.Code != VoteYes && v.Code != VoteNot || c.asked[from.ID] != nil {
		return
	}
	c.asked[from.ID] = from
	c.order = append(c.order, from)
	if v.Code == VoteYes {
		c.yes++
	}
	m.mayStand()
}

// mayStand has this node propose itself once a majority would vote for it, after
// a moment for the answers of others, who become the next epoch's voters.
func (m *Machine) mayStand() {
	c := &m.elect
	if c.ready || c.prop != nil || 2*c.yes <= int(m.epoch.Voters) {
		return
	}
	c.ready = true
	c.at = min(c.at, m.now+standDelay)
	if len(c.order) >= m.list.count-2 { // all but this node and the old leader
		c.at = m.now
	}
}

// stand proposes this node as the leader of the next epoch.
func (m *Machine) stand() {
	c := &m.elect
	m.nonce++
	pr := &proposal{
		set: append([]*Record{m.self}, c.order...), in: map[crux.NodeID]uint64{},
		voted: map[crux.NodeID]bool{}, live: map[crux.NodeID]bool{},
		sent: m.now, again: m.now + proposeLate, over: m.now + campaignOver,
	}
	pr.info = EpochInfo{Flock: m.flock, Epoch: m.epoch.Epoch + 1, Ballot: m.nonce, Voters: uint32(len(pr.set)), Voter: true}
	m.cfg.Entropy(pr.info.Secret[:])
	for _, r := range pr.set {
		pr.info.Hash += voterHash(r)
		pr.in[r.ID] = r.Incarnation
	}
	m.keys.accept(keyOf(&pr.info), m.now+epochLife)
	if m.epoch.Voter && m.free(pr.info.Epoch, m.id, m.self.Incarnation, pr.info.Ballot) {
		m.vote = ballot{epoch: pr.info.Epoch, to: m.id, inc: m.self.Incarnation, num: pr.info.Ballot}
		pr.votes = 1
	}
	c.prop, c.at, c.ready = pr, pr.again, false
	if !m.countProposal() {
		m.sendProposal()
	}
}

func (m *Machine) sendProposal() {
	pr := m.elect.prop
	voter, other := &Epoch{Phase: Propose, Info: pr.info}, &Epoch{Phase: Propose, Info: pr.info}
	other.Info.Voter = false
	m.list.each(func(e *Entry) {
		switch r := e.Record; {
		case r.ID == m.id, !e.member(), pr.live[r.ID]:
		case pr.in[r.ID] == r.Incarnation:
			m.send(r, voter)
		default:
			m.send(r, other)
		}
	})
}

func (m *Machine) tickProposal() {
	c := &m.elect
	pr := c.prop
	if m.now >= pr.over {
		m.dropProposal()
		c.at = m.now + m.jitter(2*campaignEvery)
		return
	}
	if m.now >= pr.again {
		pr.again = m.now + proposeLate
		m.sendProposal()
	}
	c.at = min(pr.again, pr.over)
}

// dropProposal gives the votes for this node's own proposal back.
func (m *Machine) dropProposal() {
	pr := m.elect.prop
	if pr == nil {
		return
	}
	m.elect.prop = nil
	if m.vote.to == m.id && m.vote.num == pr.info.Ballot {
		m.vote = ballot{}
	}
	m.keys.drop(keyOf(&pr.info))
	msg := &Release{Flock: m.flock, Epoch: pr.info.Epoch, Ballot: pr.info.Ballot}
	m.list.each(func(e *Entry) {
		if e.member() && e.Record.ID != m.id {
			m.send(e.Record, msg)
		}
	})
}

// onVote counts a vote.
func (m *Machine) onVote(p *Packet, v *Vote) {
	if v.Flock != m.flock {
		m.ignore()
		return
	}
	if m.role == Leader {
		m.countVote(p, v)
		return
	}
	pr := m.elect.prop
	if pr == nil || v.Epoch != pr.info.Epoch || v.Ballot != pr.info.Ballot || m.now >= pr.over {
		m.ignore()
		return
	}
	pr.live[p.Sender] = true
	if v.Code == VoteYes && !pr.voted[p.Sender] {
		pr.voted[p.Sender] = true
		pr.votes++
		m.countProposal()
	}
}

// countProposal makes this node the leader if a majority has voted for it.
func (m *Machine) countProposal() bool {
	pr := m.elect.prop
	if 2*pr.votes <= int(m.epoch.Voters) {
		return false
	}
	var old crux.NodeID
	if m.leader != nil {
		old = m.leader.ID
	}
	m.elect.prop = nil
	m.join = nil
	m.own()
	m.epoch, m.began, m.leader = pr.info, m.now, m.self
	m.vote = ballot{}
	m.offers = m.offers[:0]
	m.keys.install(m.now, keyOf(&m.epoch))
	m.takeLead()
	m.inherit(pr, old)
	m.log.Info("elected", "flock", m.flock, "epoch", m.epoch.Epoch, "members", m.list.count, "instead", old)
	return true
}

// inherit makes members of the lines of the list: those who have answered are
// Alive, the old leader is Suspect, and the others have to show it.
func (m *Machine) inherit(pr *proposal, old crux.NodeID) {
	l := m.lead
	self := m.list.get(m.id)
	if self == nil {
		m.addMember(m.self)
	}
	m.list.each(func(e *Entry) {
		if !e.member() || l.byID[e.Record.ID] != nil {
			return
		}
		mb := &member{entry: e, heard: m.now, next: m.now, lostAt: m.now}
		l.ring = append(l.ring, mb)
		l.byID[e.Record.ID] = mb
	})
	l.voters = len(pr.set)
	for _, mb := range l.ring {
		r := mb.entry.Record
		mb.voter = pr.in[r.ID] == r.Incarnation
		switch {
		case r.ID == m.id:
			mb.entry = m.change(m.self, crux.Alive, mb.entry.Slot) // whatever else: a new version
		case pr.voted[r.ID]:
			mb.sent = pr.sent
		case r.ID == old && mb.entry.State == crux.Alive:
			mb.heard = m.now - suspectAfter(m.list.count)
			mb.entry = m.change(r, crux.Suspect, mb.entry.Slot)
		}
		if r.ID != m.id && mb.entry.live() {
			m.tellEpoch(mb)
		}
		if mb.voter != mb.entry.live() {
			m.touchVoters()
		}
	}
	l.notBefore = m.now + calmDown
	m.reckonLease()
	l.acting = m.acting()
}

// regroupAsCandidate founds a new flock with those who answered.
func (m *Machine) regroupAsCandidate() {
	reach := m.elect.reach
	var rs []*Record
	m.list.each(func(e *Entry) {
		if reach[e.Record.ID] != nil {
			rs = append(rs, e.Record)
		}
	})
	m.dropProposal()
	m.regroup(rs)
}
