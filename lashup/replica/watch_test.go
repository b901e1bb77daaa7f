package replica

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
)

func assign(v string) crdt.Op { return crdt.Assign(crdt.LastWriter, v) }

// printed prints events as a reader would.
func printed(list []Event) string {
	var b strings.Builder
	for _, e := range list {
		switch e.Kind {
		case Synced:
			fmt.Fprintf(&b, "synced whole=%v\n", e.Whole)
		case FellBehind:
			b.WriteString("fell behind\n")
		default:
			fmt.Fprintf(&b, "%s: %v -> %v existing=%v\n", strings.Join(e.Key, "/"), e.Old.Plain(), e.New.Plain(), e.Existing)
		}
	}
	return b.String()
}

func (n *testNode) toldOf(id WatchID) string { return printed(n.events[id]) }

func alone(t *testing.T) (*world, *testNode) {
	w := newWorld(t, 1, 1)
	n := w.nodes[0]
	n.start()
	return w, n
}

func TestWatchersGetWhatExistsAndThenEachChangeOnce(t *testing.T) {
	_, n := alone(t)
	n.mustWrite(Write{Key: []string{"a", "1"}, Op: assign("x")}, Write{Key: []string{"a", "2"}, Op: assign("y")})
	n.mustWrite(Write{Key: []string{"b"}, Op: assign("z")}, Write{Key: []string{"a", "3"}, Op: assign("gone")})
	n.mustWrite(Write{Key: []string{"a", "3"}, Op: crdt.Reset()})
	id := n.watch("a", "*")
	want := "a/1: <nil> -> x existing=true\na/2: <nil> -> y existing=true\nsynced whole=true\n"
	if got := n.toldOf(id); got != want {
		t.Fatalf("first:\n%swant\n%s", got, want)
	}
	n.events[id] = nil
	n.mustWrite(Write{Key: []string{"a", "1"}, Op: assign("x2")})
	n.mustWrite(Write{Key: []string{"b"}, Op: assign("not told")})
	n.mustWrite(Write{Key: []string{"a", "1", "deeper"}, Op: assign("not told")})
	n.mustWrite(Write{Key: []string{"a", "1"}, Op: assign("x2")}) // reads the same
	n.mustWrite(Write{Key: []string{"a", "2"}, Op: crdt.Reset()})
	n.mustWrite(Write{Key: []string{"a", "2"}, Op: crdt.Reset()})
	n.mustWrite(Write{Key: []string{"a", "4"}, Op: crdt.Incr(1)})
	want = "a/1: x -> x2 existing=false\na/2: y -> <nil> existing=false\na/4: <nil> -> 1 existing=false\n"
	if got := n.toldOf(id); got != want {
		t.Fatalf("then:\n%swant\n%s", got, want)
	}
	n.r.Unwatch(id)
	n.mustWrite(Write{Key: []string{"a", "1"}, Op: assign("x3")})
	if got, more := n.r.Next(id, 10); got != nil || more || n.r.Stats().Watches != 0 {
		t.Errorf("after Unwatch there is %v", got)
	}
}

// Requests that come in one call are told one by one.
func TestWatchersSeeEachRequest(t *testing.T) {
	w, n := alone(t)
	id := n.watch("**")
	n.events[id] = nil
	key := []string{"c"}
	n.do(func(r *Replica) Ready {
		return r.Write(w.now, testWall(w.now),
			Request{1, []Write{{Key: key, Op: crdt.Incr(1)}}},
			Request{2, []Write{{Key: key, Op: crdt.Incr(1)}, {Key: key, Op: crdt.Add(crdt.AddWinsSet, "x")}}},
			Request{3, []Write{{Key: key, Op: crdt.Incr(1)}, {Key: key, Op: crdt.Incr(1)}}})
	})
	want := "c: <nil> -> 1 existing=false\nc: 1 -> 3 existing=false\n"
	if got := n.toldOf(id); got != want {
		t.Errorf("told\n%swant\n%s", got, want)
	}
	if n.result(1).Err != nil || n.result(2).Err == nil || n.result(3).Err != nil {
		t.Error("the wrong requests were refused")
	}
	if got := n.value("c"); got != int64(3) {
		t.Errorf("the counter is %v", got)
	}
	if n.r.seq != 3 {
		t.Errorf("%d numbers were used", n.r.seq)
	}
}

