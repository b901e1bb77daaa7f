package replica

import (
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
)

// Nobody waits for a node that was evicted: what was deleted is forgotten.
func TestTheEvictedAreNotWaitedFor(t *testing.T) {
	w := newWorld(t, 4, 9)
	w.linkAll()
	w.startAll()
	n := w.nodes[3]
	n.put(crdt.Incr(1), "k")
	w.converge(time.Minute)
	n.crash()
	w.standing[n.id] = Evicted
	w.tellMembers()
	w.nodes[0].put(crdt.Reset(), "k")
	w.until(20*time.Minute, "the deletion to be forgotten", func() bool {
		for _, o := range w.nodes[:3] {
			if o.r.keys.n > 0 {
				return false
			}
		}
		return true
	})
}

// An eviction that is taken back, and one that only some have heard of, leave no
// difference behind, though the node ran on.
func TestAnEvictionMayBeTakenBack(t *testing.T) {
	for name, told := range map[string]int{"all were told": 5, "one was told": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 5, 4)
			w.linkAll()
			w.startAll()
			n := w.nodes[4]
			key := testKey(n.id, "own")
			n.put(crdt.Incr(4), key...)
			w.converge(time.Minute)
			w.standing[n.id] = Evicted
			for _, o := range w.nodes[:min(told, 4)] {
				o.do(func(r *Replica) Ready { return r.Members(w.now, w.members()) })
				if o.value(key...) != nil {
					t.Fatalf("node %d has its keys still", o.index)
				}
			}
			w.run(30 * time.Second)
			w.standing[n.id] = Stable
			w.tellMembers()
			w.converge(5 * time.Minute)
			for _, o := range w.nodes {
				if o.value(key...) != int64(4) {
					t.Errorf("node %d has %v", o.index, o.value(key...))
				}
			}
		})
	}
}

func TestANodeIsAloneWhereAllOthersWereEvicted(t *testing.T) {
	for name, c := range map[string]struct {
		standing Standing // of the other
		alone    bool
	}{"nobody else": {0, true}, "evicted": {Evicted, true}, "absent": {Absent, false}, "stable": {Stable, false}} {
		w := newWorld(t, 2, 1)
		w.standing[w.nodes[1].id] = c.standing
		w.nodes[0].start()
		if got := w.nodes[0].r.early.over; got != c.alone {
			t.Errorf("%s: it is alone: %v", name, got)
		}
	}
}
