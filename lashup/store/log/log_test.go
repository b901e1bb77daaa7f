package log_test

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

func TestWhatWasWrittenIsThere(t *testing.T) {
	m := vfs.NewMem()
	l, c := mustOpen(t, m, log.Options{Tag: 7})
	if len(c) != 0 {
		t.Errorf("a new log holds %v", c)
	}
	want := content{}
	for _, batch := range [][]log.Entry{
		{entry("a", "1"), entry("b", "2")},
		{entry("a", "3"), removal("b"), entry("", "no key"), entry("c", "")},
		{removal("never there")},
		{entry("a", "4"), entry("a", strings.Repeat("5", 3<<20))},
		nil,
	} {
		want = want.with(batch)
		if err := write(l, batch...); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.Stats(); s.Keys != 3 || s.Live < 3<<20 || s.Bytes < s.Live {
		t.Errorf("%+v", s)
	}
	mustClose(t, l)
	if err := write(l, entry("x", "y")); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("written when closed: %v", err)
	}
	for range 3 {
		r := log.NewReader(m, log.Options{})
		c := content{}
		l, err := r.Open(c.load)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(c, want) || r.Tag() != 7 {
			t.Errorf("%d keys with tag %d are found", len(c), r.Tag())
		}
		mustClose(t, l)
	}
}

func TestABatchHasABound(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(), log.Options{})
	big := make([]byte, log.MaxBatch)
	if err := write(l, log.Entry{Key: []byte("k"), Value: big}); crux.KindOf(err) != crux.Exhausted {
		t.Errorf("%v", err)
	}
	if err := write(l, entry("k", "v")); err != nil {
		t.Errorf("after a batch that was refused: %v", err)
	}
	mustClose(t, l)
}

// TestLogIsATable compares the log with a map under random operations.
func TestLogIsATable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var h history
		m := vfs.NewMem()
		if err := h.work(m, rnd, rapid.IntRange(0, 300).Draw(t, "groups")); err != nil {
			t.Fatal(err)
		}
		_, c, err := open(m, small(log.Options{}))
		if err != nil || !maps.Equal(c, h.states[len(h.states)-1]) {
			t.Fatalf("%v, %v", c, err)
		}
	})
}

func TestDeadSpaceIsBounded(t *testing.T) {
	for _, test := range []struct {
		name     string
		hot, all int // every second write is to one of the hot keys
	}{{"all alike", 500, 500}, {"most is cold", 5, 2000}, {"one key", 1, 1}} {
		t.Run(test.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 1))
			m := vfs.NewMem()
			o := log.Options{SegmentMin: 4 << 10, SegmentMax: 64 << 10}
			l, _ := mustOpen(t, m, o)
			value := strings.Repeat("v", 100)
			key := func(n int) string {
				return strings.Repeat("k", 1+n%10) + string(rune('0'+n/10%60)) + string(rune('0'+n/600))
			}
			for n := range test.all {
				if err := write(l, entry(key(n), value)); err != nil {
					t.Fatal(err)
				}
			}
			worst := 0.0
			for range 20_000 {
				n := rnd.IntN(test.hot)
				if rnd.IntN(2) == 0 {
					n = rnd.IntN(test.all)
				}
				if err := l.Clean(500); err != nil {
					t.Fatal(err)
				}
				if err := write(l, entry(key(n), value)); err != nil {
					t.Fatal(err)
				}
				if s := l.Stats(); s.Bytes > 8*o.SegmentMin {
					worst = max(worst, 1-float64(s.Live)/float64(s.Bytes))
				}
			}
			s := l.Stats()
			amp := float64(s.Cleaned)/float64(s.Appended) + 1
			t.Logf("dead at most %.0f%%, %.2f bytes written for one, %+v", 100*worst, amp, s)
			if worst > 0.6 || amp > 2.5 {
				t.Errorf("dead at most %.0f%%, %.2f bytes written for one", 100*worst, amp)
			}
			list, err := m.List()
			if err != nil || len(list) > s.Segments {
				t.Errorf("%d files for %d segments, %v", len(list), s.Segments, err)
			}
		})
	}
}

// TestOpeningOftenLeavesFewFiles opens a log a thousand times.
func TestOpeningOftenLeavesFewFiles(t *testing.T) {
	m := vfs.NewMem()
	for n := range 1000 {
		l, c := mustOpen(t, m, log.Options{})
		if len(c) != min(n, 7) {
			t.Fatalf("%d keys", len(c))
		}
		for l.CleanWanted() {
			if err := l.Clean(1 << 20); err != nil {
				t.Fatal(err)
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if err := write(l, entry(string(rune('a'+n%7)), "value")); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
	}
	if list, err := m.List(); err != nil || len(list) > 70 {
		t.Errorf("%d files, %v", len(list), err)
	}
}
