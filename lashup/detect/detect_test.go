package detect

import (
	"testing"
	"time"
)

// seeds is how many worlds a test looks at.
func seeds(n int) int {
	if testing.Short() {
		return max(2, n/25)
	}
	return n
}

func TestASilentNodeIsFoundDead(t *testing.T) {
	detection(t, seeds(150), 0.01, (*node).kill, Dead)
}

func TestAHungNodeIsFoundHung(t *testing.T) {
	detection(t, seeds(100), 0.01, (*node).hang, Hung)
}

func TestASilentNodeIsFoundDeadAtTenPercentLoss(t *testing.T) {
	detection(t, seeds(100), 0.1, (*node).kill, Dead)
}

// A small group for an hour, with losses.
func TestLossAloneCausesNoVerdict(t *testing.T) {
	for _, loss := range []float64{0.01, 0.1} {
		hours := 1 * time.Hour
		if testing.Short() {
			hours /= 40
		}
		w := newWorld(10, 6, 1, loss)
		w.net.RunUntil(hours)
		t.Logf("loss %.0f%%: %.0f B/s a node", 100*loss, w.bytes()/hours.Seconds())
		if len(w.log) > 0 {
			t.Errorf("loss %.0f%%: %d verdicts: %+v", 100*loss, len(w.log), w.log[0])
		}
	}
}
