package cast

import (
	"testing"

	"pgregory.net/rapid"
)

// TestAWindowRemembersWhatWasSeen holds a window against a set of numbers. It
// may take for seen what lies below its lowest gap, and is old, but never for new
// what was seen.
func TestAWindowRemembersWhatWasSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w *window
		type message struct{ epoch, seq uint64 }
		seen, newest, top := map[message]bool{}, uint64(0), uint64(0)
		step := rapid.SampledFrom([]uint64{1, 12}).Draw(t, "step")
		epoch := uint64(1)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if rapid.IntRange(0, 99).Draw(t, "restart") == 0 {
				epoch++
			}
			m := message{epoch, step * rapid.Uint64Range(1, 300).Draw(t, "seq")}
			if rapid.IntRange(0, 9).Draw(t, "old") == 0 {
				m.epoch = rapid.Uint64Range(1, epoch).Draw(t, "epoch")
			}
			got := w.seen(m.epoch, m.seq)
			if want := seen[m] || m.epoch < newest; want && !got {
				t.Fatalf("%v was seen, but is taken for new: %+v", m, w)
			} else if got && !want {
				if len(w.spans) < fewSpans || top-m.seq < exact {
					t.Fatalf("%v is new, but is taken for seen: %+v", m, w)
				}
			}
			if !got {
				if w == nil {
					w = new(window)
				}
				if w.mark(m.epoch, m.seq); m.epoch > newest {
					top = 0
				}
				seen[m], newest, top = true, m.epoch, max(top, m.seq)
			}
			checkSpans(t, w)
		}
	})
}

func checkSpans(t *rapid.T, w *window) {
	if w == nil {
		return
	}
	for i, s := range w.spans {
		if s.lo > s.hi || i > 0 && s.lo <= w.spans[i-1].hi+1 {
			t.Fatalf("the spans are out of order: %+v", w.spans)
		}
	}
	if len(w.spans) > maxSpans {
		t.Fatalf("%d spans", len(w.spans))
	}
}

func TestABurstWithALossIsOneGap(t *testing.T) {
	w := new(window)
	for seq := uint64(1); seq <= 100000; seq++ {
		if seq != 7 {
			w.mark(1, seq)
		}
	}
	if len(w.spans) != 2 || w.seen(1, 7) || !w.seen(1, 99999) {
		t.Errorf("%+v", w.spans)
	}
	w.mark(1, 7)
	if len(w.spans) != 1 {
		t.Errorf("%+v", w.spans)
	}
}

// A loss is a gap among those of the messages that pass elsewhere.
func TestAnOriginThatSendsMuchToOthersLosesNothing(t *testing.T) {
	w := new(window)
	const lost = 5001
	for seq := uint64(1); seq < lost+exact; seq += 2 {
		if seq != lost {
			w.mark(1, seq)
		}
		if len(w.spans) > maxSpans {
			t.Fatalf("%d spans at %d", len(w.spans), seq)
		}
	}
	if w.seen(1, lost) || !w.seen(1, lost-2) {
		t.Error("what was lost is taken for seen, or the one before it is not")
	}
	for seq := uint64(lost + exact); seq < 3*lost; seq++ { // nothing passes elsewhere any more
		w.mark(1, seq)
	}
	if len(w.spans) > fewSpans {
		t.Errorf("%d spans are left", len(w.spans))
	}
}

func TestWhatWasLongBeforeTheFirstIsNotTaken(t *testing.T) {
	w := new(window)
	w.mark(1, 100000)
	if !w.seen(1, 5) || w.seen(1, 100000-10) || w.seen(1, 100001) {
		t.Errorf("%+v", w.spans)
	}
}

func TestWindowsOfTheForgottenGo(t *testing.T) {
	w := newWorld(t, 3, 1, line(3))
	c := w.peers[0].c
	for i := range 1000 {
		c.mark(ID{node(1000 + i), 1, 1})
	}
	if n := len(c.windows); n > 2*3+66 {
		t.Errorf("%d windows", n)
	}
}