func TestWatchersResumeByVersion(t *testing.T) {
	_, n := alone(t)
	n.mustWrite(Write{Key: []string{"a"}, Op: assign("1")}, Write{Key: []string{"b"}, Op: assign("1")}, Write{Key: []string{"c"}, Op: assign("1")})
	id := n.watch("**")
	last := n.events[id][len(n.events[id])-1].Version
	n.r.Unwatch(id)
	n.mustWrite(Write{Key: []string{"b"}, Op: assign("2")})
	n.mustWrite(Write{Key: []string{"c"}, Op: crdt.Reset()})
	n.mustWrite(Write{Key: []string{"d"}, Op: assign("1")})
	n.mustWrite(Write{Key: []string{"b"}, Op: assign("3")})
	id = n.watchFrom(last, "**")
	want := "c: <nil> -> <nil> existing=true\nd: <nil> -> 1 existing=true\nb: <nil> -> 3 existing=true\nsynced whole=false\n"
	if got := n.toldOf(id); got != want {
		t.Errorf("told\n%swant\n%s", got, want)
	}
	for _, e := range n.events[id] {
		if e.Kind == Changed && !e.OldUnknown {
			t.Errorf("%+v: how should it know?", e)
		}
	}
	for _, v := range []Version{{9, last.Number}, {last.Epoch, 1 << 40}} {
		id = n.watchFrom(v, "**")
		if got := n.toldOf(id); !strings.HasSuffix(got, "synced whole=true\n") {
			t.Errorf("from %+v: %s", v, got)
		}
	}
}

