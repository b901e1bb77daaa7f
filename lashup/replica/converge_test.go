package replica

import (
	"fmt"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// seeds is how many seeds a test has: n, and half of that with -short.
func seeds(n uint64) uint64 {
	if testing.Short() {
		return (n + 1) / 2
	}
	return n
}

// chatter lets nodes write at random for a while.
func (w *world) chatter(d time.Duration, writes int) {
	for range writes {
		at := w.now + time.Duration(w.rng.Int64N(int64(d)))
		w.at(at, func() {
			n := w.nodes[w.rng.IntN(len(w.nodes))]
			if n.r == nil {
				return
			}
			list := []Write{randomOp(w.rng, n.id)}
			for w.rng.IntN(3) == 0 {
				list = append(list, randomOp(w.rng, n.id))
			}
			n.write(list...)
		})
	}
	w.run(d)
}

func TestReplicasConvergeThoughCastsAreLost(t *testing.T) {
	for seed := range seeds(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, 3+int(seed), seed)
			w.loss = 0.1 * float64(seed)
			w.linkAll()
			w.startAll()
			w.chatter(10*time.Second, 300)
			w.converge(time.Minute)
			w.checkTruth()
			for _, n := range w.nodes {
				if s := n.r.Stats(); s.Forged+s.Malformed+s.Differences+s.Resyncs > 0 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

func TestCountersOfAllNodesAreExact(t *testing.T) {
	w := newWorld(t, 7, 1)
	w.loss = 0.2
	w.linkAll()
	w.startAll()
	for i := range 200 {
		n := w.nodes[i%7]
		n.put(crdt.Incr(1), "shared")
		n.put(crdt.Incr(1), "own", n.id.String())
		n.put(crdt.Incr(1), "node", n.id.String(), "count")
		w.run(5 * time.Millisecond)
	}
	w.converge(time.Minute)
	for _, n := range w.nodes {
		if got := n.value("shared"); got != int64(200) {
			t.Errorf("shared is %v", got)
		}
		for i, o := range w.nodes {
			want := int64(28)
			if i < 4 {
				want = 29
			}
			if got := n.value("own", o.id.String()); got != want {
				t.Errorf("own is %v, want %d", got, want)
			}
			if got := n.value("node", o.id.String(), "count"); got != want {
				t.Errorf("namespace is %v, want %d", got, want)
			}
		}
	}
}

func TestPartsOfTheNetConvergeWhenItHeals(t *testing.T) {
	w := newWorld(t, 8, 3)
	w.loss = 0.1
	w.linkAll()
	w.startAll()
	w.chatter(2*time.Second, 50)
	w.split([]int{0, 1, 2}, []int{3, 4, 5, 6, 7})
	w.chatter(20*time.Second, 200)
	w.split()
	w.converge(time.Minute)
	w.checkTruth()
}

func TestCrashesLoseNothingThatWasAcknowledged(t *testing.T) {
	for seed := range seeds(4) {
		w := newWorld(t, 5, 10+seed)
		w.loss = 0.2
		w.linkAll()
		w.startAll()
		acked, sent := map[string]int64{}, map[string]int64{}
		for range 40 {
			n := w.nodes[w.rng.IntN(5)]
			for range 5 {
				for i, id := range []string{"c", n.id.String()} {
					key := []string{"c"}
					if i == 1 {
						key = testKey(n.id, "c")
					}
					sent[id]++
					token := n.write(Write{Key: key, Op: crdt.Incr(1)})
					w.run(time.Duration(w.rng.IntN(4)) * time.Millisecond)
					if a, ok := n.acks[token]; ok && a.Err == nil {
						acked[id]++
					}
				}
			}
			n.crash()
			w.run(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
			n.start()
			w.run(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
		}
		w.converge(2 * time.Minute)
		for id := range sent {
			key := []string{"c"}
			if id != "c" {
				key = []string{"node", id, "c"}
			}
			got, _ := w.nodes[0].value(key...).(int64)
			if got < acked[id] || got > sent[id] {
				t.Errorf("seed %d: %v is %d: %d were acknowledged, %d sent", seed, key, got, acked[id], sent[id])
			}
		}
	}
}

func TestReplacedNodeGetsEverything(t *testing.T) {
	w := newWorld(t, 5, 4)
	w.linkAll()
	w.startAll()
	w.chatter(5*time.Second, 200)
	w.converge(time.Minute)
	n := w.nodes[2]
	before := n.dump()
	n.stop()
	clear(n.disk)
	w.run(time.Second)
	n.start()
	w.converge(time.Minute)
	w.checkTruth()
	if after := n.dump(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("had %v\nhas %v", before, after)
	}
}

func TestVolatileKeysAreTheLatestOnly(t *testing.T) {
	w := newWorld(t, 5, 5)
	w.loss = 0.3
	w.linkAll()
	w.startAll()
	key := func(n *testNode) []string { return []string{"node", n.id.String(), "volatile", "depth"} }
	put := func(n *testNode, v string) {
		n.mustWrite(Write{Key: key(n), Op: crdt.Assign(crdt.LastWriter, v), Volatile: true})
	}
	for i := range 20 {
		for _, n := range w.nodes {
			put(n, fmt.Sprint(i))
		}
		w.run(50 * time.Millisecond)
	}
	all := func(want string) func() bool {
		return func() bool {
			for _, n := range w.nodes {
				for _, o := range w.nodes[1:] {
					if n.value(key(o)...) != want {
						return false
					}
				}
			}
			return true
		}
	}
	w.until(time.Minute, "all are the latest", all("19"))
	for _, n := range w.nodes {
		for line := range n.disk {
			if line[0] == lineKey {
				t.Errorf("%q is on disk", line)
			}
		}
	}
	n := w.nodes[0]
	for _, first := range []bool{false, true} { // true: it has lost its disk
		put(n, "of an earlier incarnation")
		w.run(time.Second)
		n.crash()
		n.first = first
		n.start()
		w.until(time.Minute, "those of the earlier incarnation are gone", func() bool {
			for _, o := range w.nodes {
				if o.value(key(n)...) != nil {
					return false
				}
			}
			return true
		})
		w.until(time.Minute, "it has the others'", all("19"))
	}
	put(n, "new")
	w.until(time.Minute, "all have the new one", func() bool {
		for _, o := range w.nodes {
			if o.value(key(n)...) != "new" {
				return false
			}
		}
		return true
	})
	w.checkInside()
}

func testKey(id crux.NodeID, name ...string) []string {
	return append([]string{ownedElement, id.String()}, name...)
}
