package plan

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

func node(i int) crux.NodeID { return crux.NodeID{byte(i), byte(i >> 8), 7, byte(i * 31)} }

var (
	t0  = time.Unix(1e9, 0)
	sum = crux.Checksum{1, 2, 3, 4, 5, 6, 7, 8, 9}
)

func TestOrderIsTheSameForEverybodyAndMovesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "nodes")
		var ids []crux.NodeID
		for i := range n {
			ids = append(ids, node(i))
		}
		s := crux.Checksum(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sum"))
		want := Order(s, ids)
		shuffled := rapid.Permutation(ids).Draw(t, "shuffled")
		if !slices.Equal(Order(s, shuffled), want) {
			t.Fatal("the order depends on the order of members")
		}
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		less := slices.Delete(slices.Clone(ids), gone, gone+1)
		if !slices.Equal(Order(s, less), slices.DeleteFunc(want, func(id crux.NodeID) bool { return id == ids[gone] })) {
			t.Fatal("a node's going changes the order of the others")
		}
	})
}

func TestOrderSpreads(t *testing.T) {
	var ids []crux.NodeID
	for i := range 20 {
		ids = append(ids, node(i))
	}
	first := make(map[crux.NodeID]int)
	for i := range 2000 {
		first[Order(crux.Checksum{byte(i), byte(i >> 8), 77}, ids)[0]]++
	}
	for _, id := range ids {
		if n := first[id]; n < 50 || n > 200 {
			t.Errorf("node %s is first for %d of 2000 sums, not about 100", id, n)
		}
	}
}

func one(t *testing.T, effects []Effect, to Ticket, do Do) {
	t.Helper()
	if len(effects) != 1 || effects[0].To != to || effects[0].Do != do {
		t.Fatalf("got %v, want ticket %d told %d", effects, to, do)
	}
}

func TestOneReadsTheOthersWaitThenPull(t *testing.T) {
	tab := NewTable(Config{})
	one(t, tab.Want(t0, 1, sum, node(1)), 1, Read)
	one(t, tab.Want(t0, 2, sum, node(2)), 2, Wait)
	one(t, tab.Want(t0, 3, sum, node(3)), 3, Wait)
	if e := tab.Progress(t0, 1); len(e) != 2 || e[0].Do != Wait {
		t.Fatalf("progress told %v", e)
	}
	if e := tab.Progress(t0, 2); e != nil {
		t.Fatalf("a waiter's progress told %v", e)
	}
	e := tab.Done(t0, 1)
	if len(e) != 2 || e[0].Do != Pull || !slices.Equal(e[0].Holders, []crux.NodeID{node(1)}) {
		t.Fatalf("done told %v", e)
	}
	e = tab.Done(t0, 2)
	if len(e) != 1 || !slices.Equal(e[0].Holders, []crux.NodeID{node(2), node(1)}) {
		t.Fatalf("the second holder told %v", e)
	}
	one(t, tab.Want(t0, 9, sum, node(9)), 9, Pull)
}

func TestAReaderThatLeavesOrStallsIsReplaced(t *testing.T) {
	tab := NewTable(Config{Stall: 10 * time.Second})
	tab.Want(t0, 1, sum, node(1))
	tab.Want(t0, 2, sum, node(2))
	tab.Want(t0, 3, sum, node(3))
	one(t, tab.Leave(t0, 1), 2, Read)
	tab.Progress(t0.Add(6*time.Second), 2)
	if e := tab.Tick(t0.Add(15 * time.Second)); e != nil {
		t.Fatalf("a lively reader was replaced: %v", e)
	}
	one(t, tab.Tick(t0.Add(16*time.Second)), 3, Read)
	if e := tab.Leave(t0, 3); e != nil {
		t.Fatalf("the slow one was told again: %v", e)
	}
	one(t, tab.Want(t0, 4, sum, node(4)), 4, Read) // nobody is expected to succeed
}

