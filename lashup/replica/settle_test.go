package replica

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
)

// tombs counts the tombstones of all nodes that are up.
func (w *world) tombs() (n int) {
	for _, x := range w.nodes {
		if x.r != nil {
			n += x.r.Stats().Tombstones
		}
	}
	return n
}

func TestTombstonesGoWhenAllHaveThem(t *testing.T) {
	w := newWorld(t, 6, 1)
	w.loss = 0.2
	w.linkAll()
	w.startAll()
	for i := range 20 {
		w.nodes[i%6].put(crdt.Incr(1), "k", fmt.Sprint(i))
		w.nodes[i%6].put(crdt.Incr(1), "node", w.nodes[i%6].id.String(), fmt.Sprint(i))
	}
	w.converge(time.Minute)
	down := w.nodes[5]
	down.crash()
	for i := range 20 {
		w.nodes[(i+1)%5].put(crdt.Reset(), "k", fmt.Sprint(i))
		if i%6 != 5 {
			w.nodes[i%6].put(crdt.Reset(), "node", w.nodes[i%6].id.String(), fmt.Sprint(i))
		}
	}
	w.run(10 * time.Minute)
	if got := w.tombs(); got != 5*(20+17) {
		t.Fatalf("%d tombstones while a member is down: all must wait for it", got)
	}
	down.start()
	w.until(10*time.Minute, "tombstones are forgotten", func() bool { return w.tombs() == 0 })
	w.converge(time.Minute)
	if got := len(w.nodes[0].dump()); got != 3 {
		t.Errorf("%d keys are left", got)
	}
	for _, n := range w.nodes {
		for line := range n.disk {
			if line[0] == lineKey && line[1] == 'k' {
				t.Fatalf("%q is on disk", line)
			}
		}
		if n.r.Stats().Resyncs > 0 {
			t.Error("a member started over")
		}
	}
	// What is written anew comes out right everywhere.
	w.nodes[1].put(crdt.Incr(5), "k", "3")
	w.nodes[5].put(crdt.Incr(7), "k", "3")
	w.converge(time.Minute)
	if got := w.nodes[2].value("k", "3"); got != int64(12) {
		t.Errorf("the counter is %v", got)
	}
}

