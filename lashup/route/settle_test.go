package route

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// watch runs a table through time and gathers its events.
type watch struct {
	*Table
	now     time.Duration
	events  []Event
	batches int
}

// to lets time pass, with a Settle whenever one is due.
func (w *watch) to(at time.Duration) {
	w.settle()
	for w.NextSettle() <= at {
		w.now = w.NextSettle()
		w.settle()
	}
	w.now = at
	w.settle()
}

func (w *watch) settle() {
	if got := w.Settle(w.now); len(got) > 0 {
		w.events = append(w.events, got...)
		w.batches++
	}
}

// take empties the list of events.
func (w *watch) take() []Event {
	out := w.events
	w.events, w.batches = nil, 0
	return out
}

// ring is a watched table of node 0 in a ring of n nodes, settled at 1 s.
func ring(n int) (*watch, *graph) {
	g := newGraph(n)
	for i := range n {
		g.set(i, (i+1)%n, true)
	}
	w := &watch{Table: fill(newTable(0), g)}
	w.to(time.Second)
	w.take()
	return w, g
}

// drop has node a drop node b, with the reason.
func (w *watch) drop(t *testing.T, g *graph, a, b int, why Why) {
	t.Helper()
	g.edges[a][b] = false
	delete(g.edges[a], b)
	x := g.next(a)
	x.Cuts = []Cut{{node(b), why}}
	must(t, w.Table, sign(x))
}

func TestNodesComeUpOnce(t *testing.T) {
	g := newGraph(5)
	for i := range 5 {
		g.set(i, (i+1)%5, true)
	}
	w := &watch{Table: fill(newTable(0), g)}
	w.to(time.Second)
	if len(w.events) != 4 || w.batches != 1 || w.Reachable() != 5 {
		t.Fatalf("%d events in %d batches: %v", len(w.events), w.batches, w.events)
	}
	for _, e := range w.events {
		if e.From != Unknown || e.To != Up || e.Node == w.Self() {
			t.Errorf("%+v", e)
		}
	}
	if s, _ := w.State(node(77)); s != Unknown {
		t.Errorf("a stranger is %v", s)
	}
}

func TestOneChangeIsOneEvent(t *testing.T) {
	for _, c := range []struct {
		say  Why
		want Why
	}{{Dead, Dead}, {Hung, Hung}, {Asymmetric, Asymmetric}, {Closed, Unreachable}} {
		w, g := ring(6)
		w.drop(t, g, 2, 3, c.say)
		w.to(1500 * ms)
		if got := w.take(); len(got) != 0 {
			t.Errorf("%v: one neighbour's word gave %v", c.say, got)
		}
		w.drop(t, g, 4, 3, c.say)
		w.to(3 * time.Second)
		got := w.take()
		if len(got) != 1 || got[0] != (Event{node(3), Up, Down, c.want}) {
			t.Errorf("%v: %v", c.say, got)
		}
		if s, why := w.State(node(3)); s != Down || why != c.want {
			t.Errorf("%v: its state is %v, %v", c.say, s, why)
		}
	}
}

func TestWhoLosesItsLastEdgeByAVerdictIsDownAtOnce(t *testing.T) {
	w, g := ring(6)
	w.drop(t, g, 2, 3, Dead)
	w.to(1500 * ms)
	w.drop(t, g, 4, 3, Hung)
	got := w.Settle(w.now)
	if len(got) != 1 || got[0].Node != node(3) || got[0].To != Down {
		t.Fatalf("%v", got)
	}
	if s, _ := w.State(node(3)); s != Down {
		t.Errorf("it is %v", s)
	}
	w.to(3 * time.Second)
	if got := w.take(); len(got) != 0 {
		t.Errorf("and again: %v", got)
	}
}

func TestWhoSaysThatItLeavesHasLeftAtOnce(t *testing.T) {
	w, g := ring(6)
	a := g.next(3)
	a.Leaving = true
	must(t, w.Table, sign(a))
	if got := w.Settle(w.now); len(got) != 1 || got[0] != (Event{node(3), Up, Down, Left}) {
		t.Fatalf("%v", got)
	}
	g.clock[3] = 0
	b := g.next(3)
	b.Epoch, b.Card = 2, card(3, 2, 1)
	must(t, w.Table, sign(b))
	w.to(3 * time.Second)
	if got := w.take(); len(got) != 1 || got[0] != (Event{node(3), Down, Up, Unreachable}) {
		t.Errorf("back in another life: %v", got)
	}
}