func TestAfterTwoFailuresEverybodyReads(t *testing.T) {
	tab := NewTable(Config{})
	for i := range 5 {
		tab.Want(t0, Ticket(i), sum, node(i))
	}
	one(t, tab.Failed(t0, 0), 1, Read)
	e := tab.Failed(t0, 1)
	if len(e) != 3 || e[0].Do != Read || e[2].Do != Read {
		t.Fatalf("after two failures: %v", e)
	}
	for i := 2; i < 5; i++ {
		if e := tab.Failed(t0, Ticket(i)); e != nil {
			t.Fatalf("nobody is left, yet told %v", e)
		}
	}
	one(t, tab.Want(t0, 7, sum, node(7)), 7, Read)
	one(t, tab.Want(t0, 8, sum, node(8)), 8, Wait) // the failures are forgotten
}

func TestHoldersThatDoNotServeAreForgotten(t *testing.T) {
	tab := NewTable(Config{})
	if e := tab.Holds(t0, sum, node(1)); e != nil {
		t.Fatalf("told %v", e)
	}
	one(t, tab.Want(t0, 2, sum, node(2)), 2, Pull)
	one(t, tab.Missed(t0, 2, []crux.NodeID{node(1)}), 2, Read)
}

func TestMemoryIsBounded(t *testing.T) {
	tab := NewTable(Config{MaxSums: 10, MaxHolders: 3, Keep: time.Minute})
	for i := range 100 {
		tab.Holds(t0.Add(time.Duration(i)), crux.Checksum{byte(i)}, node(1))
		tab.Holds(t0, crux.Checksum{99}, node(i))
	}
	if len(tab.sums) > 10 {
		t.Errorf("%d sums", len(tab.sums))
	}
	e := tab.Want(t0, 1, crux.Checksum{99}, node(7))
	if len(e[0].Holders) != 3 {
		t.Errorf("%d holders", len(e[0].Holders))
	}
	tab.Leave(t0, 1)
	tab.Tick(t0.Add(2 * time.Minute))
	if len(tab.sums) != 0 {
		t.Errorf("%d sums after a long time", len(tab.sums))
	}
}

// Whatever happens, nobody waits for a reader that there is not: as long as a
// request waits, another open one was told to read.
func TestNobodyWaitsInVain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, now := NewTable(Config{Stall: 10 * time.Second}), t0
		told := make(map[Ticket]Do)
		next := Ticket(0)
		apply := func(effects []Effect) {
			for _, e := range effects {
				if _, open := told[e.To]; !open {
					t.Fatalf("advice for a closed request: %v", e)
				}
				if e.Do == Pull && len(e.Holders) == 0 {
					t.Fatal("pull from nobody")
				}
				told[e.To] = e.Do
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
			which := Ticket(rapid.IntRange(0, int(next)).Draw(t, "ticket"))
			_, open := told[which]
			switch op := rapid.IntRange(0, 6).Draw(t, "op"); {
			case op == 0:
				next++
				told[next] = Wait
				apply(tab.Want(now, next, sum, node(int(next))))
			case op == 1:
				apply(tab.Tick(now))
			case !open:
			case op == 2:
				delete(told, which)
				apply(tab.Leave(now, which))
			case op == 3 && told[which] != Wait:
				delete(told, which)
				apply(tab.Done(now, which))
			case op == 4 && told[which] == Read:
				delete(told, which)
				apply(tab.Failed(now, which))
			case op == 5 && told[which] == Pull:
				var all []crux.NodeID
				for i := range int(next) + 1 {
					all = append(all, node(i))
				}
				apply(tab.Missed(now, which, all))
			case op == 6:
				apply(tab.Progress(now, which))
			}
			waiting, reading, pulling := 0, 0, 0
			for _, do := range told {
				switch do {
				case Wait:
					waiting++
				case Read:
					reading++
				case Pull:
					pulling++
				}
			}
			if waiting > 0 && reading == 0 && pulling == 0 {
				t.Fatalf("%d wait and nobody reads", waiting)
			}
		}
	})
}
