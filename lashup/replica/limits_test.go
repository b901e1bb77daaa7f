package replica

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

func TestRequestsAreAppliedWholeOrNot(t *testing.T) {
	w, n := alone(t)
	n.mustWrite(Write{Key: []string{"set"}, Op: crdt.Add(crdt.AddWinsSet, "x")})
	before := n.dump()
	seq := n.r.seq
	x, err := n.r.Get([]string{"set"})
	if err != nil {
		t.Fatal(err)
	}
	n.mustWrite(Write{Key: []string{"set"}, Op: crdt.Add(crdt.AddWinsSet, "y"), Seen: &x.Context})
	good := Write{Key: []string{"set"}, Op: crdt.Add(crdt.AddWinsSet, "z")}
	fresh := Write{Key: []string{"new"}, Op: crdt.Incr(1)}
	for name, c := range map[string]struct {
		bad  Write
		kind crux.Kind
	}{
		"stale context":       {Write{Key: []string{"set"}, Op: crdt.Reset(), Seen: &x.Context}, crux.Conflict},
		"another type":        {Write{Key: []string{"set"}, Op: crdt.Incr(1)}, crux.Invalid},
		"no operation":        {Write{Key: []string{"set"}}, crux.Invalid},
		"no key":              {Write{Op: crdt.Incr(1)}, crux.Invalid},
		"reserved":            {Write{Key: []string{"node", "x"}, Op: crdt.Incr(1)}, crux.Invalid},
		"another's":           {Write{Key: testKey(testID(5), "x"), Op: crdt.Incr(1)}, crux.Denied},
		"volatile elsewhere":  {Write{Key: []string{"x"}, Op: crdt.Incr(1), Volatile: true}, crux.Invalid},
		"not volatile there":  {Write{Key: testKey(n.id, "volatile", "x"), Op: crdt.Incr(1)}, crux.Invalid},
		"larger than allowed": {Write{Key: []string{"big"}, Op: assign(strings.Repeat("x", 1<<20))}, crux.Exhausted},
	} {
		a := n.result(n.write(good, fresh, c.bad))
		if crux.KindOf(a.Err) != c.kind || a.Version != (Version{}) {
			t.Errorf("%s: %v", name, a.Err)
		}
		b := n.result(n.write(c.bad))
		if crux.KindOf(b.Err) != c.kind {
			t.Errorf("%s, alone: %v", name, b.Err)
		}
	}
	if a := n.result(n.write()); crux.KindOf(a.Err) != crux.Invalid {
		t.Errorf("nothing: %v", a.Err)
	}
	before["set"] = "[x y]"
	if got := n.dump(); !maps.Equal(got, before) || n.r.seq != seq+1 {
		t.Errorf("there is %v at %d, want %v at %d", got, n.r.seq, before, seq+1)
	}
	checkReplica(t, n.r)
	_ = w
}

func TestRemovingWhatIsNotThereIsNoError(t *testing.T) {
	_, n := alone(t)
	for range 3 {
		n.mustWrite(Write{Key: []string{"set"}, Op: crdt.Remove(crdt.AddWinsSet, "x")})
		n.mustWrite(Write{Key: []string{"key"}, Op: crdt.Reset()})
	}
	if got := n.dump(); len(got) > 0 {
		t.Errorf("there is %v", got)
	}
}

