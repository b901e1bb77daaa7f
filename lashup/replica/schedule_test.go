package replica

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAnyScheduleConverges is chaos of which rapid finds the least that goes wrong:
// three nodes, and a list of what happens to them.
func TestAnyScheduleConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, 3, rapid.Uint64().Draw(rt, "seed"))
		w.params = Params{Settle: 2 * time.Second, Grace: 5 * time.Second}
		w.loss = 0.3
		if rapid.Bool().Draw(rt, "large") {
			w.hotSize = 60
		}
		w.linkAll()
		w.startAll()
		lost := false
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			n := w.nodes[rapid.IntRange(0, 2).Draw(rt, "node")]
			switch rapid.IntRange(0, 7).Draw(rt, "what") {
			case 0:
				if n.r != nil {
					n.crash()
					lost = true
				}
			case 1:
				if n.r == nil {
					n.start()
				}
			case 2:
				w.split([]int{n.index})
			case 3:
				w.split()
			case 4:
				if n.r != nil {
					n.handOver()
				}
			default:
				if n.r != nil {
					n.write(randomOp(w.rng, n.id))
				}
			}
			w.run(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
		}
		w.split()
		for _, n := range w.nodes {
			if n.r == nil {
				n.start()
			}
		}
		w.converge(2 * time.Minute)
		if !lost {
			w.checkTruth()
		}
		w.until(5*time.Minute, "tombstones are forgotten", func() bool { return w.tombs() == 0 })
		w.converge(time.Minute)
		for _, n := range w.nodes {
			if s := n.r.Stats(); s.Forged+s.Malformed+s.Repaired+s.Resyncs+s.Corrupt+s.Differences > 0 {
				rt.Errorf("node %d: %+v", n.index, s)
			}
		}
	})
}

func TestFortyReplicasConverge(t *testing.T) {
	if testing.Short() {
		t.Skip("large")
	}
	w := newWorld(t, 40, 1)
	w.loss = 0.05
	w.linkAll()
	for i := range w.nodes {
		for range 2 {
			if k := w.rng.IntN(len(w.nodes)); k != i {
				w.link(i, k)
			}
		}
	}
	w.startAll()
	w.chatter(20*time.Second, 400)
	n := w.nodes[7]
	n.stop()
	clear(n.disk)
	n.start() // replaced
	for range 5 {
		w.nodes[w.rng.IntN(40)].crash()
		w.chatter(2*time.Second, 40)
	}
	for _, n := range w.nodes {
		if n.r == nil {
			n.start()
		}
	}
	w.converge(5 * time.Minute)
	idle, at := w.linkBytes+w.castBytes, w.now
	w.run(time.Minute)
	perSecond := float64(w.linkBytes+w.castBytes-idle) / (w.now - at).Seconds() / 40
	t.Logf("idle: %.0f bytes a second and node", perSecond)
	if perSecond > 100 {
		t.Errorf("%.0f bytes a second and node when nothing happens", perSecond)
	}
}
