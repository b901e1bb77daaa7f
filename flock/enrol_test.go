package flock

import (
	"crypto/ed25519"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// unlist has the bloc file of a machine list all nodes but some.
func unlist(m *Machine, gone ...int) {
	m.cfg.Enrolled = func(k ed25519.PublicKey) bool {
		for _, i := range gone {
			if c := testConfig(i); string(c.Key[:]) == string(k) {
				return false
			}
		}
		return true
	}
}

func TestWhoIsTakenOffTheBlocFileIsRemovedByTheLeader(t *testing.T) {
	m := testMachine(t, 0)
	for i := 1; i <= 3; i++ {
		m.addMember(testRecord(i, m.flock))
	}
	gone := testRecord(2, m.flock)
	before := m.epoch.Epoch
	unlist(m, 2)
	m.SetFile(m.now, Bloc{Version: 2})
	if _, ok := m.View().Member(gone.ID); ok || m.Peer(gone.ID) != nil || m.lead.byID[gone.ID] != nil {
		t.Fatal("a node that the bloc file no longer lists is still a member")
	}
	if len(m.View().Members) != 3 {
		t.Fatalf("%d members are left of four, one of whom was taken off", len(m.View().Members))
	}
	// It is told of no key any more; the others get a new one at once.
	m.lead.leaseUntil = never
	now, advanced := m.now, false
	for ; now < m.lead.notBefore+5*time.Second && !advanced; now += 10 * time.Millisecond {
		r := m.Tick(now)
		for _, s := range r.Sends {
			if _, ok := s.Message.(*Epoch); ok && s.Receiver == gone.ID {
				t.Fatal("it is told of an epoch")
			}
		}
		advanced = m.epoch.Epoch > before || m.lead.next != nil
	}
	if !advanced {
		t.Fatal("no epoch without it begins")
	}
}

func TestWhoIsTakenOffTheBlocFileMayComeBack(t *testing.T) {
	m := testMachine(t, 0)
	m.addMember(testRecord(2, m.flock))
	unlist(m, 2)
	m.SetFile(m.now, Bloc{Version: 2})
	unlist(m)
	m.SetFile(m.now, Bloc{Version: 3})
	join := &Join{Record: testRecord(2, crux.FlockID{}), Nonce: 7, Own: Summary{Bloc: Bloc{Version: 3}}}
	if o, ok := sent[*Offer](m.Receive(m.now, from(2, join)), testRecord(2, crux.FlockID{}).ID); !ok || o.Code != OfferOK {
		t.Fatalf("listed again, it is offered %+v", o)
	}
}

func TestALeaderThatIsTakenOffTheBlocFileIsHeardNoMore(t *testing.T) {
	m := follower(t, 4)
	leader := testRecord(1, m.flock)
	unlist(m, 1)
	m.SetFile(m.now, Bloc{Version: 2})
	if m.Peer(leader.ID) != nil {
		t.Fatal("this node still exchanges keys and packets with it")
	}
	heard := m.follow.heard
	m.Receive(m.now+time.Second, from(1, &Beat{Flock: m.flock, Epoch: 6, Ballot: 1}))
	m.Receive(m.now+time.Second, from(1, &Epoch{Phase: Commit, Info: EpochInfo{Flock: m.flock, Epoch: 6}}))
	m.Receive(m.now+time.Second, from(1, &Beat{Flock: m.flock, Epoch: 5, Ballot: 9}))
	if m.epoch.Epoch != 5 || m.follow.heard != heard {
		t.Fatal("it was followed or heard")
	}
	for now := m.now; m.role == Follower; now += 50 * time.Millisecond {
		if now > m.now+time.Minute {
			t.Fatal("nobody else stands")
		}
		m.Tick(now)
	}
}

func TestANodeThatIsTakenOffTheBlocFileGoes(t *testing.T) {
	m := follower(t, 4)
	was := m.flock
	unlist(m, 0)
	m.SetFile(m.now, Bloc{Version: 2})
	if m.flock == was || !m.single() {
		t.Fatal("it stays in the flock")
	}
}

// Whoever has an epoch's key can write pages; a line in one makes nobody a
// member whom the bloc file does not list.
func TestAPageMakesNobodyAMember(t *testing.T) {
	m := follower(t, 4)
	stranger := testRecord(9, m.flock)
	unlist(m, 9)
	v := uint64(5<<32 + 4)
	m.Receive(m.now, from(1, &Page{Flock: m.flock, From: v, To: v + 1, Entries: []*Entry{{Version: v + 1, Slot: 9, State: crux.Alive, Record: stranger}}}))
	if _, ok := m.View().Member(stranger.ID); ok {
		t.Error("it is a member in this node's view")
	}
	if m.Peer(stranger.ID) != nil {
		t.Error("this node speaks with it")
	}
	m.Receive(m.now, from(9, &Epoch{Phase: Commit, Info: EpochInfo{Flock: m.flock, Epoch: 6}}))
	if m.epoch.Epoch != 5 {
		t.Error("it leads this node")
	}
}
