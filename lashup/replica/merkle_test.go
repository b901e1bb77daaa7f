package replica

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

func testLeaves(n int) []hash {
	out := make([]hash, n)
	for i := range out {
		out[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return out
}

// slowRoot is the root by definition.
func slowRoot(level []hash) hash {
	if len(level) == 1 {
		return level[0]
	}
	var up []hash
	for ; len(level) > 1; level = level[2:] {
		up = append(up, innerHash(level[0], level[1]))
	}
	return slowRoot(append(up, level...))
}

func TestAnyLeavesProveTheRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "leaves")
		leaves := testLeaves(n)
		root, ways := paths(leaves)
		if root != slowRoot(leaves) {
			t.Fatal("another root")
		}
		var at []int
		var proofs []*proof
		var some []hash
		for i := range n {
			if got, ok := rootOf(n, i, leaves[i], ways[i]); !ok || got != root {
				t.Fatalf("leaf %d does not prove the root", i)
			}
			if rapid.Bool().Draw(t, "in") {
				at = append(at, i)
				some = append(some, leaves[i])
				proofs = append(proofs, &proof{leaf: i, path: ways[i]})
			}
		}
		if len(at) == 0 {
			return
		}
		hashes := gatherHashes(n, proofs)
		got, back, ok := spread(n, at, some, hashes)
		if !ok || got != root {
			t.Fatal("they do not prove the root together")
		}
		for i, p := range at {
			if !slices.Equal(back[i], ways[p]) {
				t.Fatalf("the path of leaf %d comes out different", p)
			}
		}
		if len(at) == n && len(hashes) > 0 {
			t.Fatalf("all leaves need %d hashes beside them", len(hashes))
		}
		if _, _, ok := spread(n, at, some, append(slices.Clone(hashes), hash{})); ok {
			t.Fatal("a hash too many is taken")
		}
		if len(hashes) > 0 {
			if _, _, ok := spread(n, at, some, hashes[1:]); ok {
				t.Fatal("a hash too few is taken")
			}
		}
		some[0][0] ^= 1
		if got, _, _ := spread(n, at, some, hashes); got == root {
			t.Fatal("another leaf proves the root")
		}
	})
}

func TestLeavesBindEverything(t *testing.T) {
	sum := sumOf(crdt.Value{Type: crdt.Counter, Int: 1})
	base := leafHash("bloc", "a\x00", crdt.Mark{Incarnation: 1, Seq: 2}, sum)
	for name, other := range map[string]hash{
		"bloc":        leafHash("blo", "a\x00", crdt.Mark{Incarnation: 1, Seq: 2}, sum),
		"key":         leafHash("bloc", "b\x00", crdt.Mark{Incarnation: 1, Seq: 2}, sum),
		"incarnation": leafHash("bloc", "a\x00", crdt.Mark{Incarnation: 2, Seq: 2}, sum),
		"number":      leafHash("bloc", "a\x00", crdt.Mark{Incarnation: 1, Seq: 3}, sum),
		"value":       leafHash("bloc", "a\x00", crdt.Mark{Incarnation: 1, Seq: 2}, sumOf(crdt.Value{Type: crdt.Counter, Int: 2})),
		"deletion":    leafHash("bloc", "a\x00", crdt.Mark{Incarnation: 1, Seq: 2}, sumOf(crdt.Value{})),
		"split":       leafHash(crux.BlocID("bloca"), "\x00", crdt.Mark{Incarnation: 1, Seq: 2}, sum),
	} {
		if other == base {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func TestValuesThatDifferAreEncodedDifferently(t *testing.T) {
	text := func(typ crdt.Type, s ...string) crdt.Value { return crdt.Value{Type: typ, Text: s} }
	list := []crdt.Value{
		{}, {Type: crdt.Counter}, {Type: crdt.Counter, Int: -1}, {Type: crdt.Counter, Int: 1},
		{Type: crdt.EnableWinsFlag}, {Type: crdt.EnableWinsFlag, Flag: true}, {Type: crdt.DisableWinsFlag},
		text(crdt.LastWriter, ""), text(crdt.LastWriter, "a"), text(crdt.MultiValue, "a"), text(crdt.MultiValue, "a", "b"), text(crdt.MultiValue, "ab"),
		text(crdt.AddWinsSet, "a"), text(crdt.RemoveWinsSet, "a"),
		{Type: crdt.Map, Fields: []crdt.NamedValue{{Name: "a", Value: crdt.Value{Type: crdt.Counter}}}},
		{Type: crdt.Map, Fields: []crdt.NamedValue{{Name: "a", Value: text(crdt.LastWriter, "b")}, {Name: "c", Value: text(crdt.LastWriter, "d")}}},
		{Type: crdt.Map, Fields: []crdt.NamedValue{{Name: "a", Value: text(crdt.MultiValue, "b", "c", "d")}}},
	}
	for i, a := range list {
		for k, b := range list {
			if sameValue(a, b) != (i == k) {
				t.Errorf("%+v and %+v are the same: %v", a, b, i != k)
			}
		}
	}
}
