package flock

import (
	"testing"
	"time"

	"fulcrum.example/crux"
)

// ask proposes epoch 6 of the follower's flock, as node i.
func propose(m *Machine, i int, ballot uint64) *Packet {
	info := EpochInfo{Flock: m.flock, Epoch: m.epoch.Epoch + 1, Ballot: ballot, Voters: 4, Voter: true}
	info.Secret[0] = byte(i)
	return from(i, &Epoch{Phase: Propose, Info: info})
}

func release(m *Machine, i int, ballot uint64) *Packet {
	return from(i, &Release{Flock: m.flock, Epoch: m.epoch.Epoch + 1, Ballot: ballot})
}

// answer delivers a packet and returns the code of the vote that comes back.
func answer(t *testing.T, m *Machine, p *Packet) VoteCode {
	t.Helper()
	r := m.Receive(m.now, p)
	v, ok := sent[*Vote](r, p.Sender)
	if !ok {
		t.Fatalf("no vote came back for %T", p.Message)
	}
	return v.Code
}

// silent lets the follower's promise to its leader run out.
func silent(m *Machine) { m.now += promise(m.list.count) + time.Millisecond }

func TestVotes(t *testing.T) {
	later := func(p *Packet, inc uint64) *Packet {
		p.Incarnation = inc
		return p
	}
	for _, c := range []struct {
		why  string
		do   func(m *Machine) *Packet // returns the proposal to be judged
		want VoteCode
	}{
		{"not while the leader is heard", func(m *Machine) *Packet { return propose(m, 2, 1) }, VoteLeader},
		{"but for the leader itself", func(m *Machine) *Packet { return propose(m, 1, 10) }, VoteYes},
		{"when the leader is silent", func(m *Machine) *Packet { silent(m); return propose(m, 2, 1) }, VoteYes},
		{"not for an epoch after the next", func(m *Machine) *Packet {
			silent(m)
			p := propose(m, 2, 1)
			p.Message.(*Epoch).Info.Epoch++
			return p
		}, VoteUnknown},
		{"not twice", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 1))
			silent(m)
			return propose(m, 3, 1)
		}, VoteTaken},
		{"not for the leader either, once given away", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 1))
			return propose(m, 1, 10)
		}, VoteTaken},
		{"again for the same, who asks again", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			silent(m)
			return propose(m, 2, 4)
		}, VoteYes},
		{"for a later ballot of the same", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			silent(m)
			return propose(m, 2, 5)
		}, VoteYes},
		{"not for an earlier ballot of the same", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			silent(m)
			return propose(m, 2, 3)
		}, VoteTaken},
		{"when it was given back", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			m.Receive(m.now, release(m, 2, 4))
			return propose(m, 3, 1)
		}, VoteYes},
		{"not when an earlier ballot was given back", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			m.Receive(m.now, release(m, 2, 3))
			silent(m)
			return propose(m, 3, 1)
		}, VoteTaken},
		{"not when somebody else gave it back", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			m.Receive(m.now, release(m, 3, 4))
			silent(m)
			return propose(m, 3, 1)
		}, VoteTaken},
		{"not when a later process of the same node gave it back for a ballot of its own", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			m.Receive(m.now, later(release(m, 2, 4), 2))
			silent(m)
			return propose(m, 3, 1)
		}, VoteTaken},
		{"for a later process of the same node, whatever its ballot", func(m *Machine) *Packet {
			silent(m)
			m.Receive(m.now, propose(m, 2, 4))
			silent(m)
			return later(propose(m, 2, 1), 2)
		}, VoteYes},
		{"not that it counts, from who is no voter", func(m *Machine) *Packet {
			silent(m)
			m.epoch.Voter = false
			return propose(m, 2, 1)
		}, VoteNot},
	} {
		m := follower(t, 4)
		if got := answer(t, m, c.do(m)); got != c.want {
			t.Errorf("%s: code %d, want %d", c.why, got, c.want)
		}
	}
}

func TestAVoterThatComesBackToAFlockVotesNoMoreInThatEpoch(t *testing.T) {
	m := follower(t, 4)
	silent(m)
	id := m.flock
	if code := answer(t, m, propose(m, 2, 1)); code != VoteYes {
		t.Fatalf("code %d", code)
	}
	m.moveTo(crux.FlockID{9}) // elsewhere it forgets what it has voted
	m.startJoin(Summary{Flock: id, Epoch: 5, Leader: testRecord(1, id).ID, Addr: testRecord(1, id).Addr, Size: 9})
	j := m.join
	r := m.Receive(m.now, from(1, &Offer{Record: testRecord(1, id), Nonce: j.nonce, Code: OfferOK, Flock: j.target}))
	a, ok := sent[*Accept](r, testRecord(1, id).ID)
	if !ok || a.Record.Flock != id {
		t.Fatalf("no Accept: %+v", r.Sends)
	}
	m.Receive(m.now, from(1, &Grant{Nonce: a.Nonce, Epoch: EpochInfo{Flock: id, Epoch: 5, Ballot: 9, Voters: 4}, Members: 4}))
	if m.flock != id {
		t.Fatal("it is not back")
	}
	silent(m)
	if code := answer(t, m, propose(m, 3, 1)); code != VoteNot {
		t.Errorf("it votes again in the epoch in which it had voted: code %d", code)
	}
}

