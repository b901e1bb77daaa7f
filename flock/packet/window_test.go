package packet

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheWindowOfAStrangerRefusesReplays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s stranger
		seen := map[uint64]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			c := rapid.OneOf(rapid.Uint64Range(0, 200), rapid.Uint64()).Draw(t, "counter")
			if !s.fresh(c) {
				continue
			}
			if seen[c] {
				t.Fatalf("counter %d was accepted twice", c)
			}
			s.mark(c)
			seen[c] = true
		}
	})
}
