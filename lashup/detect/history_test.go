package detect

import (
	"testing"
	"time"
)

func TestTimeoutsFollowTheHistory(t *testing.T) {
	ms := func(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
	within := func(what string, d, lo, hi time.Duration) {
		t.Helper()
		if d < lo || d > hi {
			t.Errorf("%s: %v, want %v to %v", what, d, lo, hi)
		}
	}
	var h history
	if h.measured() {
		t.Error("measured by nothing")
	}
	for i := range 64 {
		h.add(ms(1 + float64(i%5)/4))
	}
	within("1 to 2 ms", h.timeout, ms(3), ms(8))
	h.add(ms(400))
	within("one outlier", h.timeout, ms(3), ms(14))
	h.add(ms(300))
	within("two", h.timeout, ms(550), ms(900))
	for range 32 {
		h.add(ms(100))
	}
	within("a steady 100 ms", h.timeout, ms(150), ms(250))
	within("a steady 100 ms, high", h.high, ms(90), ms(110))
	for range 32 {
		h.add(0)
	}
	within("nothing at all", h.timeout, 0, ms(1))

	// Of those that were long once the deviation says nothing.
	h = history{}
	for range 4 {
		h.add(ms(100))
	}
	for range len(h.ring) - 4 {
		h.add(ms(0.2))
	}
	within("100 ms once, 0.2 ms now", h.timeout, ms(180), ms(220))
}

// On a slow network nothing is dead because it is slow, from the first ping on.
func TestASlowNetworkIsNoDeath(t *testing.T) {
	for _, one := range []time.Duration{10, 50, 140} {
		w := slowWorld(12, one*time.Millisecond, 1)
		w.run(20 * time.Second)
		if len(w.log) > 0 {
			t.Errorf("%v ms one way: %+v", one, w.log[0])
		}
		x := w.nodes[4]
		edges := len(x.edges)
		x.kill()
		w.run(5 * time.Second)
		if by, _, _ := w.verdicts(x); by[Dead] != edges {
			t.Errorf("%v ms one way: %v of %d neighbours", one, by, edges)
		}
	}
}
