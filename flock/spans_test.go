package flock

import (
	"testing"

	"pgregory.net/rapid"
)

// spans is the set of versions that a plain set is.
func TestSpansAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		model := map[uint64]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "adds") {
			from := rapid.Uint64Range(0, 60).Draw(t, "from")
			to := from + rapid.Uint64Range(0, 8).Draw(t, "n")
			isNew := false
			for v := from + 1; v <= to; v++ {
				isNew = isNew || !model[v]
				model[v] = true
			}
			if got := s.add(from, to); got != isNew {
				t.Fatalf("add(%d, %d) = %v", from, to, got)
			}
		}
		whole := uint64(0)
		for model[whole+1] {
			whole++
		}
		if s.whole() != whole {
			t.Fatalf("whole = %d, want %d, in %v", s.whole(), whole, s)
		}
		const head = 50
		missing := map[uint64]bool{}
		s.gaps(head, func(g span) bool {
			if g.from >= g.to {
				t.Fatalf("empty gap %v", g)
			}
			for v := g.from + 1; v <= g.to; v++ {
				missing[v] = true
			}
			return true
		})
		for v := uint64(1); v <= head; v++ {
			if missing[v] == model[v] {
				t.Fatalf("version %d: missing %v, have %v", v, missing[v], model[v])
			}
			if s.covers(v-1, v) != model[v] {
				t.Fatalf("covers %d: %v", v, !model[v])
			}
		}
		for i, r := range s {
			if r.from >= r.to || i > 0 && s[i-1].to >= r.from {
				t.Fatalf("not sorted, disjoint and apart: %v", s)
			}
		}
	})
}

func TestSpansAreBounded(t *testing.T) {
	var s spans
	for v := uint64(0); v < 1000; v++ {
		s.add(2*v, 2*v+1)
	}
	if len(s) > maxSpans || s.whole() != 1 {
		t.Errorf("%d ranges, whole to %d", len(s), s.whole())
	}
}
