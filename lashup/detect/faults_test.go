package detect

import (
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// formed is a group that has been up for a while.
func formed(t *testing.T, n int, seed int, loss float64) *world {
	t.Helper()
	w := newWorld(n, 6, uint64(seed), loss)
	w.net.RunUntil(5*time.Second + time.Duration(w.rng.Int64N(int64(time.Second))))
	if len(w.log) > 0 {
		t.Fatalf("seed %d: %+v before anything happened", seed, w.log[0])
	}
	return w
}

func (w *world) run(d time.Duration) { w.net.RunUntil(w.net.Now() + d) }

// accusations are the verdicts Dead and Hung that a node has given.
func (w *world) accusations(by *node) (n int) {
	for _, e := range w.log {
		if e.by == by && (e.verdict.Why == Dead || e.verdict.Why == Hung) {
			n++
		}
	}
	return n
}

func TestAnAsymmetricLinkIsToldApart(t *testing.T) {
	for s := range seeds(100) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[w.rng.IntN(20)]
		b := w.node(a.edges[w.rng.IntN(len(a.edges))])
		a.place.Cut(b.place)
		if s%2 == 0 {
			b.place.Cut(a.place)
			a.blocked, b.blocked = map[int]bool{int(b.id[7]): true}, map[int]bool{int(a.id[7]): true}
		}
		w.run(4 * time.Second)
		if len(w.log) == 0 {
			t.Errorf("seed %d: nobody has noticed", s+1)
		}
		for _, e := range w.log {
			if e.verdict.Why != Asymmetric || e.by != a && e.by != b {
				t.Errorf("seed %d: %+v by %s; the cut is from %s to %s", s+1, e.verdict, e.by.id, a.id, b.id)
			}
		}
	}
}

func TestWhoHearsNobodyAccusesNobody(t *testing.T) {
	for s := range seeds(100) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[w.rng.IntN(20)]
		for _, o := range w.nodes {
			if o != a {
				o.place.Cut(a.place)
			}
		}
		w.run(5 * time.Second)
		if n := w.accusations(a); n > 0 || !a.m.Isolated() {
			t.Errorf("seed %d: %d accusations, isolated %v", s+1, n, a.m.Isolated())
		}
		for _, e := range w.log {
			if e.by != a && e.verdict.Node != a.id {
				t.Errorf("seed %d: %s says %+v of a healthy node", s+1, e.by.id, e.verdict)
			}
		}
	}
}

func TestWhoIsHeardByNobodyAccusesNobody(t *testing.T) {
	for s := range seeds(100) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[w.rng.IntN(20)]
		for _, o := range w.nodes {
			if o != a {
				a.place.Cut(o.place)
			}
		}
		w.run(5 * time.Second)
		if n := w.accusations(a); n > 0 {
			t.Errorf("seed %d: %d accusations", s+1, n)
		}
		for _, e := range w.log {
			if e.by != a && e.verdict.Node != a.id {
				t.Errorf("seed %d: %s says %+v of a healthy node", s+1, e.by.id, e.verdict)
			}
		}
	}
}

func TestWhoIsCutOffKnowsIt(t *testing.T) {
	for s := range seeds(50) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[3]
		edges := slices.Clone(a.edges)
		a.place.Partition(1)
		a.gone = Silent
		a.blocked = map[int]bool{}
		for i := range 21 {
			a.blocked[i] = true
		}
		w.run(3 * time.Second)
		if !a.m.Isolated() || w.accusations(a) > 0 {
			t.Fatalf("seed %d: isolated %v, %d accusations", s+1, a.m.Isolated(), w.accusations(a))
		}
		w.net.Heal()
		a.edges = edges // as the overlay would
		a.do(a.m.Neighbours(w.net.Now(), a.edges))
		w.run(time.Second)
		if a.m.Isolated() {
			t.Errorf("seed %d: still isolated a second after it is not", s+1)
		}
	}
}

// A process that is stopped now and then, and goes on, blames itself.
func TestLateTimersAccuseNobody(t *testing.T) {
	for s := range seeds(50) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[w.rng.IntN(20)]
		for range 20 {
			a.place.Suspend()
			w.run(time.Duration(50+w.rng.IntN(700)) * time.Millisecond)
			a.place.Resume()
			w.run(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
		}
		w.run(2 * time.Second)
		if n := w.accusations(a); n > 0 {
			t.Errorf("seed %d: %d accusations", s+1, n)
		}
		if a.m.Stats().Late == 0 {
			t.Errorf("seed %d: it has not noticed that it was late", s+1)
		}
		for _, e := range w.log {
			if e.by != a && e.verdict.Node != a.id {
				t.Errorf("seed %d: %s says %+v of a healthy node", s+1, e.by.id, e.verdict)
			}
		}
	}
}

