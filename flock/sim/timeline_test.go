package sim

import (
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestTimeline(t *testing.T) {
	w := NewWorld(*exN, uint64(*exSeeds), 0.01, 20*time.Millisecond)
	last := w.StartAll(time.Second)
	for w.Net.Now() < last+10*time.Second && !w.Formed() {
		w.Net.RunUntil(w.Net.Now() + 100*time.Millisecond)
		fl := map[crux.FlockID]int{}
		up, synced, joining, merging := 0, 0, 0, 0
		for _, nd := range w.Nodes {
			if nd.M == nil {
				continue
			}
			up++
			s := nd.M.Status()
			fl[s.Flock]++
			if s.Synced {
				synced++
			}
			j, mg := nd.M.Debug()
			if j {
				joining++
			}
			if mg {
				merging++
			}
		}
		big, single := 0, 0
		for _, n := range fl {
			big = max(big, n)
			if n == 1 {
				single++
			}
		}
		t.Logf("%6v up %d flocks %d single %d largest %d synced %d joining %d merging %d", (w.Net.Now() - last).Round(time.Millisecond), up, len(fl), single, big, synced, joining, merging)
	}
}

func TestDump(t *testing.T) {
	w := NewWorld(*exN, uint64(*exSeeds), 0.01, 20*time.Millisecond)
	last := w.StartAll(time.Second)
	for w.Net.Now() < last+10*time.Second && !w.Formed() {
		w.Net.RunUntil(w.Net.Now() + 100*time.Millisecond)
		for _, nd := range w.Nodes {
			if nd.M != nil {
				t.Log(w.Net.Now()-last, nd.M.Dump())
			}
		}
	}
}
