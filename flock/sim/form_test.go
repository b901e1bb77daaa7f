package sim

import (
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

func worst(d []time.Duration) time.Duration { return slices.Max(d) }

// power simulates the start of n nodes at 20 ms RTT and 1% loss.
func power(t *testing.T, n int, seed uint64) Report {
	t.Helper()
	r, err := Run(Options{Nodes: n, Seed: seed, Loss: 0.01, RTT: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNodesBecomeOneFlockInTime(t *testing.T) {
	for _, c := range []struct {
		nodes, few int
		limit      time.Duration
		bytes      float64
		large      bool
	}{
		{1, 2, time.Second, 100e3, false},
		{2, 20, 2 * time.Second, 100e3, false},
		{5, 50, 2 * time.Second, 100e3, false},
		{50, 10, 2 * time.Second, 100e3, false},
		{500, 5, 5 * time.Second, 250e3, false},
		{1000, 5, 2 * time.Second, 500e3, true},
		{5000, 1, 3 * time.Second, 2.5e6, true},
	} {
		if c.large && !*large {
			continue
		}
		var all []time.Duration
		bytes := 0.0
		for s := range seedCount(c.few) {
			if c.nodes >= 5000 && s >= 5 {
				break
			}
			r := power(t, c.nodes, uint64(s+1))
			d := time.Duration(r.FormedS * float64(time.Second))
			if d > c.limit || r.BytesPerNode > c.bytes {
				t.Errorf("seed %d: %d nodes are one flock after %v, %.0f bytes each; want %v, %.0f", s+1, c.nodes, d, r.BytesPerNode, c.limit, c.bytes)
			}
			all, bytes = append(all, d), max(bytes, r.BytesPerNode)
		}
		t.Logf("%d nodes: median %v, worst of %d: %v, at most %.0f bytes a node", c.nodes, median(all), len(all), worst(all), bytes)
	}
}

func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	t.Parallel()
	a, b := power(t, 100, 1), power(t, 100, 1)
	if a != b {
		t.Errorf("one seed: %+v and %+v", a, b)
	}
	if c := power(t, 100, 2); c.Trace == a.Trace {
		t.Errorf("two seeds, one trace: %s", a.Trace)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Nodes: -1}, {Nodes: 5, Loss: 1}, {Nodes: 5, Loss: -0.1}, {Nodes: 5, RTT: -1}, {Nodes: 1 << 30}} {
		if _, err := Run(o); crux.KindOf(err) != crux.Invalid || err == nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := Run(Options{Nodes: 50, Loss: 0.999, RTT: 20 * time.Millisecond, Limit: time.Second}); crux.KindOf(err) != crux.Timeout {
		t.Errorf("a net that carries nothing: %v", err)
	}
}

func TestCandidatesAreTheSmallestSubnet(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{1: 2, 2: 2, 3: 6, 5: 6, 254: 254, 255: 510, 500: 510, 1000: 1022, 5000: 8190} {
		c := CandidatesFor(n)
		if c.Len() != want {
			t.Errorf("%d nodes: %d candidates, want %d", n, c.Len(), want)
		}
		if a := c.At(c.Len() - 1); a.Addr().As4()[0] != 10 {
			t.Errorf("candidate %v", a)
		}
	}
}
