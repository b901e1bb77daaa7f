package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

// naive is the slow second implementation: rows in a map.
type naive map[crux.NodeID]*Adjacency

// edge says whether there is a way from a, as an origin or not, to b.
func (n naive) edge(a, b crux.NodeID, origin bool) bool {
	x, y := n[a], n[b]
	return x != nil && y != nil && (origin || !x.Leaving) && !y.Leaving && slices.Contains(x.Edges, b) && slices.Contains(y.Edges, a)
}

// allPairs is Floyd and Warshall's algorithm, with the ways out of each node
// added for those that leave.
func (n naive) allPairs(ids []crux.NodeID) [][]int {
	const far = 1 << 20
	d := make([][]int, len(ids))
	for i, a := range ids {
		d[i] = make([]int, len(ids))
		for k, b := range ids {
			switch {
			case i == k:
			case n.edge(a, b, false):
				d[i][k] = 1
			default:
				d[i][k] = far
			}
		}
	}
	for m := range ids {
		for i := range ids {
			for k := range ids {
				d[i][k] = min(d[i][k], d[i][m]+d[m][k])
			}
		}
	}
	n.addLeaving(ids, d)
	for i := range d {
		for k := range d[i] {
			if d[i][k] >= far {
				d[i][k] = Infinity
			}
		}
	}
	return d
}

// addLeaving has the nodes that leave still reach others by their neighbours.
func (n naive) addLeaving(ids []crux.NodeID, d [][]int) {
	for i, a := range ids {
		if n[a] == nil || !n[a].Leaving {
			continue
		}
		for m, b := range ids {
			for k := range ids {
				if n.edge(a, b, true) {
					d[i][k] = min(d[i][k], 1+d[m][k])
				}
			}
		}
	}
}

// TestRoutesAreShortestPaths changes a graph at random, some 12,000 times (1,200
// in short mode), and compares all routes with the second implementation.
func TestRoutesAreShortestPaths(t *testing.T) {
	runs, changes := 120, 100
	if testing.Short() {
		runs = 12
	}
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 7))
		n := 2 + r.IntN(14)
		tb, slow, g := newTable(0), naive{}, newGraph(n)
		for range changes {
			a := disturb(r, tb, g, n)
			if a == nil {
				continue
			}
			slow[a.Node] = a
			if tb.Get(a.Node) == nil {
				delete(slow, a.Node)
			}
			compareRoutes(t, tb, slow, n)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// disturb does one of the things that happen to a table.
func disturb(r *rand.Rand, tb *Table, g *graph, n int) *Adjacency {
	i := r.IntN(n)
	switch k := r.IntN(20); {
	case k == 0:
		a := tb.Get(node(i))
		tb.Forget(node(i))
		return a
	case k == 1:
		a := g.next(i)
		a.Leaving = true
		update(tb, sign(a))
		return a
	case k < 12: // one side only: the other follows later, or never
		if e := r.IntN(n); e != i && g.edges[i][e] {
			delete(g.edges[i], e)
		} else if e != i {
			g.edges[i][e] = true
		}
	default:
		g.set(i, r.IntN(n), r.IntN(3) > 0)
	}
	a := g.next(i)
	update(tb, a)
	return a
}

func compareRoutes(t *testing.T, tb *Table, slow naive, n int) {
	t.Helper()
	ids := make([]crux.NodeID, n)
	for i := range ids {
		ids[i] = node(i)
	}
	all := slow.allPairs(ids)
	for i, origin := range ids {
		tree := tb.Tree(origin)
		if tb.Get(origin) == nil && origin != tb.Self() {
			continue
		}
		for k, id := range ids {
			checkRoute(t, tree, slow, id, all[i][k])
		}
		for _, id := range tree.Unreachable() {
			if slow[id] == nil || tree.Distance(id) != Infinity {
				t.Errorf("%s is listed as unreachable", id)
			}
		}
	}
}

// checkRoute checks all that a tree says of one node.
func checkRoute(t *testing.T, tree *Tree, slow naive, id crux.NodeID, want int) {
	t.Helper()
	if got := tree.Distance(id); got != want {
		t.Errorf("from %s to %s it is %d hops, not %d", tree.Origin(), id, want, got)
		return
	}
	path := tree.Path(id)
	if len(path) != want+1 {
		t.Errorf("the path to %s, at %d, is %v", id, want, path)
		return
	}
	for k := 1; k < len(path); k++ {
		if p, _ := tree.Parent(path[k]); p != path[k-1] || !slow.edge(path[k-1], path[k], k == 1) {
			t.Errorf("the path %v has no edge before %s", path, path[k])
		}
		if !slices.Contains(tree.Children(path[k-1]), path[k]) {
			t.Errorf("%s is not among the children of %s", path[k], path[k-1])
		}
	}
	hop, ok := tree.NextHop(id)
	if ok != (want > 0) || ok && hop != path[1] {
		t.Errorf("the next hop to %s is %v, %v", id, hop, ok)
	}
}

func TestTreesDoNotDependOnTheOrderOfNews(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	g := randomGraph(r, 200, 6)
	var all []*Adjacency
	for i := range g.edges {
		all = append(all, g.next(i))
	}
	say := func() string {
		tb := newTable(r.IntN(200))
		for _, k := range r.Perm(len(all)) {
			update(tb, all[k].withCard(all[k].Card)) // no memory of another index
		}
		out := ""
		for _, o := range []int{3, 77, 150} {
			tree := tb.Tree(node(o))
			for i := range all {
				p, _ := tree.Parent(node(i))
				out += fmt.Sprintln(i, tree.Distance(node(i)), p, tree.Children(node(i)))
			}
		}
		return out
	}
	if a, b := say(), say(); a != b {
		t.Error("two tables with the same rows have different trees")
	}
}

func TestAPrunedTreeIsThePathsToThoseNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		g := randomGraph(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), n, 4)
		tb := fill(newTable(0), g)
		tree := tb.Tree(node(rapid.IntRange(0, n-1).Draw(t, "origin")))
		var only []crux.NodeID
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, n+1), 0, 6).Draw(t, "only") {
			only = append(only, node(i)) // some are strangers
		}
		on := map[crux.NodeID]bool{tree.Origin(): true}
		for _, id := range only {
			for _, p := range tree.Path(id) {
				on[p] = true
			}
		}
		pruned := tree.Prune(only)
		if pruned.Reachable() != len(on) {
			t.Fatalf("%d nodes are left, not %d", pruned.Reachable(), len(on))
		}
		for i := range n {
			id := node(i)
			if on[id] != (pruned.Distance(id) != Infinity) || on[id] && pruned.Distance(id) != tree.Distance(id) {
				t.Fatalf("%s is at %d", id, pruned.Distance(id))
			}
			checkToward(t, tree, only, id)
			for _, kid := range tree.Children(id) {
				if (on[id] && on[kid]) != slices.Contains(pruned.Children(id), kid) {
					t.Fatalf("child %s of %s", kid, id)
				}
			}
		}
	})
}

