package crdt

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	merges = flag.Int("merges", 20_000, "merges of the long test of the laws")
	seed   = flag.Uint64("seed", 1, "seed of the long test of the laws")
)

// Replicas that have seen the same operations, by deltas, whole states or parts
// in any order, read as the model does and are equal.
func TestReplicasConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }, t.Fatalf)
		t.Repeat(map[string]func(*rapid.T){"": func(*rapid.T) {}, "step": func(*rapid.T) { h.step() }})
		h.end()
	})
}

// The same with many more merges (flag -merges), and the laws of a join
// semilattice on the states that come up.
func TestLaws(t *testing.T) {
	start, done, histories, folds, checked := time.Now(), 0, 0, 0, 0
	want := *merges
	if testing.Short() {
		want /= 4
	}
	for s := *seed; done < want; s++ {
		rnd := rand.New(rand.NewPCG(s, 1))
		h := newHistory(func(n int) int { return rnd.IntN(n) }, func(f string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d: "+f, append([]any{s}, args...)...)
		})
		if h.resets == 2 {
			h.lives()
		}
		for range 1 + rnd.IntN(3) {
			for range 5 + rnd.IntN(30) {
				h.step()
			}
			if h.folds && rnd.IntN(2) == 0 {
				h.settle()
			}
		}
		h.end()
		h.laws(5)
		done += h.merges
		histories++
		folds += h.folded
		checked += h.checked
	}
	t.Logf("%d merges, %d folds and %d comparisons with the model in %d histories, %v", done, folds, checked, histories, time.Since(start).Round(time.Millisecond))
}

// laws checks associativity, commutativity and idempotence on n triples of
// states of the history.
func (h *history) laws(n int) {
	if len(h.sent) == 0 {
		return
	}
	draw := func() *State { return h.sent[h.pick(len(h.sent))].state }
	join := func(a, b *State) *State {
		h.merges++
		a = a.Clone()
		a.Join(b)
		return a
	}
	for range n {
		a, b, c := draw(), draw(), draw()
		if h.pick(3) == 0 {
			c = h.replicas[0].state
		}
		ab := join(a, b)
		switch {
		case !ab.Equal(join(b, a)):
			h.fail("join is not commutative")
		case !join(ab, c).Equal(join(a, join(b, c))):
			h.fail("join is not associative")
		case !join(a, a).Equal(a) || a.Clone().Join(a):
			h.fail("join is not idempotent")
		case !join(ab, a).Equal(ab) || ab.Clone().Join(b):
			h.fail("a join does not hold its parts")
		}
	}
}