func TestWhoLeavesStillSeesTheOthersAndSends(t *testing.T) {
	w, g := ring(6)
	a := g.next(0)
	a.Leaving = true
	must(t, w.Table, sign(a))
	w.to(w.now + time.Second)
	if got := w.take(); len(got) != 0 || w.Reachable() != 5 {
		t.Errorf("%d are reachable: %v", w.Reachable(), got)
	}
	if d := w.Tree(node(0)).Distance(node(3)); d != 3 {
		t.Errorf("its own tree has 3 at %d", d)
	}
	if d := w.Tree(node(1)).Distance(node(0)); d != Infinity {
		t.Errorf("another's tree has it at %d", d)
	}
	if d := w.Tree(node(1)).Distance(node(5)); d != 4 {
		t.Errorf("others send through it: from 1 to 5 it is %d", d)
	}
}

func TestAFlapWithinTheWindowIsNoEvent(t *testing.T) {
	w, g := ring(6)
	w.drop(t, g, 2, 3, Asymmetric)
	w.drop(t, g, 4, 3, Asymmetric)
	w.to(w.now + 10*ms)
	g.set(2, 3, true)
	must(t, w.Table, g.next(2))
	w.to(w.now + time.Second)
	if got := w.take(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestFiftyQuickChangesAreFewerThanTwentyEvents(t *testing.T) {
	for _, gap := range []time.Duration{0, ms, 2 * ms, 5 * ms, 10 * ms, 19 * ms, 21 * ms, 30 * ms} {
		for _, why := range []Why{Dead, Closed} {
			w, g := ring(6)
			w.drop(t, g, 2, 3, why)
			for k := range 50 {
				if k%2 == 0 {
					w.drop(t, g, 4, 3, why)
				} else {
					g.set(4, 3, true)
					must(t, w.Table, g.next(4))
				}
				w.to(w.now + gap)
			}
			w.to(w.now + 2*time.Second)
			if len(w.events) >= 20 {
				t.Errorf("%v apart, %v: %d events", gap, why, len(w.events))
			}
			if s, _ := w.State(node(3)); s != Up {
				t.Errorf("%v apart, %v: in the end it is %v", gap, why, s)
			}
		}
	}
}

func TestFiftyNodesThatComeOneByOneAreFewerThanTwentyBatches(t *testing.T) {
	w, g := ring(3)
	g.edges = append(g.edges, make([]map[int]bool, 50)...)
	g.clock = append(g.clock, make([]uint64, 50)...)
	for i := 3; i < 53; i++ {
		g.edges[i] = map[int]bool{}
		g.set(i, i-1, true)
		must(t, w.Table, g.next(i-1))
		must(t, w.Table, g.next(i))
		w.to(w.now + 5*ms)
	}
	w.to(w.now + time.Second)
	if len(w.events) != 50 || w.batches >= 20 {
		t.Errorf("%d events in %d batches", len(w.events), w.batches)
	}
}

func TestWhoWasMerelyLetGoHasTimeToLinkAgain(t *testing.T) {
	w, g := ring(6)
	w.drop(t, g, 2, 3, Closed)
	w.drop(t, g, 4, 3, Closed)
	w.to(w.now + 300*ms)
	if s, _ := w.State(node(3)); s != Up {
		t.Fatalf("it is %v", s)
	}
	g.set(1, 3, true)
	must(t, w.Table, g.next(1))
	must(t, w.Table, g.next(3))
	w.to(w.now + 2*time.Second)
	if got := w.take(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestAPartOfTheOverlayIsCutOffAndComesBack(t *testing.T) {
	w, g := ring(8) // 0 1 2 | 3 4 5 6 | 7
	w.drop(t, g, 2, 3, Asymmetric)
	w.drop(t, g, 7, 6, Asymmetric)
	w.to(w.now + time.Second)
	if got := w.take(); len(got) != 4 || w.Reachable() != 4 {
		t.Fatalf("%d are reachable: %v", w.Reachable(), got)
	}
	g.set(2, 3, true)
	must(t, w.Table, g.next(2))
	w.to(w.now + time.Second)
	if got := w.take(); len(got) != 4 || w.Reachable() != 8 {
		t.Errorf("%d are reachable: %v", w.Reachable(), got)
	}
}

func TestWhoLosesAllItsEdgesDoubtsItselfFirst(t *testing.T) {
	w, g := ring(6)
	w.drop(t, g, 1, 0, Dead)
	w.drop(t, g, 5, 0, Dead)
	w.to(w.now + 4*time.Second)
	if got := w.take(); len(got) != 0 || w.Reachable() != 6 {
		t.Fatalf("%d are reachable: %v", w.Reachable(), got)
	}
	g.set(1, 0, true)
	must(t, w.Table, g.next(1))
	w.to(w.now + 10*time.Second)
	if got := w.take(); len(got) != 0 || w.Reachable() != 6 {
		t.Fatalf("back again, %d are reachable: %v", w.Reachable(), got)
	}
	w.drop(t, g, 1, 0, Dead)
	w.to(w.now + 4*time.Second)
	if got := w.take(); len(got) != 0 {
		t.Fatalf("the second time: %v", got)
	}
	w.to(w.now + 2*time.Second)
	if got := w.take(); len(got) != 5 || w.Reachable() != 1 {
		t.Errorf("after a while %d are reachable: %v", w.Reachable(), got)
	}
	g.set(1, 0, true)
	must(t, w.Table, g.next(1))
	w.to(w.now + time.Second)
	if got := w.take(); len(got) != 5 || w.Reachable() != 6 {
		t.Errorf("and back, %d are reachable: %v", w.Reachable(), got)
	}
}

func TestOfTwoTheDeadOneIsDownAtOnce(t *testing.T) {
	g := newGraph(2)
	g.set(0, 1, true)
	w := &watch{Table: fill(newTable(0), g)}
	w.to(time.Second)
	w.take()
	w.drop(t, g, 0, 1, Dead)
	w.to(w.now + ms)
	if got := w.take(); len(got) != 1 || got[0] != (Event{node(1), Up, Down, Dead}) || w.Reachable() != 1 {
		t.Fatalf("%d are reachable: %v", w.Reachable(), got)
	}
	w.to(w.now + 10*time.Second)
	if got := w.take(); len(got) != 0 || w.Reachable() != 1 {
		t.Errorf("later %d are reachable: %v", w.Reachable(), got)
	}
}

func TestWhatIsForgottenIsUnknown(t *testing.T) {
	w, _ := ring(6)
	w.Forget(node(3))
	w.to(w.now + time.Second)
	if got := w.take(); len(got) != 1 || got[0] != (Event{node(3), Up, Unknown, Unreachable}) {
		t.Errorf("%v", got)
	}
}

// TestStatesAreWhatEventsSaid changes a graph at random, with pauses, and holds
// the events against each other, against State and, once all is calm, against a
// search.
func TestStatesAreWhatEventsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(t, "n")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		w, g, slow := &watch{Table: newTable(0)}, newGraph(n), naive{}
		said := make(map[string]State)
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			if a := disturb(r, w.Table, g, n); a != nil {
				slow[a.Node] = a
				if w.Get(a.Node) == nil {
					delete(slow, a.Node)
				}
			}
			w.to(w.now + time.Duration(r.IntN(3)*r.IntN(40))*ms)
			for _, e := range w.take() {
				if said[e.Node.String()] != e.From || e.From == e.To || e.Node == w.Self() {
					t.Fatalf("%+v, but it was %v", e, said[e.Node.String()])
				}
				said[e.Node.String()] = e.To
			}
			for i := 1; i < n; i++ {
				if s, _ := w.State(node(i)); s != said[node(i).String()] {
					t.Fatalf("%d is %v; the events said %v", i, s, said[node(i).String()])
				}
			}
		}
		w.to(w.now + 10*time.Second)
		for _, e := range w.take() {
			said[e.Node.String()] = e.To
		}
		if a := slow[node(0)]; a != nil && a.Leaving {
			return // it sees what one of its neighbours sees
		}
		ids := nodes(0)
		for i := 1; i < n; i++ {
			ids = append(ids, node(i))
		}
		all := slow.allPairs(ids)
		for i := 1; i < n; i++ {
			want := Unknown
			if slow[node(i)] != nil {
				if want = Down; all[0][i] != Infinity {
					want = Up
				}
			}
			if got := said[node(i).String()]; got != want {
				t.Fatalf("%d is %v, not %v", i, got, want)
			}
		}
	})
}

func TestTablesThatSeeTheSameSearchOnce(t *testing.T) {
	a, g := formed(300)
	b := a.Clone(node(1))
	b.Settle(time.Second)
	for e := range g.edges[7] {
		g.set(7, e, false)
	}
	for i := range 300 {
		x := g.next(i)
		must(t, a, x)
		must(t, b, x)
	}
	for _, tb := range []*Table{a, b} {
		tb.Settle(2 * time.Second)
		tb.Settle(3 * time.Second)
		if got := tb.Settle(4 * time.Second); len(got) != 1 || got[0].Node != node(7) {
			t.Fatalf("%v", got)
		}
	}
	if a.events.settled != b.events.settled {
		t.Error("they searched twice")
	}
}

func TestEventsAreInOrder(t *testing.T) {
	tb := fill(newTable(0), randomGraph(rand.New(rand.NewPCG(1, 1)), 40, 4))
	tb.Settle(0)
	got := tb.Settle(time.Second)
	if len(got) != 39 || !slices.IsSortedFunc(got, func(a, b Event) int { return a.Node.Compare(b.Node) }) {
		t.Errorf("%v", got)
	}
}