func TestMembersThatDoNotCountAreNotWaitedFor(t *testing.T) {
	w := newWorld(t, 5, 2)
	w.linkAll()
	w.startAll()
	old := w.nodes[4]
	w.nodes[0].put(crdt.Add(crdt.AddWinsSet, "x"), "gone")
	w.nodes[0].put(crdt.Add(crdt.AddWinsSet, "x"), "stays")
	old.put(crdt.Incr(1), "node", old.id.String(), "own")
	w.converge(time.Minute)
	old.crash()
	w.standing[old.id] = Absent
	w.tellMembers()
	w.nodes[1].put(crdt.Reset(), "gone")
	w.until(10*time.Minute, "tombstones are forgotten", func() bool { return w.tombs() == 0 })

	// It comes back, and writes before it hears of the others.
	w.split([]int{4})
	w.standing[old.id] = Stable
	old.start()
	old.mustWrite(Write{Key: []string{"early"}, Op: crdt.Incr(3)})
	old.mustWrite(Write{Key: testKey(old.id, "own"), Op: crdt.Incr(1)})
	if old.value("gone") == nil {
		t.Fatal("it has not got what was deleted meanwhile")
	}
	watch := old.watch("**")
	w.split()
	w.tellMembers()
	w.converge(time.Minute)
	for _, n := range w.nodes {
		if n.value("gone") != nil || n.value("stays") == nil {
			t.Errorf("node %d: gone is %v, stays is %v", n.index, n.value("gone"), n.value("stays"))
		}
		if got := n.value("early"); got != int64(3) {
			t.Errorf("node %d: what was written early is %v", n.index, got)
		}
		if got := n.value("node", old.id.String(), "own"); got != int64(2) {
			t.Errorf("node %d: its namespace has %v", n.index, got)
		}
	}
	if old.r.Stats().Resyncs != 1 {
		t.Errorf("it started over %d times", old.r.Stats().Resyncs)
	}
	gone := 0
	for _, e := range old.events[watch] {
		if len(e.Key) > 0 && e.Key[0] == "stays" && !e.Existing {
			t.Errorf("a watcher saw %+v of a key that stayed", e)
		}
		if len(e.Key) > 0 && e.Key[0] == "gone" && e.New.Type == 0 {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("watchers were told %d times of the deletion", gone)
	}
	// All of it survives the next start, which is no other start over.
	old.crash()
	old.start()
	w.converge(time.Minute)
	if old.r.Stats().Resyncs != 0 {
		t.Error("it started over again")
	}
}

func TestStartingOverMayBeCutShort(t *testing.T) {
	w := newWorld(t, 4, 3)
	w.hotSize = 60
	w.linkAll()
	w.startAll()
	old := w.nodes[3]
	for i := range 300 {
		w.nodes[0].put(crdt.Assign(crdt.LastWriter, fmt.Sprintf("%0500d", i)), "k", fmt.Sprint(i))
		w.run(time.Millisecond)
	}
	old.put(crdt.Incr(1), "node", old.id.String(), "own")
	w.converge(time.Minute)
	old.crash()
	w.standing[old.id] = Absent
	w.tellMembers()
	for i := range 150 {
		w.nodes[1].put(crdt.Reset(), "k", fmt.Sprint(i))
		w.run(time.Millisecond)
	}
	w.until(10*time.Minute, "tombstones are forgotten", func() bool { return w.tombs() == 0 })
	w.standing[old.id] = Stable
	old.start()
	w.tellMembers()
	for range 10 {
		w.run(time.Duration(w.rng.Int64N(int64(6 * time.Millisecond))))
		old.crash()
		old.start()
	}
	w.converge(2 * time.Minute)
	if got := len(old.dump()); got != 151 {
		t.Errorf("%d keys are left", got)
	}
}

func TestEvictedNodesNamespaceIsDroppedAndComesBack(t *testing.T) {
	w := newWorld(t, 5, 4)
	w.linkAll()
	w.startAll()
	n := w.nodes[2]
	key := testKey(n.id, "own")
	n.put(crdt.Incr(4), key...)
	n.put(crdt.Incr(4), "shared")
	w.converge(time.Minute)
	n.crash()
	w.standing[n.id] = Evicted
	w.tellMembers()
	for _, o := range w.nodes {
		if o != n && (o.value(key...) != nil || o.value("shared") == nil) {
			t.Errorf("node %d has %v and %v", o.index, o.value(key...), o.value("shared"))
		}
	}
	w.run(10 * time.Minute) // its incarnation is closed
	w.standing[n.id] = Stable
	n.start()
	w.tellMembers()
	w.converge(5 * time.Minute)
	for _, o := range w.nodes {
		if o.value(key...) != int64(4) || o.value("shared") != int64(4) {
			t.Errorf("node %d has %v and %v", o.index, o.value(key...), o.value("shared"))
		}
	}
}

func TestRunningNodeWhoseIncarnationWasClosedRenewsIt(t *testing.T) {
	w := newWorld(t, 5, 5)
	w.linkAll()
	w.startAll()
	n := w.nodes[2]
	key := testKey(n.id, "own")
	n.put(crdt.Incr(4), key...)
	w.converge(time.Minute)
	w.split([]int{2})
	w.standing[n.id] = Evicted
	w.tellMembers()
	w.nodes[0].put(crdt.Incr(1), "x")
	w.nodes[0].put(crdt.Reset(), "x")
	w.run(10 * time.Minute)
	w.standing[n.id] = Stable
	w.split()
	w.tellMembers()
	w.until(time.Minute, "it asks for another incarnation", func() bool { return n.renew })
	n.crash()
	n.start()
	w.converge(time.Minute)
	for _, o := range w.nodes {
		if o.value(key...) != int64(4) {
			t.Errorf("node %d has %v", o.index, o.value(key...))
		}
	}
}

func TestIncarnationsAreFoldedOnceClosed(t *testing.T) {
	w := newWorld(t, 4, 6)
	w.loss = 0.1
	w.linkAll()
	w.startAll()
	n := w.nodes[1]
	for range 8 {
		n.put(crdt.Incr(1), "c")
		n.put(crdt.Incr(1), "node", n.id.String(), "c")
		w.run(5 * time.Second)
		n.crash()
		n.start()
	}
	w.converge(time.Minute)
	folded := func() bool {
		for _, o := range w.nodes {
			for _, x := range o.r.durable.nodes {
				if x.seen.Len() > 1 {
					return false
				}
			}
			c := o.r.state(o.r.find("c\x00")).Context()
			if c.Len() > 1 {
				return false
			}
		}
		return true
	}
	w.until(20*time.Minute, "incarnations are folded", folded)
	n.put(crdt.Incr(1), "c")
	w.converge(time.Minute)
	for _, o := range w.nodes {
		if got := o.value("c"); got != int64(9) {
			t.Errorf("the counter is %v", got)
		}
	}
}

func TestHalfOfTheBlocSettlesNothing(t *testing.T) {
	w := newWorld(t, 4, 7)
	w.linkAll()
	w.startAll()
	w.nodes[0].put(crdt.Incr(1), "x")
	w.converge(time.Minute)
	w.split([]int{0, 1}, []int{2, 3})
	w.standing[w.nodes[2].id], w.standing[w.nodes[3].id] = Absent, Absent
	for _, n := range w.nodes[:2] {
		n.do(func(r *Replica) Ready { return r.Members(w.now, w.members()) })
	}
	w.nodes[0].put(crdt.Reset(), "x")
	w.run(30 * time.Minute)
	if w.nodes[0].r.Stats().Tombstones != 1 {
		t.Error("two of four have forgotten a tombstone")
	}
}

func (n *testNode) watch(elements ...string) WatchID {
	n.w.t.Helper()
	return n.watchFrom(Version{}, elements...)
}

func (n *testNode) watchFrom(v Version, elements ...string) WatchID {
	n.w.t.Helper()
	p, err := NewPattern(elements, false)
	if err != nil {
		n.w.t.Fatal(err)
	}
	id, err := n.r.Watch(p, v)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.drain(id)
	return id
}

var chaosSeeds = flag.Uint64("chaos", 0, "run so many seeds of TestChaos")

// TestChaos does everything at once.
func TestChaos(t *testing.T) {
	seeds := uint64(20)
	switch {
	case *chaosSeeds > 0:
		seeds = *chaosSeeds
	case testing.Short():
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, seed) })
	}
}

