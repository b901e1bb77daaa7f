package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// The network of the figures: 1% loss, each way 0.2 to 1.2 ms.
const (
	figureLoss  = 0.01
	figureDelay = time.Millisecond
)

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// failures makes so many members of a calm world fail, one after another, and says
// how long it took until 90% and all of the live nodes knew.
func failures(t *testing.T, w *World, count int, hang bool) (by90, byAll []time.Duration) {
	t.Helper()
	for range count {
		w.Net.RunUntil(w.Net.Now() + 2*time.Second + time.Duration(w.rng.Int64N(int64(time.Second))))
		o := w.Fail(w.Nodes[w.rng.IntN(len(w.Nodes))], hang)
		w.until(w.Net.Now()+failLimit, o.Known)
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
		if !o.Known() {
			t.Errorf("seed %d: %d of %d know of a failure after %v", w.set.Seed, len(o.after), o.live, failLimit)
			return by90, byAll
		}
		by90, byAll = append(by90, o.Until(0.9)), append(byAll, o.Until(1))
		w.Net.RunUntil(w.Net.Now() + 3*time.Second) // it is no mere pause
		w.Restore(o)
		w.until(w.Net.Now()+30*time.Second, w.Full)
	}
	return by90, byAll
}

// A member that dies in silence or hangs is known to 90% within 0.4 s at the
// median, and to all within a second at the worst.
func TestSilentMembersAreFoundInTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nodes, few, failures int
		large                bool
	}{
		{40, 2, 4, false},
		{200, 1, 5, false},
		{1000, 20, 5, true},
		{10_000, 3, 3, true},
	} {
		if c.large && !*large || c.nodes > 40 && testing.Short() {
			continue
		}
		for _, fail := range []string{"kill", "hang"} {
			t.Run(fmt.Sprintf("%d/%s", c.nodes, fail), func(t *testing.T) {
				var by90, byAll []time.Duration
				for s := range seedCount(c.few) {
					a, b := failing(t, c.nodes, uint64(s+1), c.failures, fail == "hang")
					by90, byAll = append(by90, a...), append(byAll, b...)
				}
				t.Logf("%d nodes, %s: of %d, 90%% know after %v (median; worst %v), all after %v (median; worst %v)",
					c.nodes, fail, len(by90), median(by90), slices.Max(by90), median(byAll), slices.Max(byAll))
				if median(by90) > 400*time.Millisecond || slices.Max(byAll) > time.Second {
					t.Error("want 400ms at the median for 90%, 1s at the worst for all")
				}
			})
		}
	}
}

// failing has members of a formed bloc fail, and finds no other taken for dead.
func failing(t *testing.T, nodes int, seed uint64, count int, hang bool) (by90, byAll []time.Duration) {
	t.Helper()
	w := NewWorld(Setting{Nodes: nodes, Seed: seed, Loss: figureLoss, Delay: figureDelay})
	w.Form()
	by90, byAll = failures(t, w, count, hang)
	if n := w.FalseDeaths(); n > 0 {
		t.Errorf("seed %d: %d live nodes were taken for dead", seed, n)
	}
	return by90, byAll
}

// Nodes left alone spend little, and the database of adjacencies is small.
func TestRestIsCheap(t *testing.T) {
	t.Parallel()
	runs := []int{40}
	if !testing.Short() {
		runs = append(runs, 200)
	}
	if *large {
		runs = append(runs, 1000, 10_000)
	}
	for _, n := range runs {
		w := NewWorld(Setting{Nodes: n, Seed: 1, Loss: figureLoss, Delay: figureDelay})
		w.Form()
		w.Net.RunUntil(10 * time.Second)
		o, r := Options{Idle: 20 * time.Second}, Report{}
		w.rest(&o, &r)
		t.Logf("%d nodes: %.0f bytes a second each, %.0f bytes of adjacencies", n, r.IdleBytes, r.AdjacencyBytes)
		if r.IdleBytes > 2500 || r.AdjacencyBytes > 1000*float64(n) {
			t.Errorf("%d nodes: want 2,500 bytes a second, %d of adjacencies", n, 1000*n)
		}
		if w.FalseDeaths() > 0 || w.Err() != nil {
			t.Errorf("%d nodes: %d false deaths; %v", n, w.FalseDeaths(), w.Err())
		}
	}
}

// Nodes that start within a second see one another soon, and an update reaches
// them all.
func TestABlocJoinsAndHearsUpdates(t *testing.T) {
	t.Parallel()
	runs := []int{2, 3, 10}
	if !testing.Short() {
		runs = append(runs, 100)
	}
	if *large {
		runs = append(runs, 1000)
	}
	for _, n := range runs {
		for s := range seedCount(2) {
			r, err := Run(Options{Nodes: n, Seed: uint64(s + 1), Loss: figureLoss, Delay: figureDelay, Updates: 100, Idle: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d nodes: %+v", n, r)
			if r.JoinedS > 10 || r.UpdatesDelivered != r.UpdatesSent || r.Update50MS > 300 || r.Update999MS > 1000 || r.FalseDeaths > 0 {
				t.Errorf("seed %d, %d nodes: %+v", s+1, n, r)
			}
		}
	}
}

func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) Report {
		r, err := Run(Options{Nodes: 20, Seed: seed, Loss: 0.05, Delay: figureDelay, Updates: 20, Idle: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := run(1), run(1)
	if a != b {
		t.Errorf("one seed: %+v and %+v", a, b)
	}
	if c := run(2); c.Trace == a.Trace {
		t.Errorf("two seeds, one trace: %s", a.Trace)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Nodes: 1}, {Nodes: 5, Loss: 1}, {Nodes: 5, Loss: -0.1}, {Nodes: 5, Delay: -1}, {Nodes: 5, Updates: -1}, {Nodes: 1 << 30}} {
		if _, err := Run(o); err == nil || crux.KindOf(err) != crux.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
