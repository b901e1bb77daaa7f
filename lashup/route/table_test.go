package route

import (
	"math/rand/v2"
	"slices"
	"testing"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

func TestTheNewestAdjacencyWins(t *testing.T) {
	for _, c := range []struct {
		name         string
		epoch, clock uint64
		want         bool
	}{
		{"an older clock", 2, 4, false},
		{"the same", 2, 5, false},
		{"a newer clock", 2, 6, true},
		{"an older epoch with a newer clock", 1, 99, false},
		{"a newer epoch with an older clock", 3, 1, true},
	} {
		tb := newTable(0)
		at := func(epoch, clock uint64) *Adjacency {
			return sign(&Adjacency{Node: node(1), Epoch: epoch, Clock: clock, Edges: nodes(2), Card: card(1, epoch, 1)})
		}
		if ok, err := tb.Update(at(2, 5)); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := tb.Update(at(c.epoch, c.clock)); ok != c.want || err != nil {
			t.Errorf("%s: changed %v, %v", c.name, ok, err)
		}
	}
}

func TestTwoAdjacenciesWithOneStampAreAConflict(t *testing.T) {
	tb := newTable(0)
	first := adjacency(1, 5, 2, 3)
	if _, err := tb.Update(first); err != nil {
		t.Fatal(err)
	}
	ok, err := tb.Update(adjacency(1, 5, 2))
	if ok || crux.KindOf(err) != crux.Conflict {
		t.Errorf("changed %v, %v", ok, err)
	}
	if tb.Get(node(1)) != first {
		t.Error("the second replaced the first")
	}
}

func TestMalformedAdjacenciesAreRefused(t *testing.T) {
	disorder := adjacency(1, 1, 2, 3)
	slices.Reverse(disorder.Edges)
	if disorder.Edges[0].Compare(disorder.Edges[1]) < 0 {
		t.Fatal("they are in order")
	}
	twice := adjacency(1, 1, 2)
	twice.Edges = append(twice.Edges, twice.Edges[0])
	other := adjacency(1, 1, 2)
	other.Card = card(2, 1, 1)
	old := adjacency(1, 1, 2)
	old.Card = card(1, 7, 1)
	none := adjacency(1, 1, 2)
	none.Card = nil
	many := &Adjacency{Node: node(1), Epoch: 1, Clock: 1, Card: card(1, 1, 1)}
	for i := range MaxEdges + 1 {
		many.Edges = append(many.Edges, node(i+2))
	}
	many.Normalize()
	for name, a := range map[string]*Adjacency{
		"disordered": disorder, "an edge twice": twice, "itself": adjacency(1, 1, 1, 2), "another's card": other,
		"a card of another epoch": old, "no card": none, "too many edges": many,
		"a reason that there is not": withCuts(adjacency(1, 1, 2), 2, Cut{node(3), whys}),
		"two cuts of one node":       withCuts(adjacency(1, 1, 2), 2, Cut{node(3), Dead}, Cut{node(3), Hung}),
	} {
		if ok, err := newTable(0).Update(a); ok || crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: changed %v, %v", name, ok, err)
		}
	}
}

func TestWhatWasForgottenComesBackOnlyNewer(t *testing.T) {
	tb := newTable(0)
	must(t, tb, adjacency(1, 5, 2))
	tb.Forget(node(1))
	if tb.Get(node(1)) != nil || tb.Len() != 0 || tb.Bytes() != 0 || tb.Hash() != 0 {
		t.Fatal("it is still there")
	}
	for clock := range uint64(6) {
		if ok, err := tb.Update(adjacency(1, clock, 2)); ok || err != nil {
			t.Errorf("clock %d: changed %v, %v", clock, ok, err)
		}
	}
	must(t, tb, adjacency(1, 6, 2))
}

func TestWhatIsRememberedOfTheForgottenIsBounded(t *testing.T) {
	tb := newTable(0)
	for i := range maxTombs + 100 {
		must(t, tb, adjacency(i+1, 1))
		tb.Forget(node(i + 1))
		if i%3 == 0 { // some come back, and are forgotten again
			must(t, tb, adjacency(i+1, 2))
			tb.Forget(node(i + 1))
		}
	}
	if len(tb.tombs) > maxTombs || len(tb.buried) > maxTombs {
		t.Errorf("%d tombs, %d in order", len(tb.tombs), len(tb.buried))
	}
}

