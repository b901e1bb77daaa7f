package sim

import (
	"flag"
	"testing"
	"time"

	"fulcrum.example/crux"
)

var large = flag.Bool("large", false, "also run the tests with a thousand nodes and more, and those that go on for days of virtual time")

// formedWorld makes n nodes that have become one flock, and have come to rest.
func formedWorld(t *testing.T, n int, seed uint64) *World {
	t.Helper()
	w := NewWorld(n, seed, 0.01, 20*time.Millisecond)
	last := w.StartAll(startSpread)
	if !w.Net.RunWhile(last+20*time.Second, func() bool { return !w.Formed() && w.Err() == nil }) || w.Err() != nil {
		t.Fatalf("seed %d: %d nodes did not form: %v", seed, n, w.Err())
	}
	w.Net.RunUntil(w.Net.Now() + 5*time.Second)
	return w
}

// leader is the node that acts as the leader.
func (w *World) leader() *Node {
	for _, nd := range w.Nodes {
		if nd.Up() && nd.M.Status().Acting {
			return nd
		}
	}
	return nil
}

// failover takes the leader away and returns how long it takes until every other
// node knows one and the same new leader of that flock.
func failover(t *testing.T, w *World, take func(*Node)) time.Duration {
	t.Helper()
	old := w.leader()
	flockID, at := old.last.Flock, w.Net.Now()
	take(old)
	waiting := func() bool {
		var leader crux.NodeID
		for _, nd := range w.Nodes {
			if nd == old {
				continue
			}
			s := &nd.last
			if s.Flock != flockID || s.Leader.IsZero() || s.Leader == old.ID || !leader.IsZero() && s.Leader != leader {
				return w.Err() == nil
			}
			leader = s.Leader
		}
		return false
	}
	if !w.Net.RunWhile(at+30*time.Second, waiting) || w.Err() != nil {
		t.Fatalf("seed %d: no new leader within 30 s: %v\n%s", w.seed, w.Err(), describe(w))
	}
	return w.Net.Now() - at
}

func TestALeaderThatIsKilledOrHangsIsReplacedWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	sizes := map[int]int{3: 20, 7: 20, 50: 5, 200: 2}
	if *large {
		sizes[1000] = 5
	}
	for n, few := range sizes {
		var all []time.Duration
		for s := range seedCount(few) {
			w := formedWorld(t, n, uint64(s+1))
			if s%2 == 0 {
				all = append(all, failover(t, w, (*Node).Crash))
			} else {
				all = append(all, failover(t, w, func(nd *Node) { nd.Place.Suspend() }))
			}
			if d := all[len(all)-1]; d > 2*time.Second {
				t.Errorf("seed %d: %d nodes know the new leader after %v", s+1, n, d)
			}
		}
		t.Logf("%d nodes: median %v, worst of %d: %v", n, median(all), len(all), worst(all))
	}
}