func chaos(t *testing.T, seed uint64) {
	w := newWorld(t, 3+int(seed)%5, 100+seed)
	w.params = Params{Settle: 3 * time.Second, Grace: 10 * time.Second}
	w.loss = 0.15
	if seed%2 == 1 {
		w.hotSize = 60 // nearly all values are large
	}
	w.linkAll()
	w.startAll()
	acked := map[*testNode]int{}
	own := func(n *testNode) {
		if n.r == nil {
			return
		}
		if a := n.result(n.put(crdt.Incr(1), "node", n.id.String(), "acked")); a.Err == nil {
			acked[n]++
		}
	}
	for range 25 {
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		switch w.rng.IntN(7) {
		case 0:
			if n.r != nil {
				n.crash()
			}
		case 1:
			if n.r == nil {
				n.start()
			}
		case 2:
			k := 1 + w.rng.IntN(len(w.nodes)-1)
			list := w.rng.Perm(len(w.nodes))
			w.split(list[:k], list[k:])
		case 3:
			w.split()
		default:
			w.chatter(time.Duration(1+w.rng.IntN(8))*time.Second, 30)
		}
		own(n)
		w.checkInside()
	}
	w.split()
	for _, n := range w.nodes {
		if n.r == nil {
			n.start()
		}
	}
	w.converge(3 * time.Minute)
	for n, want := range acked {
		if got := n.value("node", n.id.String(), "acked"); got != int64(want) {
			t.Errorf("node %d: %v, and %d were acknowledged", n.index, got, want)
		}
	}
	for _, n := range w.nodes {
		if s := n.r.Stats(); s.Forged+s.Malformed+s.Repaired+s.Resyncs+s.Corrupt > 0 {
			t.Errorf("node %d: %+v %q", n.index, s, n.repaired)
		}
	}
	w.until(3*time.Minute, "tombstones are forgotten", func() bool { return w.tombs() == 0 })
	w.converge(time.Minute)
}