// A pause that was long enough for a verdict is over: the verdict is taken back.
func TestAVerdictIsTakenBack(t *testing.T) {
	for s := range seeds(100) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[w.rng.IntN(20)]
		edges := len(a.edges)
		a.hang()
		if !w.net.RunWhile(w.net.Now()+2*time.Second, func() bool { by, _, _ := w.verdicts(a); return by[Hung] < edges }) {
			t.Fatalf("seed %d: not found hung", s+1)
		}
		w.run(300 * time.Millisecond)
		a.gone = 0
		a.place.Resume()
		w.run(time.Second)
		by, _, _ := w.verdicts(a)
		if by[Alive] != edges || len(a.edges) != edges || w.accusations(a) > 0 {
			t.Errorf("seed %d: %v of %d neighbours", s+1, by, edges)
		}
	}
}

// A process that ends on a host that is up: its kernel closes its links, and
// refuses new ones.
func TestAnEndedProcessIsDeadAtOnce(t *testing.T) {
	var all []time.Duration
	for s := range seeds(50) {
		w := formed(t, 20, s+1, 0.01)
		a := w.nodes[w.rng.IntN(20)]
		edges := slices.Clone(a.edges)
		a.gone = Refused
		a.place.Crash()
		at := w.net.Now()
		for _, id := range edges {
			o := w.node(id)
			w.net.At(at+time.Millisecond, func() { o.do(o.m.LinkLost(w.net.Now(), a.id)) })
		}
		w.run(2 * time.Second)
		by, _, last := w.verdicts(a)
		if by[Dead] != len(edges) || len(by) != 1 {
			t.Errorf("seed %d: %v", s+1, by)
		}
		all = append(all, last-at)
	}
	t.Logf("all neighbours know: %v median, %v worst", quantile(all, .5), quantile(all, 1))
	if quantile(all, 1) > 30*time.Millisecond {
		t.Error("that is too slow")
	}
}

// A link that broke says nothing of a node that answers.
func TestALostLinkIsNoDeath(t *testing.T) {
	w := formed(t, 20, 1, 0.01)
	a := w.nodes[0]
	for _, id := range a.edges {
		o := w.node(id)
		o.do(o.m.LinkLost(w.net.Now(), a.id))
	}
	w.run(time.Second)
	if len(w.log) > 0 {
		t.Errorf("%+v", w.log)
	}
}

// Accusers that are wrong convince nobody.
func TestAWrongAccusationIsFoundOut(t *testing.T) {
	for s := range seeds(50) {
		w := formed(t, 20, s+1, 0.1)
		a := w.nodes[0]
		wrong := 1 + s%3
		for _, by := range a.edges[:wrong] {
			for _, id := range a.edges[wrong:] {
				o := w.node(id)
				o.do(o.m.Accused(w.net.Now(), a.id, by))
			}
			a.do(a.m.Refute(w.net.Now(), by))
		}
		w.run(time.Second)
		if len(w.log) > 0 {
			t.Errorf("seed %d: %+v", s+1, w.log)
		}
	}
}

// A neighbour whose round trips have been long does not wait once more for what
// several others have waited for; but it does for a usual round trip.
func TestWhatOthersHaveWaitedForIsNotWaitedForAgain(t *testing.T) {
	const usual = 200 * time.Millisecond
	for s := range seeds(20) {
		w := formed(t, 20, s+1, 0.01)
		x := w.nodes[w.rng.IntN(20)]
		slow, edges := w.node(x.edges[0]), len(x.edges)
		h := &slow.m.find(x.id).hist
		for range len(h.ring) {
			h.add(usual)
		}
		x.hang()
		w.run(2 * time.Second)
		var at []time.Duration
		for _, e := range w.log {
			if e.verdict.Node == x.id && e.verdict.Why == Hung && e.by != slow {
				at = append(at, e.at)
			}
		}
		by, _, last := w.verdicts(x)
		if by[Hung] != edges || len(by) != 1 || len(at) < agreed {
			t.Fatalf("seed %d: %v of %d neighbours", s+1, by, edges)
		}
		if after := last - at[agreed-1]; after < usual || after > usual*3/2+10*time.Millisecond {
			t.Errorf("seed %d: the slow one %v after the second of the others", s+1, after)
		}
	}
}

