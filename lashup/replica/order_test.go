package replica

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// An order behaves as a sorted slice.
func TestOrderIsASortedSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o order[int]
		var want []int
		if rapid.Bool().Draw(t, "filled") {
			want = rapid.SliceOfN(rapid.IntRange(0, 5000), 0, 2000).Draw(t, "list")
			slices.Sort(want)
			o.fill(want)
		}
		rising := rapid.Bool().Draw(t, "rising")
		for i := range rapid.IntRange(0, 1500).Draw(t, "steps") {
			x := (i*7919 + 13) % 4001
			if rising {
				x = 5000 + i
			}
			at := o.seek(func(y *int) bool { return *y < x })
			k, _ := slices.BinarySearch(want, x)
			if p := o.at(at); (p == nil) != (k == len(want)) || p != nil && *p != want[k] {
				t.Fatalf("%d is sought wrongly", x)
			}
			if k < len(want) && i%3 == 0 {
				o.remove(at)
				want = slices.Delete(want, k, k+1)
			} else {
				o.insert(at, x)
				want = slices.Insert(want, k, x)
			}
		}
		var got, back []int
		for at := (spot{}); o.at(at) != nil; at = o.next(at) {
			got = append(got, *o.at(at))
		}
		for at, ok := o.prev(spot{len(o.chunks), 0}); ok; at, ok = o.prev(at) {
			back = append(back, *o.at(at))
		}
		slices.Reverse(back)
		if !slices.Equal(got, want) || !slices.Equal(back, want) || o.n != len(want) {
			t.Fatalf("%d items, want %d", len(got), len(want))
		}
		for _, c := range o.chunks {
			if len(c) == 0 || len(c) > orderChunk {
				t.Fatalf("a chunk of %d", len(c))
			}
		}
	})
}

// A vector's hash depends on what was received, and not on how it came.
func TestVectorsHashWhatTheyHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newVector(), newVector()
		var list []crdt.Span
		for range rapid.IntRange(0, 30).Draw(t, "spans") {
			lo := uint64(rapid.IntRange(0, 30).Draw(t, "lo"))
			list = append(list, crdt.Span{
				Node: testID(rapid.IntRange(0, 3).Draw(t, "node")),
				Lo:   crdt.Mark{Incarnation: 1, Seq: lo},
				Hi:   crdt.Mark{Incarnation: 1, Seq: lo + uint64(rapid.IntRange(1, 5).Draw(t, "length"))},
			})
		}
		for _, s := range list {
			a.add(s)
		}
		for _, i := range rapid.Permutation(indices(len(list))).Draw(t, "order") {
			b.add(list[i])
		}
		if a.hash() != b.hash() || !a.context(nil).Equal(b.context(nil)) {
			t.Fatal("the order matters")
		}
		n := 1 << rapid.IntRange(0, 8).Draw(t, "groups")
		if !slices.Equal(a.groups(n), b.groups(n)) {
			t.Fatal("the sums differ")
		}
		was := a.hash()
		news := a.add(crdt.Span{Node: testID(9), Lo: crdt.Mark{Incarnation: 1}, Hi: crdt.Mark{Incarnation: 1, Seq: 1}})
		if !news || a.hash() == was || slices.Equal(a.groups(n), b.groups(n)) {
			t.Fatal("more makes no difference")
		}
		for _, s := range list {
			if !a.has(s) || a.add(s) {
				t.Fatalf("%v is not there", s)
			}
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestGroupsCoverAllNodes(t *testing.T) {
	for n := 1; n <= maxGroups; n *= 2 {
		last := 0
		for b := range 256 {
			g := groupOf(crux.NodeID{byte(b)}, n)
			if g != last && g != last+1 || g >= n {
				t.Fatalf("%d of %d groups for %d", g, n, b)
			}
			last = g
		}
		if last != n-1 {
			t.Fatalf("%d groups, and the last is %d", n, last)
		}
	}
}

func TestRangesAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []Range
		want := map[uint64]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "ranges") {
			lo := uint64(rapid.IntRange(0, 40).Draw(t, "lo"))
			hi := lo + uint64(rapid.IntRange(1, 6).Draw(t, "length"))
			list = addRange(list, Range{lo, hi})
			for x := lo + 1; x <= hi; x++ {
				want[x] = true
			}
		}
		n := 0
		for i, x := range list {
			if i > 0 && list[i-1].Hi >= x.Lo {
				t.Fatalf("%v touch", list)
			}
			for s := x.Lo + 1; s <= x.Hi; s++ {
				n++
				if !want[s] {
					t.Fatalf("%d is not in it", s)
				}
			}
		}
		if n != len(want) {
			t.Fatalf("%d numbers, want %d", n, len(want))
		}
	})
}
