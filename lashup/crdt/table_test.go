package crdt

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A table is the sorted map that a plain map is, whatever comes and goes.
func TestTablesAreSortedMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x table[int]
		model := map[string]int{}
		for range rapid.IntRange(0, 20).Draw(t, "rounds") {
			from := rapid.IntRange(0, 400).Draw(t, "from")
			step := rapid.SampledFrom([]int{1, -1, 7}).Draw(t, "step")
			drop := rapid.Bool().Draw(t, "drop")
			for i := range rapid.IntRange(0, 300).Draw(t, "n") {
				key := fmt.Sprintf("%04d", from+step*i+5000)
				if drop {
					x.drop(key)
					delete(model, key)
				} else {
					x.put(key, i)
					model[key] = i
				}
			}
		}
		copied := x.clone(func(v *int) int { return *v })
		for _, x := range []table[int]{x, copied} {
			keys := slices.Sorted(maps.Keys(model))
			i := 0
			for key, v := range x.all() {
				if i == len(keys) || key != keys[i] || *v != model[key] || x.find(key) != v {
					t.Fatalf("key %q is %d, at %d", key, *v, i)
				}
				i++
			}
			if i != len(model) || x.n != i || x.find("x") != nil {
				t.Fatalf("%d keys, n %d, want %d", i, x.n, len(model))
			}
		}
	})
}
