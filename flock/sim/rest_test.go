package sim

import (
	"testing"
	"time"
)

// sentBytes is what all nodes have sent so far.
func (w *World) sentBytes() (n uint64) {
	for _, nd := range w.Nodes {
		n += nd.Place.Counters().SentBytes
	}
	return n
}

// Left alone, a flock keeps its leader and its members, is nearly silent, and
// changes its key every 45 seconds.
func TestAFlockLeftAloneKeepsItsLeaderAndIsQuiet(t *testing.T) {
	t.Parallel()
	type run struct {
		nodes int
		d     time.Duration
	}
	runs := []run{{1, time.Hour}, {2, time.Hour}, {3, time.Hour}, {5, time.Hour}, {20, time.Hour}, {200, 2 * time.Minute}}
	if *large {
		runs = append(runs, run{2, 1000 * time.Hour}, run{20, 200 * time.Hour}, run{1000, 10 * time.Minute})
	}
	for _, c := range runs {
		for s := range seedCount(1) {
			w := formedWorld(t, c.nodes, uint64(s+1))
			w.Net.RunUntil(w.Net.Now() + time.Minute)
			epoch, leader, bytes, changes := w.Nodes[0].last.Epoch, w.leader(), w.sentBytes(), w.check.changes
			w.Net.RunUntil(w.Net.Now() + c.d)
			switch {
			case w.Err() != nil:
				t.Fatal(w.Err())
			case w.leader() != leader || w.check.changes != changes || !w.Formed():
				t.Errorf("seed %d: %d nodes have changed their leader without cause in %v:\n%s", s+1, c.nodes, c.d, describe(w))
			}
			if got, want := w.Nodes[0].last.Epoch-epoch, uint64(c.d/(45*time.Second)); got < want*9/10 || got > want*12/10+2 {
				t.Errorf("seed %d: %d nodes have gone through %d epochs in %v", s+1, c.nodes, got, c.d)
			}
			if rate := float64(w.sentBytes()-bytes) / float64(c.nodes) / c.d.Seconds(); rate > 1000 {
				t.Errorf("seed %d: each of %d nodes sends %.0f bytes a second", s+1, c.nodes, rate)
			} else if s == 0 {
				t.Logf("%d nodes: %.0f bytes a second each", c.nodes, rate)
			}
		}
	}
}