func TestQueuesAreLimited(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.limits = Limits{Unsaved: 2000, Keys: 30, Volatile: 2}
	w.linkAll()
	w.startAll()
	n := w.nodes[0]
	n.stalled = true
	var refused Ack
	sent := 0
	for ; sent < 100 && refused.Err == nil; sent++ {
		token := n.put(assign(strings.Repeat("x", 100)), "k", fmt.Sprint(sent%10))
		refused = n.acks[token]
	}
	if crux.KindOf(refused.Err) != crux.Exhausted || sent < 5 || n.r.Stats().Unsaved < 2000 {
		t.Fatalf("after %d writes to a disk that stands still: %v", sent, refused.Err)
	}
	// Others' updates are dropped when it goes on like that, and fetched later.
	for i := range 100 {
		w.nodes[1].put(assign(strings.Repeat("y", 100)), "o", fmt.Sprint(i%10))
		w.run(10 * time.Millisecond)
	}
	if s := n.r.Stats(); s.Dropped == 0 || s.Unsaved > 6000 {
		t.Errorf("%+v", s)
	}
	n.stalled = false
	n.syncSoon()
	w.converge(time.Minute)
	var err error
	for i := 0; i < 50 && err == nil; i++ {
		err = n.result(n.put(crdt.Incr(1), "many", fmt.Sprint(i))).Err
	}
	if crux.KindOf(err) != crux.Exhausted || n.r.keys.n != 30 {
		t.Errorf("%d keys: %v", n.r.keys.n, err)
	}
	for i := range 3 {
		a := n.result(n.write(Write{Key: testKey(n.id, "volatile", fmt.Sprint(i)), Op: crdt.Incr(1), Volatile: true}))
		if (a.Err != nil) != (i == 2) && n.r.keys.n < 30 {
			t.Errorf("volatile key %d: %v", i, a.Err)
		}
	}
}

func TestCastsAreLimited(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.limits = Limits{Casts: 20_000, CastRate: 100_000}
	w.linkAll()
	w.startAll()
	n := w.nodes[0]
	refused := 0
	for i := range 1000 {
		token := n.put(assign(strings.Repeat("x", 1000)), "k", fmt.Sprint(i))
		if a := n.acks[token]; a.Err != nil {
			refused++
			if crux.KindOf(a.Err) != crux.Exhausted {
				t.Fatal(a.Err)
			}
		}
		w.run(time.Millisecond)
	}
	if refused == 0 {
		t.Error("writes were never refused")
	}
	if rate := float64(w.castBytes) / w.now.Seconds(); rate > 500_000 {
		t.Errorf("%.0f bytes a second were cast", rate)
	}
	w.converge(time.Minute)
	w.checkTruth()
}

func TestNothingIsAcknowledgedAfterAFailedSync(t *testing.T) {
	for _, size := range []int{0, 10} { // small values, and large ones
		w := newWorld(t, 2, 1)
		w.hotSize = size
		failSync(t, w)
	}
}

func failSync(t *testing.T, w *world) {
	w.linkAll()
	w.startAll()
	n := w.nodes[0]
	n.mustWrite(Write{Key: []string{"a"}, Op: crdt.Add(crdt.AddWinsSet, "x", "y", "z", strings.Repeat("long", 99))})
	n.mustWrite(Write{Key: []string{"a"}, Op: crdt.Add(crdt.AddWinsSet, "1")})
	n.diskErr = crux.Errorf("sync", crux.Exhausted, "no space")
	if a := n.result(n.put(crdt.Add(crdt.AddWinsSet, "2"), "a")); !errors.Is(a.Err, n.diskErr) || crux.KindOf(a.Err) != crux.Exhausted {
		t.Errorf("%v", a.Err)
	}
	if a := n.result(n.put(crdt.Add(crdt.AddWinsSet, "3"), "a")); crux.KindOf(a.Err) != crux.Unavailable {
		t.Errorf("the next write: %v", a.Err)
	}
	w.nodes[1].mustWrite(Write{Key: []string{"b"}, Op: crdt.Incr(1)})
	w.run(time.Minute)
	if got := n.value("b"); got != int64(1) {
		t.Errorf("reads and replication stopped: b is %v", got)
	}
	n.diskErr = nil
	w.until(time.Minute, "writes are taken again", func() bool { return n.result(n.put(crdt.Incr(1), "c")).Err == nil })
	w.converge(time.Minute)
	before := n.dump()
	n.crash()
	n.start()
	if got := n.dump(); !maps.Equal(got, before) {
		t.Errorf("on disk is\n%v\nthere was\n%v", got, before)
	}
	w.converge(time.Minute)
}