func TestALeadersGrantTakesTheVoteOfWhoComesBack(t *testing.T) {
	m := testMachine(t, 0)
	join := func(nonce uint64) {
		r := testRecord(1, m.flock)
		r.Seq = nonce
		m.Receive(m.now, from(1, &Join{Record: testRecord(1, crux.FlockID{}), Nonce: nonce}))
		m.Receive(m.now, from(1, &Accept{Record: r, Nonce: nonce}))
	}
	join(1)
	for m.epoch.Epoch == 1 {
		m.Tick(m.NextTick())
	}
	m.lead.beatAt = m.now
	b, ok := sent[*Beat](m.Tick(m.now+beatMin), testRecord(1, m.flock).ID)
	if !ok {
		t.Fatal("no beat to the new member")
	}
	m.Receive(m.now, from(1, &Ack{Flock: m.flock, Epoch: b.Epoch, Sent: b.Sent}))
	m.Tick(m.now + 100*time.Millisecond)
	mb := m.lead.byID[testRecord(1, m.flock).ID]
	if !mb.voter || m.epoch.Voters != 2 {
		t.Fatalf("the new member is no voter of the next epoch: %+v", m.epoch)
	}
	join(2)
	if mb := m.lead.byID[testRecord(1, m.flock).ID]; mb.voter || m.lead.voters != 2 {
		t.Error("a member that was granted membership again counts as a voter of an epoch that it may have forgotten")
	}
}

func TestNobodyIsAPreVoteAwayFromALeaderThatIsHeard(t *testing.T) {
	for _, c := range []struct {
		why  string
		do   func(m *Machine, v *PreVote)
		want VoteCode
	}{
		{"the leader is heard", func(m *Machine, v *PreVote) {}, VoteLeader},
		{"the leader is silent", func(m *Machine, v *PreVote) { silent(m) }, VoteYes},
		{"the candidate's list is behind", func(m *Machine, v *PreVote) { silent(m); v.List-- }, VoteBehind},
		{"no voter", func(m *Machine, v *PreVote) { silent(m); m.epoch.Voter = false }, VoteNot},
		{"far ahead", func(m *Machine, v *PreVote) { silent(m); v.Epoch++ }, VoteUnknown},
		{"the vote is given", func(m *Machine, v *PreVote) { silent(m); m.Receive(m.now, propose(m, 3, 1)); silent(m) }, VoteTaken},
	} {
		m := follower(t, 4)
		v := &PreVote{Flock: m.flock, Epoch: 6, Round: 1, List: m.list.have.whole()}
		c.do(m, v)
		r := m.Receive(m.now, from(2, v))
		a, ok := sent[*PreVoteReply](r, crux.NodeID{})
		if !ok || a.Code != c.want || a.Round != 1 {
			t.Errorf("%s: %+v, want code %d", c.why, a, c.want)
		}
	}
}

func TestAVoterThatVotedForAnotherNoLongerExtendsItsLeadersLease(t *testing.T) {
	m := follower(t, 4)
	beat := &Beat{Flock: m.flock, Epoch: 5, Ballot: 9, Sent: 77, Members: 4, List: m.sync.head}
	r := m.Receive(m.now, from(1, beat))
	if a, ok := sent[*Ack](r, crux.NodeID{}); !ok || a.Sent != 77 {
		t.Fatalf("the ack of a beat is %+v", a)
	}
	silent(m)
	if code := answer(t, m, propose(m, 2, 1)); code != VoteYes {
		t.Fatalf("code %d", code)
	}
	r = m.Receive(m.now, from(1, beat))
	if a, ok := sent[*Ack](r, crux.NodeID{}); !ok || a.Sent != 0 {
		t.Errorf("after the vote the ack is %+v: the leader must not count on it", a)
	}
}

func TestAReleaseDoesNotTakeBackThePromiseOfALaterBeat(t *testing.T) {
	m := follower(t, 4)
	silent(m)
	m.Receive(m.now, propose(m, 2, 1))
	m.Receive(m.now, from(1, &Beat{Flock: m.flock, Epoch: 5, Ballot: 9, Sent: 1, Members: 4, List: m.sync.head}))
	m.Receive(m.now, release(m, 2, 1))
	if code := answer(t, m, propose(m, 3, 1)); code != VoteLeader {
		t.Errorf("code %d: the leader has been heard", code)
	}
}
