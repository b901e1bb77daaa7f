package detect

import (
	"testing"
	"time"
)

// inquire asks a node after another, and waits for the answer.
func inquire(t *testing.T, by, about *node) (Result, time.Duration) {
	t.Helper()
	w := by.w
	at := w.net.Now()
	by.results = nil
	by.do(by.m.Check(at, about.id, 7))
	w.net.RunWhile(at+time.Second, func() bool { return len(by.results) == 0 })
	took := w.net.Now() - at
	w.run(100 * time.Millisecond)
	if len(by.results) != 1 || by.results[0].Token != 7 || by.results[0].Node != about.id || took > by.m.p.Bound {
		t.Fatalf("%d results after %v: %+v", len(by.results), took, by.results)
	}
	return by.results[0], took
}

func TestCheckSaysWhatIsFound(t *testing.T) {
	for s := range seeds(50) {
		w := formed(t, 20, s+1, 0.01)
		a, near := w.nodes[0], w.node(w.nodes[0].edges[0])
		far := w.nodes[1]
		for _, nd := range w.nodes {
			if nd != a && a.m.find(nd.id) == nil {
				far = nd
			}
		}
		for _, x := range []*node{near, far, a} {
			if r, _ := inquire(t, a, x); r.State != Alive || (r.RTT == 0) != (x == a) {
				t.Errorf("seed %d: %+v of a node that lives", s+1, r)
			}
		}
		a.place.Cut(far.place)
		if r, _ := inquire(t, a, far); r.State != Asymmetric || r.By.IsZero() {
			t.Errorf("seed %d: %+v of a node that others hear", s+1, r)
		}
		w.net.Heal()
		far.hang()
		if r, took := inquire(t, a, far); r.State != Hung || took > 250*time.Millisecond {
			t.Errorf("seed %d: %+v of a hung node after %v", s+1, r, took)
		}
		near.kill()
		if r, _ := inquire(t, a, near); r.State != Dead {
			t.Errorf("seed %d: %+v of a dead neighbour", s+1, r)
		}
		if by, _, _ := w.verdicts(near); by[Dead] == 0 {
			t.Errorf("seed %d: no verdict came of it", s+1)
		}
		if a.m.find(far.id) != nil && a.m.find(far.id).watched {
			t.Errorf("seed %d: it has become a neighbour by being asked after", s+1)
		}
	}
}

// A check at a node that hears nobody is answered within its bound, too.
func TestCheckIsAnsweredInTime(t *testing.T) {
	w := formed(t, 20, 1, 0.01)
	a := w.nodes[0]
	a.place.Partition(1)
	w.nodes[7].gone = Silent
	if r, _ := inquire(t, a, w.nodes[7]); r.State != Unheard {
		t.Errorf("%+v", r)
	}
	for i := range maxTargets + 30 {
		a.do(a.m.Check(w.net.Now(), nodeID(1000+i), uint64(i)))
	}
	if n := len(a.m.targets); n > maxTargets+len(a.edges) {
		t.Errorf("%d targets", n)
	}
	a.results = nil
}