// checkToward checks that Toward names the neighbours in the tree behind which
// there is anyone named.
func checkToward(t *rapid.T, tree *Tree, only []crux.NodeID, at crux.NodeID) {
	got := tree.Toward(at, only)
	for _, hop := range tree.Adjacent(at) {
		want := false
		for _, id := range only {
			want = want || behind(tree, at, hop, id)
		}
		if want != slices.Contains(got, hop) {
			t.Fatalf("from %s toward %v: %v, of which %s should be %v", at, only, got, hop, want)
		}
	}
}

// behind says whether the way from at to id begins with hop.
func behind(tree *Tree, at, hop, id crux.NodeID) bool {
	if id == at || tree.Distance(id) == Infinity {
		return false
	}
	if path := tree.Path(id); slices.Contains(path, at) {
		return slices.Contains(path, hop) && tree.Distance(hop) > tree.Distance(at)
	}
	p, ok := tree.Parent(at)
	return ok && p == hop
}

func TestAnOriginThatNobodyKnowsReachesNobody(t *testing.T) {
	tb, _ := formed(10)
	tree := tb.Tree(node(99))
	if tree.Distance(node(1)) != Infinity || tree.Distance(node(99)) != Infinity || tree.Reachable() != 0 || tree.Adjacent(node(99)) != nil ||
		tree.Path(node(1)) != nil || tree.Prune(nodes(1)).Reachable() != 0 || len(tree.Pick(rand.New(rand.NewPCG(1, 1)), 3)) != 0 {
		t.Error("it has a tree")
	}
}

func TestPickedNodesAreDifferentAndReachable(t *testing.T) {
	tb, _ := formed(20)
	tree := tb.Tree(node(4))
	for want, n := range map[int]int{0: 0, 3: 3, 19: 25} {
		got := sorted(tree.Pick(rand.New(rand.NewPCG(1, 1)), n))
		if len(got) != want || len(slices.Compact(got)) != want || slices.Contains(got, node(4)) {
			t.Errorf("of %d: %v", n, got)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	const limit = 1 << 20
	g := randomGraph(rand.New(rand.NewPCG(3, 3)), 500, 6)
	tb := fill(New(node(0), NewIndex(), NewCache(limit)), g)
	for i := range 500 {
		if tb.Tree(node(i)).Reachable() != 500 {
			t.Fatal("not everybody is reached")
		}
		bytes := 0
		for _, gen := range []generation{tb.cache.young, tb.cache.old} {
			for _, tr := range gen.trees {
				bytes += tr.bytes()
			}
		}
		if bytes > limit {
			t.Fatalf("%d bytes of trees are kept, %d are allowed", bytes, limit)
		}
	}
}

func BenchmarkTree(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tb := fill(newTable(0), randomGraph(rand.New(rand.NewPCG(1, 1)), n, 6))
			for b.Loop() {
				if buildTree(tb, 0).Reachable() != n {
					b.Fatal("not everybody is reached")
				}
			}
		})
	}
}

func BenchmarkPartition(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tb := fill(newTable(0), randomGraph(rand.New(rand.NewPCG(1, 1)), n, 6))
			for b.Loop() {
				buildPartition(tb)
			}
		})
	}
}

// BenchmarkUpdate is a change of one row, with the neighbours looked at.
func BenchmarkUpdate(b *testing.B) {
	g := randomGraph(rand.New(rand.NewPCG(1, 1)), 1000, 6)
	tb := fill(newTable(0), g)
	a := tb.Get(node(5))
	for b.Loop() {
		a = a.withCard(a.Card)
		a.Clock++
		if _, err := tb.Update(a); err != nil {
			b.Fatal(err)
		}
		tb.events.lost = tb.events.lost[:0]
	}
}
