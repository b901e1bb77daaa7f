package overlay

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func seeds(n int) int {
	if testing.Short() {
		return max(2, n/25)
	}
	return n
}

func (w *world) check(t *testing.T, seed int) {
	t.Helper()
	if w.err != nil {
		t.Fatalf("seed %d: %v", seed, w.err)
	}
	err := w.mutual()
	for k := 0; k < 5 && err != nil; k++ { // a handshake may be under way just now
		w.net.RunUntil(w.net.Now() + 300*time.Millisecond)
		err = w.mutual()
	}
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	if n := w.parts(); n != 1 {
		t.Errorf("seed %d: %d parts, degrees %v", seed, n, w.degrees())
	}
}

func TestTenNodesWithThreeContactsAreOneOverlay(t *testing.T) {
	for s := range seeds(200) {
		w := newWorld(10, 3, uint64(s+1), 0.01)
		w.startAll(time.Second)
		w.net.RunUntil(4 * time.Second)
		w.check(t, s+1)
	}
}

// Two seconds after the last start nearly everybody has six neighbours; a minute
// later there is hardly any traffic.
func TestTheGraphIsNearRegular(t *testing.T) {
	sizes := []struct{ nodes, contacts int }{{100, 3}, {300, 0}, {1000, 3}, {1000, 0}}
	if testing.Short() {
		sizes = sizes[:2]
	}
	for _, c := range sizes {
		w := newWorld(c.nodes, c.contacts, 1, 0.01)
		w.startAll(time.Second)
		w.net.RunUntil(3 * time.Second)
		w.check(t, 1)
		by := w.degrees()
		sent, dials := w.sent()
		turns := 0
		for _, nd := range w.nodes {
			turns += nd.turns
		}
		w.net.RunUntil(70 * time.Second)
		early, _ := w.sent()
		w.net.RunUntil(130 * time.Second)
		late, _ := w.sent()
		t.Logf("%d nodes, %d contacts: degrees %v after 3 s (%.1f kB, %.1f dials, %.1f changes a node), %v after 130 s; at rest %.0f B/s a node",
			c.nodes, c.contacts, by, sent/1000, dials, float64(turns)/float64(c.nodes), w.degrees(), (late-early)/60)
		if by[6] < c.nodes*9/10 || by[6]+by[5] < c.nodes*99/100 {
			t.Errorf("%d nodes: degrees %v after 3 s", c.nodes, by)
		}
		if by = w.degrees(); by[6] < c.nodes*98/100 {
			t.Errorf("%d nodes: degrees %v after 130 s", c.nodes, by)
		}
		if late-early > 150*60 {
			t.Errorf("%d nodes: %.0f B/s a node at rest", c.nodes, (late-early)/60)
		}
	}
}

// A tenth of the nodes dies at once, in silence; detectors tell their neighbours
// a little later.
func TestALossIsMadeGood(t *testing.T) {
	for s := range seeds(20) {
		w := newWorld(100, 3, uint64(s+1), 0.01)
		w.startAll(time.Second)
		w.net.RunUntil(10 * time.Second)
		var dead []crux.NodeID
		for range 10 {
			if nd := w.nodes[w.rng.IntN(len(w.nodes))]; nd.running() {
				nd.stop(true)
				dead = append(dead, nd.id)
			}
		}
		w.net.RunUntil(w.net.Now() + 200*time.Millisecond)
		for _, nd := range w.nodes {
			for _, id := range dead {
				if nd.running() && slices.Contains(nd.m.Active(), id) {
					nd.do(nd.m.Drop(w.net.Now(), id, w.net.Now()+5*time.Second))
				}
			}
		}
		w.net.RunUntil(w.net.Now() + 3*time.Second)
		w.check(t, s+1)
		if by := w.degrees(); by[6]+by[5] < 88 {
			t.Errorf("seed %d: degrees %v after three seconds", s+1, by)
		}
	}
}