func TestSlowWatcherIsToldThatItFellBehind(t *testing.T) {
	w, n := alone(t)
	n.crash()
	w.limits = Limits{WatchEvents: 5}
	n.start()
	p, err := NewPattern([]string{"**"}, false)
	if err != nil {
		t.Fatal(err)
	}
	id, err := n.r.Watch(p, Version{})
	if err != nil {
		t.Fatal(err)
	}
	n.drain(id)
	n.slow = true
	write := func(i int) {
		token := uint64(1000 + i)
		n.carry(n.r.Write(w.now, testWall(w.now), Request{token, []Write{{Key: []string{fmt.Sprint(i)}, Op: crdt.Incr(1)}}}))
	}
	for i := range 3 {
		write(i)
	}
	first, more := n.r.Next(id, 2)
	if len(first) != 2 || !more {
		t.Fatalf("took %v, more %v", first, more)
	}
	for i := range 9 {
		write(10 + i)
	}
	rest, more := n.r.Next(id, 100)
	if got := printed(rest); got != "fell behind\n" || more {
		t.Fatalf("took %s, more %v", got, more)
	}
	if got, more := n.r.Next(id, 100); len(got) > 0 || more {
		t.Errorf("and then %v", got)
	}
	seen := map[string]bool{}
	for _, e := range first {
		seen[e.Key[0]] = true
	}
	again := n.watchFrom(rest[0].Version, "**")
	for _, e := range n.events[again] {
		if e.Kind == Changed {
			if seen[e.Key[0]] {
				t.Errorf("%q twice", e.Key)
			}
			seen[e.Key[0]] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("saw %d of 12 keys", len(seen))
	}
}

// TestWatchersSeeWhatThereIs follows a replica among others, with watches that come,
// read slowly, fall behind and resume, and compares what they saw with what there is.
func TestWatchersSeeWhatThereIs(t *testing.T) {
	for seed := range seeds(4) {
		w := newWorld(t, 4, 50+seed)
		w.loss = 0.2
		w.params = Params{Settle: 5 * time.Second, Grace: 10 * time.Second}
		w.limits = Limits{WatchEvents: 20}
		w.linkAll()
		w.startAll()
		n := w.nodes[0]
		n.slow = true
		s := &follower{n: n, seen: map[string]string{}}
		s.open()
		for range 40 {
			w.chatter(time.Duration(100+w.rng.IntN(2000))*time.Millisecond, w.rng.IntN(30))
			s.read(w.rng.IntN(30))
			if w.rng.IntN(8) == 0 {
				s.reopen()
			}
		}
		w.converge(time.Minute)
		s.read(1 << 20)
		want := n.dump()
		maps.DeleteFunc(want, func(k, _ string) bool { return !strings.HasPrefix(k, "shared/") })
		if !maps.Equal(s.seen, want) {
			t.Errorf("seed %d: saw\n%v\nthere is\n%v", seed, s.seen, want)
		}
		if s.resumed == 0 || s.behind == 0 {
			t.Errorf("seed %d: resumed %d times, fell behind %d times", seed, s.resumed, s.behind)
		}
	}
}

// follower is a client that keeps a copy of what it watches.
type follower struct {
	n               *testNode
	id              WatchID
	last            Version
	seen            map[string]string
	whole           map[string]string // being gathered
	resumed, behind int
}

func (s *follower) open() {
	p, err := NewPattern([]string{"shared", "**"}, false)
	if err != nil {
		s.n.w.t.Fatal(err)
	}
	if s.id, err = s.n.r.Watch(p, s.last); err != nil {
		s.n.w.t.Fatal(err)
	}
	s.whole = map[string]string{}
}

func (s *follower) reopen() {
	s.n.r.Unwatch(s.id)
	s.open()
}

func (s *follower) read(max int) {
	for max > 0 {
		list, more := s.n.r.Next(s.id, min(max, 7))
		max -= len(list)
		for _, e := range list {
			s.take(e)
		}
		if len(list) > 0 && list[len(list)-1].Kind == FellBehind {
			s.behind++
			s.reopen()
			more = true
		}
		if !more {
			return
		}
	}
}

func (s *follower) take(e Event) {
	switch e.Kind {
	case Synced:
		if e.Whole {
			s.seen = s.whole
		} else {
			s.resumed++
		}
		s.whole = nil
	case Changed:
		into := s.seen
		if e.Version == (Version{}) {
			into = s.whole
		}
		key, now := strings.Join(e.Key, "/"), fmt.Sprint(e.New.Plain())
		if old := fmt.Sprint(e.Old.Plain()); !e.OldUnknown && e.Old.Type != 0 && s.whole == nil && s.seen[key] != old {
			s.n.w.t.Errorf("%s was %s, and the watcher has %s", key, old, s.seen[key])
		}
		if e.New.Type == 0 {
			delete(into, key)
		} else {
			into[key] = now
		}
	}
	if e.Version != (Version{}) {
		s.last = e.Version
	}
}

func TestWatchesAreLimited(t *testing.T) {
	w, n := alone(t)
	n.crash()
	w.limits = Limits{Watchers: 2}
	n.start()
	n.watch("a")
	n.watch("b")
	if _, err := n.r.Watch(Pattern{}, Version{}); err == nil {
		t.Error("a third watch of two was taken")
	}
}

func TestScanGoesThroughKeysInOrder(t *testing.T) {
	_, n := alone(t)
	for i := range 30 {
		n.put(crdt.Incr(int64(i)), "k", fmt.Sprintf("%02d", i))
	}
	n.put(crdt.Reset(), "k", "07")
	n.put(crdt.Incr(1), "other")
	p, err := NewPattern([]string{"k", "[012]*"}, false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var after []string
	for more := true; more; {
		var items []Item
		if items, more, err = n.r.Scan(p, after, 4); err != nil {
			t.Fatal(err)
		}
		for _, x := range items {
			got = append(got, x.Key[1])
			after = x.Key
		}
	}
	if len(got) != 29 || got[0] != "00" || got[7] != "08" || got[28] != "29" {
		t.Errorf("scanned %v", got)
	}
	x, err := n.r.Get([]string{"k", "07"})
	if err != nil || x.Value.Type != 0 || x.Context.Empty() {
		t.Errorf("a deleted key reads as %+v, %v", x, err)
	}
}