// A tenth of a group dies at once.
func TestManyDeathsAtOnce(t *testing.T) {
	for s := range seeds(10) {
		w := formed(t, 100, s+1, 0.01)
		at := w.net.Now()
		dead := map[crux.NodeID]int{}
		for _, nd := range w.nodes[:10] {
			dead[nd.id] = len(nd.edges)
			nd.kill()
		}
		w.run(3 * time.Second)
		last := at
		for _, e := range w.log {
			if n, ok := dead[e.verdict.Node]; !ok || n == 0 || e.verdict.Why != Dead && e.verdict.Why != Hung {
				t.Errorf("seed %d: %s says %+v", s+1, e.by.id, e.verdict)
			}
			last = e.at
		}
		for _, nd := range w.nodes[10:] {
			for _, id := range nd.edges {
				if dead[id] > 0 {
					t.Errorf("seed %d: %s has not noticed that %s is dead", s+1, nd.id, id)
				}
			}
		}
		if last-at > time.Second {
			t.Errorf("seed %d: the last noticed after %v", s+1, last-at)
		}
	}
}

func TestAPairOfNodes(t *testing.T) {
	for _, c := range []struct {
		what     string
		take     func(*node)
		want     Why
		isolated bool
	}{
		{"killed", (*node).kill, Unheard, true},
		{"hung", (*node).hang, Hung, false},
		{"ended", func(nd *node) { nd.kill(); nd.gone = Refused }, Dead, false},
	} {
		w := newWorld(2, 2, 1, 0.01)
		w.run(5 * time.Second)
		c.take(w.nodes[1])
		w.run(3 * time.Second)
		by, _, _ := w.verdicts(w.nodes[1])
		if by[c.want] != 1 || len(by) != 1 || w.nodes[0].m.Isolated() != c.isolated {
			t.Errorf("%s: %v, isolated %v", c.what, by, w.nodes[0].m.Isolated())
		}
	}
}

// endSlow ends a process whose round trips have been long but for one, and breaks its
// links; its kernel gives an answer. It says who its neighbours were.
func (w *world) endSlow(x *node, shortest time.Duration, o Outcome) (edges []crux.NodeID) {
	x.kill()
	x.gone = o
	edges = slices.Clone(x.edges)
	for _, id := range edges {
		nd := w.node(id)
		h := &nd.m.find(x.id).hist
		for range len(h.ring) - 1 {
			h.add(700 * time.Millisecond)
		}
		h.add(shortest)
		nd.do(nd.m.LinkLost(w.net.Now(), x.id))
	}
	return edges
}

// How slow a process has been does not matter any more when the kernel says that it
// has ended; where the network is slow, answers may be on their way.
func TestWhoHasEndedIsNotGivenTheTimeOfASlowOne(t *testing.T) {
	for s := range seeds(20) {
		for _, c := range []struct{ shortest, least, most time.Duration }{
			{time.Millisecond, 0, 105 * time.Millisecond},
			{300 * time.Millisecond, 590 * time.Millisecond, 630 * time.Millisecond},
		} {
			w := formed(t, 20, s+1, 0.01)
			x, ended := w.nodes[w.rng.IntN(20)], w.net.Now()
			edges := w.endSlow(x, c.shortest, Refused)
			w.run(time.Second)
			by, first, last := w.verdicts(x)
			if by[Dead] != len(edges) || len(by) != 1 || first-ended < c.least || last-ended > c.most {
				t.Errorf("seed %d, shortest round trip %v: %v of %d neighbours, after %v to %v", s+1, c.shortest, by, len(edges), first-ended, last-ended)
			}
		}
	}
}

// The kernel may take a last connection for a process while that ends. It is asked
// again, and the process is not taken for hung until its time is over.
func TestALastConnectionIsNotTakenForLife(t *testing.T) {
	for s := range seeds(20) {
		w := formed(t, 20, s+1, 0.01)
		x, ended := w.nodes[w.rng.IntN(20)], w.net.Now()
		edges := w.endSlow(x, time.Millisecond, Accepted)
		w.run(5 * time.Millisecond)
		x.gone = Refused
		w.run(time.Second)
		by, _, last := w.verdicts(x)
		if by[Dead] != len(edges) || len(by) != 1 || last-ended > 105*time.Millisecond {
			t.Errorf("seed %d: %v of %d neighbours, the last after %v", s+1, by, len(edges), last-ended)
		}
	}
}
