package sim

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var seeds = flag.Int("seeds", 0, "run the tests over seeds with this many, from 1 on; 0: a few")

func seedCount(few int) int {
	if *seeds > 0 {
		return *seeds
	}
	return few
}

// chaos does something bad to a random node or to the net.
func chaos(w *World, rng *rand.Rand) {
	nd := w.Nodes[rng.IntN(len(w.Nodes))]
	other := w.Nodes[rng.IntN(len(w.Nodes))]
	switch rng.IntN(12) {
	case 0, 1:
		nd.Crash()
	case 2, 3, 4:
		if nd.M == nil || nd.Ended {
			nd.Start()
		}
	case 5:
		nd.Place.Suspend()
	case 6, 7:
		nd.Place.Resume()
	case 8:
		groups := 1 + rng.IntN(3)
		for _, x := range w.Nodes {
			x.Place.Partition(rng.IntN(groups))
		}
	case 9:
		nd.Place.Cut(other.Place)
	case 10: // a node that hears nobody, or is heard by nobody
		for _, x := range w.Nodes {
			if rng.IntN(2) == 0 {
				nd.Place.Cut(x.Place)
			}
		}
	case 11:
		w.Net.Heal()
	}
}

// repair undoes all that chaos did.
func repair(w *World) {
	w.Net.Heal()
	for _, nd := range w.Nodes {
		nd.Place.Resume()
		if nd.M == nil || nd.Ended {
			nd.Start()
		}
	}
}

func TestChaosOneLeaderAnEpochAndOneFlockAfterHealing(t *testing.T) {
	for s := range seedCount(40) {
		seed := uint64(s + 1)
		rng := rand.New(rand.NewPCG(seed, 77))
		n := 5 + rng.IntN(56)
		w := NewWorld(n, seed, 0.01+0.05*rng.Float64(), 20*time.Millisecond)
		w.StartAll(time.Second)
		w.Net.RunUntil(2 * time.Second)
		every := time.Duration(20+rng.IntN(800)) * time.Millisecond
		for w.Net.Now() < 60*time.Second && w.Err() == nil {
			chaos(w, rng)
			w.Net.RunUntil(w.Net.Now() + time.Duration(rng.Int64N(int64(2*every))))
		}
		repair(w)
		healed := w.Net.Now()
		ok := w.Net.RunWhile(healed+60*time.Second, func() bool { return w.Err() == nil && !w.Formed() })
		if w.Err() != nil {
			t.Fatalf("%d nodes: %v", n, w.Err())
		}
		if !ok {
			t.Errorf("seed %d: %d nodes are not one flock 60 s after healing:\n%s", seed, n, w.Describe())
			return
		}
		t.Logf("seed %d: %d nodes, one flock %v after healing, %d changes of leader", seed, n, w.Net.Now()-healed, w.check.changes)
	}
}
