package sim

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var dbgSeed = flag.Uint64("dbg", 0, "")

func TestDbg(t *testing.T) {
	seed := *dbgSeed
	rng := rand.New(rand.NewPCG(seed, 77))
	n := 5 + rng.IntN(56)
	w := NewWorld(n, seed, 0.01+0.05*rng.Float64(), 20*time.Millisecond)
	w.StartAll(time.Second)
	w.Net.RunUntil(2 * time.Second)
	every := time.Duration(20+rng.IntN(800)) * time.Millisecond
	for w.Net.Now() < 60*time.Second && w.Err() == nil {
		chaos(w, rng)
		w.Net.RunWhile(w.Net.Now()+time.Duration(rng.Int64N(int64(2*every))), func() bool { return w.Err() == nil })
	}
	t.Log(w.Net.Now(), w.Err())
	for _, nd := range w.Nodes {
		if nd.M != nil {
			t.Log(nd.Index, nd.Place.Up(), nd.M.Dump())
		}
	}
}
