package seal

import (
	"testing"

	"pgregory.net/rapid"
)

// slowWindow is what a window should do, by a list of all that was seen.
type slowWindow struct {
	top  uint64
	any  bool
	seen map[uint64]bool
}

func (w *slowWindow) fresh(c uint64) bool {
	return !w.any || c > w.top || w.top-c < WindowBits && !w.seen[c]
}

func (w *slowWindow) mark(c uint64) {
	w.top, w.any, w.seen[c] = max(w.top, c), true, true
}

func TestTheWindowIsAsGoodAsAListOfAllThatWasSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		slow := slowWindow{seen: map[uint64]bool{}}
		at := rapid.Uint64Range(0, 1<<40).Draw(t, "start")
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			step := rapid.SampledFrom([]int64{1, 1, 1, 0, -1, 2, 63, 64, 65, -64, 1023, 1024, 1025, -1023, -1024, 5000, -2000}).Draw(t, "step")
			c := uint64(max(0, int64(at)+step))
			if got, want := w.Fresh(c), slow.fresh(c); got != want {
				t.Fatalf("counter %d after %d: fresh %v, want %v", c, slow.top, got, want)
			}
			if w.Fresh(c) {
				w.Mark(c)
				slow.mark(c)
			}
			at = max(at, c)
		}
	})
}

func TestAWindowThatIsHandedOnHasSeenTheSame(t *testing.T) {
	t.Parallel()
	var w Window
	for _, c := range []uint64{0, 3, 64, 2000, 1999, 1500} {
		w.Mark(c)
	}
	b := w.Append(nil)
	got, ok := ReadWindow(b)
	if !ok || got != w {
		t.Fatalf("%+v became %+v", w, got)
	}
	for n := range b {
		if _, ok := ReadWindow(b[:n]); ok {
			t.Errorf("%d of %d bytes were read as a window", n, len(b))
		}
	}
}
