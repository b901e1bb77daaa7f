package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

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

// Whatever crashes, restarts, is cut off or stopped: at most one node leads an
// epoch and at most one acts for a flock at a time (which World checks after
// every step), and once all is well again there is one flock again.
func TestChaos(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for s := range seedCount(60) {
		seed := uint64(s + 1)
		rng := rand.New(rand.NewPCG(seed, 77))
		n := 5 + rng.IntN(56)
		w := NewWorld(n, seed, 0.01+0.05*rng.Float64(), 20*time.Millisecond)
		w.StartAll(startSpread)
		w.Net.RunUntil(2 * time.Second)
		every := time.Duration(20+rng.IntN(800)) * time.Millisecond
		for w.Net.Now() < time.Minute && w.Err() == nil {
			chaos(w, rng)
			w.Net.RunUntil(w.Net.Now() + time.Duration(rng.Int64N(int64(2*every))))
		}
		repair(w)
		healed := w.Net.Now()
		ok := w.Net.RunWhile(healed+time.Minute, func() bool { return w.Err() == nil && !w.Formed() })
		if w.Err() != nil {
			t.Fatalf("%d nodes: %v", n, w.Err())
		}
		if !ok {
			t.Fatalf("seed %d: %d nodes are not one flock a minute after healing:\n%s", seed, n, describe(w))
		}
		all = append(all, w.Net.Now()-healed)
	}
	t.Logf("one flock again after: median %v, worst of %d: %v", median(all), len(all), worst(all))
}
