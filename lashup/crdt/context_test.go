package crdt

import (
	"testing"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

// The universe of the model: marks of a few incarnations of two nodes, in order.
const (
	incarnations = 3
	numbers      = 6
)

func markAt(i int) Mark { return Mark{uint64(i / numbers), uint64(i % numbers)} }

// plain is a Context as a plain set of marks of each node.
type plain map[crux.NodeID]map[int]bool

func drawContext(t *rapid.T, label string) (Context, plain) {
	var c Context
	p := plain{}
	for range rapid.IntRange(0, 12).Draw(t, label) {
		id := crux.NodeID{byte(rapid.IntRange(1, 2).Draw(t, "node"))}
		lo := rapid.IntRange(0, incarnations*numbers-1).Draw(t, "lo")
		hi := min(lo+rapid.IntRange(0, 8).Draw(t, "length"), incarnations*numbers-1)
		if hi == lo+1 && hi%numbers > 0 && rapid.Bool().Draw(t, "dot") {
			c.Add(Dot{Actor{id, markAt(hi).Incarnation}, markAt(hi).Seq})
		} else {
			c.AddSpan(Span{id, markAt(lo), markAt(hi)})
		}
		if p[id] == nil {
			p[id] = map[int]bool{}
		}
		for i := lo + 1; i <= hi; i++ {
			p[id][i] = true
		}
	}
	same(t, c, func(id crux.NodeID, i int) bool { return p[id][i] })
	return c, p
}

// same checks that c is the set that in says, and in its only form.
func same(t *rapid.T, c Context, in func(crux.NodeID, int) bool) {
	for n := range 2 {
		id := crux.NodeID{byte(n + 1)}
		for i := 1; i < incarnations*numbers; i++ {
			if got := c.has(id, markAt(i)); got != in(id, i) {
				t.Fatalf("%v of %v in the set: %v; %v", markAt(i), id, got, c)
			}
		}
	}
	for i, s := range c.spans {
		if s.Lo.Compare(s.Hi) >= 0 || i > 0 && c.spans[i-1].Node == s.Node && c.spans[i-1].Hi.Compare(s.Lo) >= 0 {
			t.Fatalf("not sorted, disjoint and apart: %v", c)
		}
	}
	b := c.Append(nil)
	if got, err := DecodeContext(b); err != nil || !got.Equal(c) || len(b) != c.Size() {
		t.Fatalf("codec: %v, %v; %d bytes, size %d", got, err, len(b), c.Size())
	}
}

// A Context is the set of dots that a plain set is.
func TestContextsAreSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, p := drawContext(t, "a")
		b, q := drawContext(t, "b")
		same(t, a.Intersect(b), func(id crux.NodeID, i int) bool { return p[id][i] && q[id][i] })
		same(t, a.Minus(b), func(id crux.NodeID, i int) bool { return p[id][i] && !q[id][i] })
		if a.Covers(b) != b.Minus(a).Empty() {
			t.Fatalf("covers: %v, %v", a, b)
		}
		u, v := a.Clone(), a.Clone()
		u.Union(b)
		v.merge(b)
		same(t, u, func(id crux.NodeID, i int) bool { return p[id][i] || q[id][i] })
		if !u.Equal(v) {
			t.Fatalf("union of %v and %v: %v or %v", a, b, u, v)
		}
		same(t, a, func(id crux.NodeID, i int) bool { return p[id][i] })
	})
}

func TestTopIsTheHighestNumberOfAnActor(t *testing.T) {
	id := crux.NodeID{1}
	var c Context
	c.AddRange(Actor{id, 2}, 0, 5)
	c.AddRange(Actor{id, 2}, 7, 9)
	c.AddSpan(Span{id, Mark{3, 4}, Mark{6, 2}})
	for _, x := range []struct{ incarnation, top uint64 }{
		{1, 0}, {2, 9}, {3, ^uint64(0)}, {5, ^uint64(0)}, {6, 2}, {7, 0},
	} {
		if got := c.Top(Actor{id, x.incarnation}); got != x.top {
			t.Errorf("top of incarnation %d: %d, want %d", x.incarnation, got, x.top)
		}
	}
	if got := c.Top(Actor{crux.NodeID{2}, 2}); got != 0 {
		t.Errorf("top of another node: %d", got)
	}
	n := 0
	for s := range c.All() {
		n += int(s.Hi.Incarnation)
	}
	if n != 10 || c.Len() != 3 {
		t.Errorf("spans: %v", c)
	}
}
