package overlay

import (
	"testing"
	"time"
)

func seeds(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

func TestTenNodesWithThreeContactsAreOneOverlay(t *testing.T) {
	for s := range seeds(100) {
		w := newWorld(10, 3, uint64(s+1), 0.01)
		w.startAll(time.Second)
		w.net.RunUntil(4 * time.Second)
		if w.err != nil {
			t.Fatalf("seed %d: %v", s+1, w.err)
		}
		if n := w.parts(); n != 1 {
			t.Errorf("seed %d: %d parts, degrees %v", s+1, n, w.degrees())
		}
		if err := w.mutual(); err != nil {
			t.Errorf("seed %d: %v", s+1, err)
		}
	}
}

func form(t *testing.T, n, contacts int, seed uint64) *world {
	w := newWorld(n, contacts, seed, 0.01)
	w.startAll(time.Second)
	for _, at := range []time.Duration{500 * time.Millisecond, time.Second, 1200 * time.Millisecond, 1500 * time.Millisecond, 2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, 60 * time.Second} {
		w.net.RunUntil(at)
		b, d := w.sent()
		t.Logf("%d nodes, %d contacts, %v: %d parts, degrees %v, %.0f B and %.1f dials a node", n, contacts, at, w.parts(), w.degrees(), b, d)
	}
	if w.err != nil {
		t.Fatalf("seed %d: %v", seed, w.err)
	}
	if err := w.mutual(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	return w
}

func TestForm(t *testing.T) {
	form(t, 100, 3, 1)
	form(t, 300, 0, 1)
	form(t, 1000, 3, 1)
	form(t, 1000, 0, 1)
}
