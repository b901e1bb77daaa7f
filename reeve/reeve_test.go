package reeve_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestRegistrationIsSeenByAllAndWithdrawnByItsOwner(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 5)
	if err := g.nodes[3].reeve.Drop(context.Background(), crux.DefaultHorde, "galumph2_3", "127.0.0.1:1003"); err != nil {
		t.Fatal(err)
	}
	g.allSee("galumph2", 4)
}

func TestNewStewardErasesNothingAndIsWholeAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 5)
	// The leader's fulcrum dies; its services live on.
	ctx, cancel := context.WithCancel(context.Background())
	watch := g.nodes[2].reeve.Watch(ctx, crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"})
	fewest := make(chan int)
	go func() {
		low := 99
		for s := range watch {
			low = min(low, len(s.Rows))
		}
		fewest <- low
	}()
	g.nodes[0].stop()
	g.lead(1)
	g.lose(0)
	g.allSee("galumph2", 5)
	cancel()
	if low := <-fewest; low != 5 {
		t.Errorf("a watcher saw %d rows while the leader moved, want 5 throughout", low)
	}
	// What is registered now is seen, and the dead node's rows are still there.
	g.nodes[4].put("other1_0", 2000)
	g.allSee("other1", 1)
	g.allSee("galumph2", 5)
}

func TestDeadNodesRowsEndWithTheirLease(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, 3*time.Second)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 3)
	g.nodes[2].stop()
	g.lose(2)
	g.allSee("galumph2", 2)
}

func TestRestartedNodeKeepsOldRowsUntilItIsReady(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	x := g.nodes[2]
	x.put("kept1_0", 1000)
	x.put("ended1_0", 1001)
	g.allSee("kept1", 1)
	g.allSee("ended1", 1)
	x.stop()
	x.inc, x.adopts = 2, true
	g.lead(0)
	x.open()
	x.put("kept1_0", 1000) // adopted: the same endpoint, a new incarnation
	eventually(t, "the new row at node 0", func() bool {
		s := g.nodes[0].reeve.Lookup(crux.Selector{Horde: crux.DefaultHorde, API: "kept1"})
		return len(s.Rows) == 1 && s.Rows[0].Incarnation == 2
	})
	if n := g.nodes[0].count("ended1"); n != 1 {
		t.Errorf("before the node was ready, its old row was dropped: %d rows", n)
	}
	x.reeve.Ready()
	g.allSee("ended1", 0)
	g.allSee("kept1", 1)
}

func TestSlowWatcherGetsTheNewest(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, time.Minute)
	x := g.nodes[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := x.reeve.Watch(ctx, crux.Selector{Horde: crux.DefaultHorde, API: "many1"})
	if first := <-w; len(first.Rows) != 0 {
		t.Fatalf("the first snapshot has %d rows", len(first.Rows))
	}
	for i := range 100 {
		x.put("many1_0", 1000+i)
	}
	seen := 0
	for s := range w {
		seen++
		if len(s.Rows) == 100 {
			break
		}
	}
	if seen > 10 {
		t.Errorf("the watcher was given %d snapshots for 100 changes that it slept through", seen)
	}
	cancel()
	for range w { // closes
	}
}

// A new leader that has just restarted knows nothing, and one reeve cannot reach
// it: what the others know stays, and nobody takes it for whole.
func TestHalfFilledStewardErasesNothing(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 4, time.Minute)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 4)
	g.nodes[1].stop()
	g.nodes[1].inc = 2
	cut := g.nodes[3]
	cut.mu.Lock()
	cut.cut = true
	cut.mu.Unlock()
	g.lead(1)
	g.nodes[1].open()
	g.nodes[1].put("galumph2_3", 1001)
	eventually(t, "the reeves to follow the new leader", func() bool {
		return g.nodes[0].reeve.Steward() == g.nodes[1].id && g.nodes[2].reeve.Steward() == g.nodes[1].id
	})
	g.nodes[0].put("after1_0", 2000)
	eventually(t, "a new row to go through the new steward", func() bool { return g.nodes[2].count("after1") == 1 })
	for _, i := range []int{0, 2, 3} {
		s := g.nodes[i].reeve.Lookup(crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"})
		if len(s.Rows) != 4 || s.Whole {
			t.Errorf("node %d has %d rows, whole %v; want 4, and not whole while one has not reported", i, len(s.Rows), s.Whole)
		}
	}
	cut.mu.Lock()
	cut.cut = false
	cut.mu.Unlock()
	g.allSee("galumph2", 4)
}

// A restarted node is a flock of one for a moment. Its clients know the
// endpoints of the flock that it left, and must not take its answer for whole.
func TestRestartedNodeIsNotWholeInAFlockOfOne(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, 20*time.Second)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 3)
	x := g.nodes[2]
	peers := filepath.Join(x.dir, "docs", "peers")
	eventually(t, "the list of peers on disk", func() bool { _, err := os.Stat(peers); return err == nil })
	x.stop()
	x.inc = 2
	g.alone(2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x.open()
	x.put("galumph2_3", 1002)
	eventually(t, "the node to follow itself", func() bool { return x.reeve.Steward() == x.id })
	watch := x.reeve.Watch(ctx, crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"})
	g.together(0)
	for s := range watch {
		if s.Whole && len(s.Rows) != 3 {
			t.Fatalf("whole with %d rows of 3", len(s.Rows))
		}
		if s.Whole {
			break
		}
	}
}

// A node that was alone for as long as a lease is whole again by itself.
func TestLoneNodeIsWholeAfterALease(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, 3*time.Second)
	g.allSee("none1", 0)
	x := g.nodes[2]
	eventually(t, "the list of peers on disk", func() bool { _, err := os.Stat(filepath.Join(x.dir, "docs", "peers")); return err == nil })
	x.stop()
	x.inc = 2
	g.alone(2)
	start := time.Now()
	x.open()
	eventually(t, "the node to be whole", func() bool { return x.reeve.Lookup(crux.Selector{}).Whole })
	if d := time.Since(start); d < 3*time.Second {
		t.Errorf("whole after %v, before what it knew could have ended", d)
	}
}

// A member that the others know before they know its key by their own view is
// not lost on them.
func TestRowsOfAMemberThatIsLearntOfLate(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	late := g.nodes[1]
	g.mu.Lock()
	late.blind = g.nodes[2].id
	g.mu.Unlock()
	g.nodes[2].put("galumph2_3", 1000)
	eventually(t, "the leader to see the row", func() bool { return g.nodes[0].count("galumph2") == 1 })
	g.mu.Lock()
	late.blind = crux.NodeID{}
	g.mu.Unlock()
	g.update(func(*crux.View) {})
	g.allSee("galumph2", 1)
}

func TestOwnRowsHoldWithoutALeader(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2, time.Second)
	g.update(func(v *crux.View) { v.Leader = crux.NodeID{} })
	x := g.nodes[0]
	x.put("galumph2_3", 1000)
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		if x.count("galumph2") != 1 {
			t.Fatal("a node's own row ended while there was no leader")
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	g := newGroup(t, 1, time.Minute)
	g.nodes[0].put("galumph2_3", 1000)
	sel := crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"}
	if n := testing.AllocsPerRun(1000, func() { g.nodes[0].reeve.Lookup(sel) }); n >= 1 {
		t.Errorf("%v allocations a look-up", n)
	}
}