func TestAnEdgeNeedsBothEnds(t *testing.T) {
	tb := newTable(0)
	must(t, tb, adjacency(0, 1, 1, 2))
	must(t, tb, adjacency(1, 1, 0, 3))
	must(t, tb, adjacency(2, 1))
	if got := tb.Neighbours(node(0)); !slices.Equal(got, nodes(1)) {
		t.Errorf("neighbours of 0: %v", got)
	}
	if d := tb.Tree(node(0)).Distance(node(3)); d != Infinity {
		t.Errorf("3, which has no row, is at %d", d)
	}
	must(t, tb, adjacency(3, 1, 1))
	if d := tb.Tree(node(0)).Distance(node(3)); d != 2 {
		t.Errorf("3 is at %d", d)
	}
	if got := tb.Neighbours(node(9)); got != nil {
		t.Errorf("neighbours of a stranger: %v", got)
	}
}

func TestHashesDependOnContentNotOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		g := newGraph(n)
		var all []*Adjacency
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			a, b := rapid.IntRange(0, n-1).Draw(t, "a"), rapid.IntRange(0, n-1).Draw(t, "b")
			g.set(a, b, rapid.Bool().Draw(t, "on"))
			all = append(all, g.next(a), g.next(b))
		}
		ix, cache := NewIndex(), NewCache(DefaultCache)
		x, y := New(node(0), ix, cache), New(node(1), ix, cache)
		for _, a := range all {
			update(x, a)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		for _, a := range all {
			update(y, a)
		}
		if x.Hash() != y.Hash() || x.Shape() != y.Shape() || x.Len() != y.Len() || x.Bytes() != y.Bytes() {
			t.Fatal("two tables with the same rows differ")
		}
		if x.Tree(node(0)) != y.Tree(node(0)) {
			t.Fatal("the tree was computed twice")
		}
		bytes := 0
		x.Each(func(a *Adjacency) { bytes += a.Size() })
		if bytes != x.Bytes() {
			t.Fatalf("%d bytes are counted as %d", bytes, x.Bytes())
		}
	})
}

func TestAClockRaisedAloneKeepsTheTrees(t *testing.T) {
	tb, g := formed(50)
	tree, hash := tb.Tree(node(3)), tb.Hash()
	must(t, tb, g.next(7))
	if tb.Hash() == hash {
		t.Error("the hash does not see the clock")
	}
	if tb.Tree(node(3)) != tree {
		t.Error("the tree was computed again")
	}
}

func TestAClonesChangesAreItsOwn(t *testing.T) {
	a, g := formed(600)
	b := a.Clone(node(1))
	if b.Hash() != a.Hash() || b.Self() != node(1) || b.Reachable() != 600 {
		t.Fatal("the clone differs")
	}
	g.set(0, 5, true)
	was := a.Get(node(5))
	must(t, b, g.next(5))
	if a.Get(node(5)) != was {
		t.Error("a change of the clone reached the original")
	}
	must(t, a, g.next(9))
	if b.Get(node(9)).Clock == a.Get(node(9)).Clock {
		t.Error("a change of the original reached the clone")
	}
}

func TestTheDatabaseIsSmall(t *testing.T) {
	for _, c := range []struct{ n, most int }{{1000, 1 << 20}, {10000, 10 << 20}} {
		if testing.Short() && c.n > 1000 {
			continue
		}
		g := randomGraph(rand.New(rand.NewPCG(1, 1)), c.n, 6)
		tb := fill(newTable(0), g)
		t.Logf("%d nodes: %d bytes encoded, %d a node; in memory about %d, %d a node", c.n, tb.Bytes(), tb.Bytes()/c.n, tb.Memory(), tb.Memory()/c.n)
		if tb.Bytes() > c.most || tb.Memory() > c.most {
			t.Errorf("%d nodes take %d bytes encoded and %d in memory, more than %d", c.n, tb.Bytes(), tb.Memory(), c.most)
		}
	}
}

func must(t *testing.T, tb *Table, a *Adjacency) {
	t.Helper()
	if ok, err := tb.Update(a); !ok || err != nil {
		t.Fatalf("update of %s to %d.%d: changed %v, %v", a.Node, a.Epoch, a.Clock, ok, err)
	}
}

func update(tb *Table, a *Adjacency) {
	if _, err := tb.Update(a); err != nil {
		panic(err)
	}
}
