package flock

import (
	"time"

	"fulcrum.example/crux"
)

// ballot is a vote that was given away: to a process's proposal of an epoch.
type ballot struct {
	epoch uint64
	to    crux.NodeID
	inc   uint64
	num   uint64
	heard time.Duration // follow.heard before the vote
}

// free says whether this node may give its vote for an epoch to a ballot.
func (m *Machine) free(epoch uint64, to crux.NodeID, inc, num uint64) bool {
	v := &m.vote
	return v.epoch != epoch || v.to == to && (inc > v.inc || inc == v.inc && num >= v.num)
}

// cast answers a proposal of the next epoch, and gives the vote away if it can.
func (m *Machine) cast(p *Packet, info *EpochInfo) VoteCode {
	leads := m.leader != nil && m.leader.ID == p.Sender && m.leader.Incarnation == p.Incarnation
	if m.elect.prop != nil && info.Epoch == m.epoch.Epoch+1 && m.rank(p.Sender) < m.rank(m.id) {
		m.dropProposal() // two stand at a time: the one behind gives its votes back
		m.elect.yield = m.now + campaignOver
	}
	v := &m.vote
	switch {
	case info.Epoch != m.epoch.Epoch+1:
		return VoteUnknown
	case v.epoch == info.Epoch && v.to == p.Sender && v.inc == p.Incarnation && v.num == info.Ballot:
		return VoteYes // it asks again
	case m.role == Leader, !leads && m.leaderHeard():
		return VoteLeader
	case !m.free(info.Epoch, p.Sender, p.Incarnation, info.Ballot):
		return VoteTaken
	}
	before := m.follow.heard
	if m.vote.epoch == info.Epoch && m.vote.to == p.Sender {
		before = m.vote.heard
	}
	if leads {
		before = m.now
	}
	m.follow.heard = m.now // as good as a beat: let it become the leader
	if m.elect.prop == nil {
		m.restElection()
	}
	if !m.epoch.Voter {
		return VoteNot
	}
	m.vote = ballot{epoch: info.Epoch, to: p.Sender, inc: p.Incarnation, num: info.Ballot, heard: before}
	return VoteYes
}

// onRelease takes a vote back from a ballot that will not be used.
func (m *Machine) onRelease(p *Packet, r *Release) {
	v := &m.vote
	if r.Flock != m.flock || v.epoch != r.Epoch || v.to != p.Sender || v.inc != p.Incarnation || v.num > r.Ballot {
		m.ignore()
		return
	}
	if m.follow.heard > v.heard && (m.leader == nil || m.leader.ID != p.Sender) {
		m.follow.heard = v.heard
		m.elect.at = min(m.elect.at, m.now+m.jitter(campaignEvery))
	}
	m.vote = ballot{}
}