// Members crash and come back, one after another: the overlay becomes whole each
// time.
func TestCrashesAndReturns(t *testing.T) {
	for s := range seeds(30) {
		w := newWorld(10, 3, uint64(s+1), 0.01)
		w.startAll(time.Second)
		w.net.RunUntil(4 * time.Second)
		for range 10 {
			nd := w.nodes[w.rng.IntN(len(w.nodes))]
			nd.stop(false)
			w.net.RunUntil(w.net.Now() + time.Duration(w.rng.Int64N(int64(3*time.Second))))
			nd.start()
			w.net.RunUntil(w.net.Now() + 4*time.Second)
			w.check(t, s+1)
		}
	}
}

// All contacts are down while others start: those find the overlay when a contact
// is back.
func TestWhoIsAloneTriesForEver(t *testing.T) {
	for s := range seeds(10) {
		w := newWorld(10, 3, uint64(s+1), 0.01)
		for _, nd := range w.nodes {
			nd.start()
		}
		for _, nd := range w.nodes[:3] {
			nd.stop(true)
		}
		w.nodes[9].stop(false)
		w.net.RunUntil(10 * time.Second)
		w.nodes[9].start()
		before := w.nodes[9].dials
		w.net.RunUntil(10 * time.Minute)
		if n := w.nodes[9].dials - before; n > 500 || w.nodes[9].m.NextTick() == never {
			t.Errorf("seed %d: %d dials in ten minutes alone", s+1, n)
		}
		for _, nd := range w.nodes[:3] {
			nd.start()
		}
		w.net.RunUntil(10*time.Minute + 15*time.Second)
		if len(w.nodes[9].m.Active()) == 0 {
			t.Errorf("seed %d: still alone 15 s after the contacts are back", s+1)
		}
		w.check(t, s+1)
	}
}

// Two halves that cannot reach each other become two overlays; Reach makes one of
// them again.
func TestPartsAreJoined(t *testing.T) {
	for s := range seeds(20) {
		w := newWorld(40, 3, uint64(s+1), 0.01)
		w.startAll(time.Second)
		w.net.RunUntil(4 * time.Second)
		for i, nd := range w.nodes {
			nd.place.Partition(i % 2)
		}
		w.net.RunUntil(w.net.Now() + 200*time.Millisecond)
		for i, nd := range w.nodes {
			for _, id := range slices.Clone(nd.m.Active()) {
				if int(binary.BigEndian.Uint64(id[:])-1)%2 != i%2 {
					nd.do(nd.m.Drop(w.net.Now(), id, w.net.Now()+time.Second))
				}
			}
		}
		w.net.RunUntil(w.net.Now() + 5*time.Second)
		if n := w.parts(); n != 2 || w.err != nil {
			t.Errorf("seed %d: %d parts after the split, %v", s+1, n, w.err)
		}
		w.net.Heal()
		for i := range 3 {
			nd := w.nodes[i]
			nd.do(nd.m.Reach(w.net.Now(), w.nodes[2*i+11-i%2].id))
		}
		w.net.RunUntil(w.net.Now() + 3*time.Second)
		w.check(t, s+1)
	}
}

// Who leaves is nobody's neighbour any more, and not tried again.
func TestLeave(t *testing.T) {
	w := newWorld(30, 3, 1, 0)
	w.startAll(time.Second)
	w.net.RunUntil(4 * time.Second)
	x := w.nodes[5]
	x.do(x.m.Leave(w.net.Now()))
	w.net.RunUntil(5 * time.Second)
	for _, nd := range w.nodes {
		if slices.Contains(nd.m.Active(), x.id) {
			t.Errorf("%s still has the node that left as a neighbour", nd.id)
		}
	}
	if len(x.m.Active()) != 0 || len(x.conns) != 0 || x.m.NextTick() != never {
		t.Errorf("the one that left has %d neighbours and %d links", len(x.m.Active()), len(x.conns))
	}
}
