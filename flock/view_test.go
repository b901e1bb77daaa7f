package flock

import (
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func nodeOf(i int) crux.NodeID { return testRecord(i, crux.FlockID{}).ID }

// evictedAre fails unless a machine's view names these as evicted.
func evictedAre(t *testing.T, m *Machine, when string, want ...int) {
	t.Helper()
	var ids []crux.NodeID
	for _, i := range want {
		ids = append(ids, nodeOf(i))
	}
	slices.SortFunc(ids, crux.NodeID.Compare)
	v := m.View()
	if !slices.Equal(v.Evicted, ids) {
		t.Errorf("%s: evicted are %v, want %v", when, v.Evicted, ids)
	}
	for _, id := range ids {
		if _, ok := v.Member(id); ok {
			t.Errorf("%s: %s was evicted, and is a member", when, id)
		}
	}
}

// learns has a follower of flock 1 take in the next lines of its list.
func learns(m *Machine, lines ...*Entry) {
	have := m.list.have.whole()
	for i, e := range lines {
		e.Version = have + uint64(i) + 1
	}
	m.Receive(m.now, from(1, &Page{Flock: m.flock, From: have, To: have + uint64(len(lines)), Entries: lines}))
}

func TestAViewTellsEvictionFromTheRest(t *testing.T) {
	m := testMachine(t, 0)
	for i := 1; i <= 4; i++ {
		m.addMember(testRecord(i, m.flock))
	}
	m.lead.leaseUntil = never
	evictedAre(t, m, "at first")
	if _, err := m.Evict(m.now, nodeOf(3)); err != nil {
		t.Fatal(err)
	}
	m.Receive(m.now, from(2, &Leave{Flock: m.flock}))
	m.changeMember(m.lead.byID[nodeOf(4)], testRecord(4, m.flock), crux.Lost)
	if n := len(m.View().Members); n != 3 {
		t.Errorf("there are %d members", n)
	}
	evictedAre(t, m, "one was evicted, one left, one is lost", 3)

	was := m.flock
	m.regroup(nil)
	if m.flock == was {
		t.Fatal("it founds no flock")
	}
	evictedAre(t, m, "without a majority, in a flock of its own", 3)

	f := follower(t, 4)
	learns(f, &Entry{State: Evicted, Record: testRecord(3, f.flock)}, &Entry{State: Gone, Record: testRecord(2, f.flock)})
	evictedAre(t, f, "elsewhere", 3)
}

// Who follows the views must not see an eviction taken back for a moment.
func TestAnEvictionIsTakenBackByAWholeListOnly(t *testing.T) {
	m := follower(t, 5)
	learns(m, &Entry{State: Evicted, Record: testRecord(3, m.flock)}, &Entry{State: Evicted, Record: testRecord(4, m.flock)})
	evictedAre(t, m, "to begin with", 3, 4)

	to := crux.FlockID{2}
	m.moveTo(to)
	m.adopt(testRecord(1, to), EpochInfo{Flock: to, Epoch: 1, Voters: 2})
	evictedAre(t, m, "on the way to another flock", 3, 4)
	head := uint64(1<<32 + 3)
	m.learnHead(ListInfo{Version: head})
	m.Receive(m.now, from(1, &Page{Flock: to, To: head - 1, Entries: []*Entry{
		{Version: head - 2, State: crux.Alive, Record: testRecord(1, to)},
		{Version: head - 1, Slot: 1, State: crux.Alive, Record: testRecord(4, to)},
	}}))
	if m.View().Synced {
		t.Fatal("the list is whole already")
	}
	evictedAre(t, m, "where a part of the list has come, and one is a member of it", 3)
	m.Receive(m.now, from(1, &Page{Flock: to, From: head - 1, To: head, Entries: []*Entry{
		{Version: head, Slot: 2, State: crux.Alive, Record: testRecord(0, to)},
	}}))
	if !m.View().Synced {
		t.Fatal("the list is not whole")
	}
	evictedAre(t, m, "in a flock that has evicted nobody")
}

func TestAListThatIsFetchedAnewKeepsWhoWasEvicted(t *testing.T) {
	m := follower(t, 4)
	learns(m, &Entry{State: Evicted, Record: testRecord(3, m.flock)})
	head := ListInfo{Version: m.list.have.whole(), Hash: m.list.hash + 1}
	m.learnHead(head)
	if m.View().Synced {
		t.Fatal("a list that is not the leader's counts as whole")
	}
	evictedAre(t, m, "meanwhile", 3)
}

func TestWhoWasTakenOffTheBlocFileCountsAsEvicted(t *testing.T) {
	m := follower(t, 5)
	newer := testRecord(9, m.flock)
	newer.Bloc = 3
	learns(m, &Entry{State: Gone, Record: testRecord(2, m.flock)}, &Entry{Slot: 9, State: crux.Alive, Record: newer})
	unlist(m, 0, 2, 3, 9)
	m.cfg.File = Bloc{Version: 2} // as SetFile does, but that this node, whose key is off too, would go
	m.view.change()
	// The leader has removed 2 and not yet 3; 9 has a file that this node has not.
	evictedAre(t, m, "its file does not list four", 2, 3)
	unlist(m)
	m.SetFile(m.now, Bloc{Version: 3})
	evictedAre(t, m, "all are listed again")
}

func TestANodeIsAMemberOfTheFlockThatItFoundsOnceEvicted(t *testing.T) {
	m := follower(t, 4)
	learns(m, &Entry{State: Evicted, Record: testRecord(0, m.flock)}, &Entry{State: Evicted, Record: testRecord(3, m.flock)})
	evictedAre(t, m, "it has seen its own line", 3)
	m.now += time.Second
	m.Receive(m.now, from(1, &Dismiss{Flock: m.flock, Code: OfferEvicted}))
	if e := m.list.get(m.id); e == nil || !e.member() || m.role != Leader {
		t.Errorf("its line is %+v", e)
	}
	evictedAre(t, m, "alone", 3)
}
