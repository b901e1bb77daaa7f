package sim

import (
	"flag"
	"testing"
	"time"
)

var exN = flag.Int("ex.n", 20, "")
var exSeeds = flag.Int("ex.seeds", 3, "")
var exHold = flag.Duration("ex.hold", 0, "")

func TestExplore(t *testing.T) {
	for s := range *exSeeds {
		t0 := time.Now()
		r, err := Run(Options{Nodes: *exN, Seed: uint64(s + 1), Loss: 0.01, RTT: 20 * time.Millisecond, Limit: 20 * time.Second, Hold: *exHold})
		t.Logf("%+v %v  real %v", r, err, time.Since(t0))
	}
}
