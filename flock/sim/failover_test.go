package sim

import (
	"testing"
	"time"

	"fulcrum.example/crux"
)

// formed makes a world of n nodes that have become one flock, at rest.
func formedWorld(t *testing.T, n int, seed uint64, loss float64) *World {
	t.Helper()
	w := NewWorld(n, seed, loss, 20*time.Millisecond)
	last := w.StartAll(time.Second)
	if !w.Net.RunWhile(last+20*time.Second, func() bool { return !w.Formed() && w.Err() == nil }) || w.Err() != nil {
		t.Fatalf("seed %d: %d nodes did not form: %v", seed, n, w.Err())
	}
	w.Net.RunUntil(w.Net.Now() + 5*time.Second)
	return w
}

func (w *World) leaderNode() *Node {
	for _, nd := range w.Nodes {
		if nd.Up() && nd.M.Status().Acting {
			return nd
		}
	}
	return nil
}

// failover takes the leader away by f and returns how long it takes until every
// other node knows one new leader of the same flock.
func failover(t *testing.T, w *World, f func(*Node)) time.Duration {
	t.Helper()
	old := w.leaderNode()
	flockID := old.M.Status().Flock
	at := w.Net.Now()
	f(old)
	known := func() bool {
		var leader crux.NodeID
		for _, nd := range w.Nodes {
			if nd == old || nd.M == nil {
				continue
			}
			s := nd.last
			if s.Flock != flockID || s.Leader.IsZero() || s.Leader == old.ID || !leader.IsZero() && s.Leader != leader {
				return false
			}
			leader = s.Leader
		}
		return true
	}
	if !w.Net.RunWhile(at+30*time.Second, func() bool { return w.Err() == nil && !known() }) {
		t.Fatalf("no new leader within 30 s:\n%s", w.Describe())
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	return w.Net.Now() - at
}

func TestFailover(t *testing.T) {
	for s := range *exSeeds {
		for _, kind := range []string{"kill", "hang"} {
			w := formedWorld(t, *exN, uint64(s+1), 0.01)
			d := failover(t, w, func(nd *Node) {
				if kind == "kill" {
					nd.Crash()
				} else {
					nd.Place.Suspend()
				}
			})
			t.Log(s, kind, d)
		}
	}
}
