package replica

import (
	"fmt"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// handOver replaces a node's process by another of the same incarnation.
func (n *testNode) handOver() {
	n.w.t.Helper()
	n.w.until(time.Minute, "all is on disk", func() bool { return len(n.unsynced) == 0 })
	b, err := n.r.Export(n.w.now)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.stop()
	r := n.open()
	out, err := r.Import(n.w.now, b)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.carry(out)
	n.wake()
}

func TestSuccessorGoesOn(t *testing.T) {
	w := newWorld(t, 4, 1)
	w.loss = 0.1
	w.linkAll()
	w.startAll()
	w.chatter(3*time.Second, 60)
	n := w.nodes[1]
	depth := testKey(n.id, "volatile", "depth")
	n.mustWrite(Write{Key: depth, Op: assign("7"), Volatile: true})
	id := n.watch("**")
	last := n.events[id][len(n.events[id])-1].Version
	n.mustWrite(Write{Key: []string{"after"}, Op: crdt.Incr(1)})
	before, number := n.dump(), n.r.number
	n.handOver()
	if got := n.dump(); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("had %v\nhas %v", before, got)
	}
	if n.value(depth...) != "7" || n.r.number != number {
		t.Errorf("depth is %v, version %d of %d", n.value(depth...), n.r.number, number)
	}
	id = n.watchFrom(last, "**")
	events := n.events[id]
	if end := events[len(events)-1]; end.Kind != Synced || end.Whole {
		t.Errorf("the watch ended with %+v: want to resume", end)
	}
	found := 0
	for _, e := range events {
		if e.Kind == Changed && e.Key[0] == "after" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("what came after was told %d times", found)
	}
	n.mustWrite(Write{Key: depth, Op: assign("8"), Volatile: true})
	w.chatter(3*time.Second, 60)
	w.converge(time.Minute)
	w.checkTruth()
	w.until(time.Minute, "volatile values go on", func() bool { return w.nodes[3].value(depth...) == "8" })
	for _, o := range w.nodes {
		if s := o.r.Stats(); s.Forged+s.Malformed+s.Resyncs+s.Differences > 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestVersionsOutliveHandovers: a watch resumes where it was, also after two handovers,
// or is given everything if that is too long ago.
func TestVersionsOutliveHandovers(t *testing.T) {
	disk := map[string][]byte{}
	a := newBare(t, 0, disk)
	a.carry(a.LoadDone(0))
	a.fill(t, 100)
	old := a.version(a.number)
	write := func(key string) Version {
		a.carry(a.Write(a.now, testWall(a.now), Request{1, []Write{{Key: []string{key}, Op: crdt.Incr(1)}}}))
		return a.version(a.number)
	}
	handOver := func() {
		b, err := a.Export(a.now)
		if err != nil {
			t.Fatal(err)
		}
		next := newBare(t, 0, disk)
		for k, v := range disk {
			if err := next.Load([]byte(k), v); err != nil {
				t.Fatal(err)
			}
		}
		next.carry(next.LoadDone(a.now))
		out, err := next.Import(a.now, b)
		if err != nil {
			t.Fatal(err)
		}
		next.carry(out)
		a = next
		checkReplica(t, a.Replica)
	}
	missed := func(since Version) (n int, whole bool) {
		id, err := a.Watch(Pattern{}, since)
		if err != nil {
			t.Fatal(err)
		}
		list, _ := a.Next(id, 1<<20)
		return len(list) - 1, list[len(list)-1].Whole
	}
	write("a")
	recent := write("b")
	for range 2 {
		handOver()
		write("b")
		write("c")
	}
	handOver()
	for since, want := range map[Version]int{recent: 2, old: 3, a.version(a.number): 0} {
		if n, whole := missed(since); n != want || whole {
			t.Errorf("after %v: %d keys, whole: %v; want %d", since, n, whole, want)
		}
	}
	many := maxRecent/100*100 + 100
	a.fill(t, many)
	handOver()
	if n, whole := missed(recent); n != many+3 || !whole {
		t.Errorf("what is not known any more: %d keys, whole: %v", n, whole)
	}
	if n, whole := missed(write("d")); n != 0 || whole {
		t.Errorf("after the last change: %d keys, whole: %v", n, whole)
	}
}

// Cards of incarnations that have ended are known to those alone who keep them.
func TestCardsAreKeptWithTheKeysThatNeedThem(t *testing.T) {
	w := newWorld(t, 3, 1)
	w.linkAll()
	w.startAll()
	n := w.nodes[0]
	n.mustWrite(Write{Key: testKey(n.id, "volatile", "x"), Op: assign("1"), Volatile: true})
	n.mustWrite(Write{Key: testKey(n.id, "y"), Op: assign("1")})
	w.converge(time.Minute)
	for range 3 {
		for _, o := range w.nodes {
			o.crash()
			o.start()
		}
		w.converge(time.Minute)
	}
	w.nodes[2].stop()
	clear(w.nodes[2].disk)
	w.nodes[2].start()
	w.converge(time.Minute)
	for _, o := range w.nodes {
		if o.value(testKey(n.id, "y")...) != "1" || o.r.Stats().Corrupt+o.r.Stats().Forged > 0 {
			t.Errorf("node %d: %v, %+v", o.index, o.value(testKey(n.id, "y")...), o.r.Stats())
		}
	}
	n.mustWrite(Write{Key: testKey(n.id, "y"), Op: assign("2")})
	w.converge(time.Minute)
	for _, o := range w.nodes {
		cards := 0
		for line := range o.disk {
			if line[0] == lineCard {
				cards++
			}
		}
		if cards != 1 {
			t.Errorf("node %d keeps %d cards", o.index, cards)
		}
	}
}

func TestHandoverIsRefusedWhileAnythingIsUnsaved(t *testing.T) {
	w, n := alone(t)
	n.stalled = true
	n.put(crdt.Incr(1), "a")
	if _, err := n.r.Export(w.now); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("%v", err)
	}
}

func TestExportsOfOthersAreRefused(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.startAll()
	w.nodes[0].mustWrite(Write{Key: []string{"a"}, Op: crdt.Incr(1)})
	b, err := w.nodes[0].r.Export(w.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.nodes[1].r.Import(w.now, b); crux.KindOf(err) != crux.Conflict {
		t.Errorf("another node's: %v", err)
	}
	for i := range b {
		if _, err := w.nodes[0].r.Import(w.now, b[:i]); err == nil {
			t.Fatalf("%d bytes of %d were taken", i, len(b))
		}
	}
	if _, err := w.nodes[0].r.Import(w.now, append(b, 0)); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("a byte too many: %v", err)
	}
}

// Volatile keys go over however many writes made them.
func TestManyVolatileKeysAreHandedOver(t *testing.T) {
	w, n := alone(t)
	const many = maxBatches + 200
	for i := range many {
		n.mustWrite(Write{Key: testKey(n.id, "volatile", fmt.Sprint(i)), Op: assign("x"), Volatile: true})
	}
	w.until(time.Minute, "the disk", func() bool { return len(n.unsynced) == 0 })
	b, err := n.r.Export(w.now)
	if err != nil {
		t.Fatal(err)
	}
	n.stop()
	r := n.open()
	if _, err := r.Import(w.now, b); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if v, err := r.Get(testKey(n.id, "volatile", fmt.Sprint(i))); err != nil || v.Value.Type == 0 {
			t.Fatalf("key %d: %+v, %v", i, v, err)
		}
	}
}

// Those that are too large together come back from the others.
func TestVolatileKeysThatDoNotFitComeBack(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	w := newWorld(t, 2, 1)
	w.limits = Limits{CastRate: 1 << 30, Casts: 1 << 30}
	w.linkAll()
	w.startAll()
	n, big := w.nodes[0], string(make([]byte, 900<<10))
	const many = maxExport/(900<<10) + 4
	have := func() (c int) {
		for i := range many {
			if n.value(testKey(n.id, "volatile", fmt.Sprintf("%02d", i))...) != nil {
				c++
			}
		}
		return c
	}
	for i := range many {
		n.mustWrite(Write{Key: testKey(n.id, "volatile", fmt.Sprintf("%02d", i)), Op: assign(big), Volatile: true})
		w.run(50 * time.Millisecond)
	}
	w.run(time.Minute)
	n.handOver()
	if c := have(); c == 0 || c == many {
		t.Errorf("%d of %d are handed over", c, many)
	}
	w.until(5*time.Minute, "the rest", func() bool { return have() == many })
}
