package packet

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// slowWindow is what a window should do, by a list of all that was seen.
type slowWindow struct {
	top  uint64
	any  bool
	seen map[uint64]bool
}

func (w *slowWindow) fresh(c uint64) bool {
	return !w.any || c > w.top || w.top-c < windowBits && !w.seen[c]
}

func (w *slowWindow) mark(c uint64) {
	w.top, w.any, w.seen[c] = max(w.top, c), true, true
}

func TestTheWindowIsAsGoodAsAListOfAllThatWasSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w window
		slow := slowWindow{seen: map[uint64]bool{}}
		at := rapid.Uint64Range(0, 1<<40).Draw(t, "start")
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			step := rapid.SampledFrom([]int64{1, 1, 1, 0, -1, 2, 63, 64, 65, -64, 1023, 1024, 1025, -1023, -1024, 5000, -2000}).Draw(t, "step")
			c := uint64(max(0, int64(at)+step))
			if got, want := w.fresh(c), slow.fresh(c); got != want {
				t.Fatalf("counter %d after %d: fresh %v, want %v", c, slow.top, got, want)
			}
			if w.fresh(c) {
				w.mark(c)
				slow.mark(c)
			}
			at = max(at, c)
		}
	})
}

func TestTheWindowOfAStrangerRefusesReplays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s stranger
		seen := map[uint64]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			c := rapid.OneOf(rapid.Uint64Range(0, 200), rapid.Uint64()).Draw(t, "counter")
			if !s.fresh(c) {
				continue
			}
			if seen[c] {
				t.Fatalf("counter %d was accepted twice", c)
			}
			s.mark(c)
			seen[c] = true
		}
	})
}

func TestABudgetGivesItsRateAndNoMore(t *testing.T) {
	t.Parallel()
	b := newBudget(1, 10, 20)
	from := netip.MustParseAddrPort("10.0.0.1:7")
	took := func(at time.Duration, tries int) (n int) {
		for range tries {
			if b.take(at, from) {
				n++
			}
		}
		return n
	}
	if n := took(0, 100); n != 20 {
		t.Errorf("the burst gave %d, want 20", n)
	}
	if n := took(time.Second, 100); n != 10 {
		t.Errorf("a second gave %d, want 10", n)
	}
	if n := took(time.Hour, 100); n != 20 {
		t.Errorf("an hour gave %d, want a burst of 20", n)
	}
	if n := took(time.Minute, 100); n != 0 {
		t.Errorf("a clock that went back gave %d", n)
	}
}
