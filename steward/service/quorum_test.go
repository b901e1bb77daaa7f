package service

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever was acknowledged by a write quorum is seen by every read quorum.
func TestQuorumsMeet(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 2000; n++ {
		w, r := writeQuorum(n), readQuorum(n)
		if w+r <= n || w > n || r > n || w < 1 {
			t.Fatalf("%d members: %d write, %d read", n, w, r)
		}
		if n <= 9 && w != n/2+1 || n > 9 && w != 5 {
			t.Fatalf("%d members: %d must have a document on disk", n, w)
		}
		if leastRead(n) > r {
			t.Fatalf("%d members: %d are read, and never the %d that are wanted", n, r, leastRead(n))
		}
	}
}
