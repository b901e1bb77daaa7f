package log_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"syscall"
	"testing"

	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

// TestASuccessorReadsWhileTheOwnerWrites: readers that follow an owner, who cleans,
// fails and recovers, and who then take the log over.
func TestASuccessorReadsWhileTheOwnerWrites(t *testing.T) {
	for seed := range uint64(sampled(t, 300)) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		m := vfs.NewMem()
		o := small(log.Options{})
		l, _ := mustOpen(t, m, o)
		r, c := log.NewReader(m, o), content{}
		h := history{states: []content{{}}}
		serial := 0
		for range 150 {
			switch rnd.IntN(12) {
			case 0:
				behind(t, r, c, &h)
			case 1:
				from := 1 + rnd.IntN(8)
				m.Break(func(c vfs.Call) error {
					if c.Op.Changes() && c.N >= from && c.N < from+3 {
						return syscall.EIO
					}
					return nil
				})
			}
			for range rnd.IntN(3) {
				h.add(randomBatch(rnd, &serial))
			}
			if err := h.commit(l, rnd); err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		m.Break(nil)
		if err := h.commit(l, rnd); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if rnd.IntN(2) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			m = m.Crash(vfs.Kept, rnd)
			r, c = log.NewReader(m, o), content{} // the old one has its files from the machine that was
		}
		behind(t, r, c, &h)
		l, err := r.Open(c.load)
		if err != nil || !maps.Equal(c, h.states[len(h.states)-1]) {
			t.Fatalf("seed %d: %v; %d keys, want %d", seed, err, len(c), len(h.states[len(h.states)-1]))
		}
		if s := l.Stats(); s.Keys != len(c) {
			t.Errorf("%d keys, want %d", s.Keys, len(c))
		}
		mustClose(t, l)
		if _, again := mustOpen(t, m, o); !maps.Equal(again, c) {
			t.Fatalf("seed %d: opened again: %d keys, want %d", seed, len(again), len(c))
		}
	}
}

// behind lets a reader follow. What it has then may be a mixture of old and new, but
// only of what was acknowledged.
func behind(t *testing.T, r *log.Reader, c content, h *history) {
	t.Helper()
	if err := r.Follow(c.load); err != nil {
		t.Fatal(err)
	}
	for k, v := range c {
		found := false
		for _, s := range h.states[:h.acked+1] {
			found = found || s[k] == v
		}
		if !found {
			t.Fatalf("%s has the value %q, which was not on disk", k, v)
		}
	}
}

func TestALoadThatFailsIsReported(t *testing.T) {
	m := vfs.NewMem()
	l, _ := mustOpen(t, m, log.Options{})
	if err := write(l, entry("a", "1")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	why := errors.New("not wanted")
	refuse := func(_, _ []byte) error { return why }
	r := log.NewReader(m, log.Options{})
	if err := r.Follow(refuse); !errors.Is(err, why) {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := log.NewReader(m, log.Options{}).Open(refuse); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestCleaningWaitsForASync(t *testing.T) {
	m := vfs.NewMem()
	l, _ := mustOpen(t, m, small(log.Options{}))
	if err := write(l, entry("cold", "old")); err != nil {
		t.Fatal(err)
	}
	for !l.CleanWanted() {
		if err := write(l, entry("hot", fmt.Sprintf("%0100d", 0))); err != nil {
			t.Fatal(err)
		}
	}
	// The old value is what the index has; it is not to be copied behind the new one.
	if err := l.Append([]log.Entry{entry("cold", "new")}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Clean(1<<20), l.Sync()); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Cleaned > 0 {
		t.Errorf("%d bytes were copied", s.Cleaned)
	}
	mustClose(t, l)
	if _, c := mustOpen(t, m, log.Options{}); c["cold"] != "new" {
		t.Errorf("%v", c)
	}
}
