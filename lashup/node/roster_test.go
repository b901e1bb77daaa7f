package node

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/rpctest"
)

// aNode is member number i, with a key of its own.
func aNode(i int) crux.Member {
	key := make(ed25519.PublicKey, ed25519.PublicKeySize)
	key[0] = byte(i)
	return crux.Member{ID: crux.NodeIDOf(key), Key: key}
}

func viewOf(flock byte, synced bool, members ...int) *crux.View {
	v := &crux.View{Flock: crux.FlockID{flock}, Synced: synced}
	for _, i := range members {
		v.Members = append(v.Members, aNode(i))
	}
	slices.SortFunc(v.Members, func(a, b crux.Member) int { return a.ID.Compare(b.ID) })
	return v
}

// evicting is a view in which some were evicted.
func evicting(v *crux.View, out ...int) *crux.View {
	for _, i := range out {
		v.Evicted = append(v.Evicted, aNode(i).ID)
	}
	slices.SortFunc(v.Evicted, crux.NodeID.Compare)
	return v
}

func nobody(*crux.View, crux.NodeID) bool { return false }

func TestWhoIsAMember(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		view  *crux.View
		want  []int
		gone  []int
	}
	for name, steps := range map[string][]step{
		"a list that is not whole takes nobody off": {
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{0, viewOf(1, false, 0, 3), []int{0, 1, 2, 3}, nil},
		},
		"who is evicted is gone at once, and may be admitted again": {
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{0, evicting(viewOf(1, true, 0, 1), 2), []int{0, 1}, []int{2}},
			{time.Second, evicting(viewOf(1, false, 0), 1, 2), []int{0}, []int{1}},
			{time.Second, viewOf(2, true, 0, 1, 2), []int{0, 1, 2}, nil},
		},
		"nobody evicts this node in its own eyes": {
			{0, evicting(viewOf(1, true, 1), 0), []int{1}, nil},
			{0, evicting(viewOf(1, true, 0, 1), 0), []int{0, 1}, nil},
			{0, evicting(viewOf(1, true, 1), 0), []int{0, 1}, nil},
		},
		"who is missing is gone after a minute": {
			{0, viewOf(1, true, 0, 1, 2, 3), []int{0, 1, 2, 3}, nil},
			{time.Hour, viewOf(1, true, 0, 1, 2), []int{0, 1, 2, 3}, nil},
			{missingMost / 2, viewOf(1, true, 0, 1), []int{0, 1, 2, 3}, nil},
			{missingMost/2 - 1, viewOf(1, true, 0, 1), []int{0, 1, 2, 3}, nil},
			{1, viewOf(1, true, 0, 1), []int{0, 1, 2}, []int{3}},
			{missingMost / 2, viewOf(1, true, 0, 1), []int{0, 1}, []int{2}},
		},
		"who comes and goes stays": {
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{time.Hour, viewOf(1, true, 0, 1), []int{0, 1, 2}, nil},
			{missingMost - 1, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{0, viewOf(1, true, 0, 1), []int{0, 1, 2}, nil},
			{missingMost - 1, viewOf(1, true, 0, 1), []int{0, 1, 2}, nil},
		},
		"who is missing stays until the list is whole again": {
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{0, viewOf(1, true, 0, 1), []int{0, 1, 2}, nil},
			{time.Hour, viewOf(1, false, 0, 1), []int{0, 1, 2}, nil},
			{0, viewOf(1, true, 0, 1), []int{0, 1}, []int{2}},
		},
		"fulcrum starts anew, alone, and merges": {
			{0, viewOf(1, true, 0, 1, 2, 3), []int{0, 1, 2, 3}, nil},
			{time.Second, viewOf(1, true, 0, 1, 3), []int{0, 1, 2, 3}, nil},
			{time.Second, viewOf(2, true, 0), []int{0, 1, 2, 3}, nil},
			{time.Hour, evicting(viewOf(1, true, 0, 1), 3), []int{0, 1, 2}, []int{3}}, // evicted meanwhile
			{missingMost, viewOf(1, true, 0, 1), []int{0, 1}, []int{2}},
		},
		"the flock is divided, and the others stay for a day": {
			{0, viewOf(1, true, 0, 1, 2, 3), []int{0, 1, 2, 3}, nil},
			{time.Minute, viewOf(2, true, 0, 1), []int{0, 1, 2, 3}, nil},
			{time.Hour, viewOf(2, true, 0, 1), []int{0, 1, 2, 3}, nil},
			{time.Hour, evicting(viewOf(2, true, 0), 1), []int{0, 2, 3}, []int{1}},
			{time.Hour, viewOf(3, true, 0, 3), []int{0, 2, 3}, nil},
			{absentMost, viewOf(3, true, 0, 3), []int{0, 3}, []int{2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoster(aNode(0).ID, nobody)
			now := time.Duration(0)
			for i, s := range steps {
				now += s.after
				p, gone, _ := r.update(now, s.view, crux.Snapshot{})
				for k := range 5 {
					id := aNode(k).ID
					if _, ok := p.keys[id]; ok != slices.Contains(s.want, k) || ok != p.list.Has(id) {
						t.Errorf("step %d: %d is a member: %v", i, k, ok)
					}
					if slices.Contains(gone, id) != slices.Contains(s.gone, k) {
						t.Errorf("step %d: gone are %v", i, gone)
					}
				}
			}
		})
	}
}

// The store is told of an eviction, be the node a member here or not.
func TestAnEvictionIsAChange(t *testing.T) {
	t.Parallel()
	r := newRoster(aNode(0).ID, nobody)
	for i, s := range []struct {
		view *crux.View
		same bool
		out  int // zero: nobody
	}{
		{viewOf(1, true, 0, 1), false, 0},
		{viewOf(1, true, 0, 1), true, 0},
		{evicting(viewOf(1, true, 0, 1), 2), false, 2},
		{evicting(viewOf(1, true, 0, 1), 2), true, 2},
		{evicting(viewOf(1, true, 0, 1), 1, 2), true, 2}, // who is listed is a member
		{viewOf(2, true, 0, 1), false, 0},
	} {
		p, _, same := r.update(0, s.view, crux.Snapshot{})
		var out []crux.NodeID
		if s.out > 0 {
			out = append(out, aNode(s.out).ID)
		}
		if same != s.same || !slices.Equal(p.evicted, out) {
			t.Errorf("step %d: evicted are %v; nothing has changed: %v", i, p.evicted, same)
		}
	}
}

func TestTheRosterIsLookedAtWhenSomebodyIsDue(t *testing.T) {
	t.Parallel()
	r := newRoster(aNode(0).ID, nobody)
	next := func(what string, now, want time.Duration) {
		t.Helper()
		if got := r.next(now, followEvery); got != want {
			t.Errorf("%s: after %v, want %v", what, got, want)
		}
	}
	at := time.Hour
	r.update(at, viewOf(1, true, 0, 1, 2, 3), crux.Snapshot{})
	next("nobody is missing", at, followEvery)
	r.update(at, viewOf(1, true, 0, 1, 2), crux.Snapshot{})
	r.update(at+10*time.Second, viewOf(1, true, 0, 1), crux.Snapshot{})
	next("two are missing", at+10*time.Second, missingMost-10*time.Second)
	next("one has become due since", at+missingMost+1, 0)
	r.update(at+missingMost, viewOf(1, false, 0, 1), crux.Snapshot{})
	next("the list is not whole", at+missingMost, followEvery)
	r.update(at+missingMost, viewOf(1, true, 0, 1), crux.Snapshot{})
	next("one is gone", at+missingMost, 10*time.Second)
	r.update(at+missingMost, viewOf(2, true, 0), crux.Snapshot{})
	next("in another flock", at+missingMost, followEvery)
}

func TestThePeopleAreKeptInAHandover(t *testing.T) {
	t.Parallel()
	r := newRoster(aNode(0).ID, nobody)
	r.update(0, viewOf(1, true, 0, 1, 2), crux.Snapshot{})
	r.update(time.Hour, viewOf(2, true, 0, 1), crux.Snapshot{})
	next := newRoster(aNode(0).ID, nobody)
	next.restore(r.keep(2 * time.Hour))
	if p, _, _ := next.update(0, viewOf(2, true, 0, 1), crux.Snapshot{}); len(p.keys) != 3 {
		t.Errorf("there are %d", len(p.keys))
	}
	if _, gone, _ := next.update(absentMost-time.Hour, viewOf(2, true, 0, 1), crux.Snapshot{}); len(gone) != 1 || gone[0] != aNode(2).ID {
		t.Errorf("after a day %v are gone", gone)
	}
}

func TestWhereTheOthersListen(t *testing.T) {
	t.Parallel()
	row := func(i int, inst crux.Inst, at string, s crux.Status) crux.Row {
		return rpctest.Row(crux.Endpoint{Node: aNode(i).ID, Inst: inst, NetID: crux.NetID(at)}, s)
	}
	r := newRoster(aNode(0).ID, func(_ *crux.View, id crux.NodeID) bool { return id == aNode(2).ID })
	v := viewOf(1, true, 0, 1, 2)
	rows := []crux.Row{
		row(0, "lashup1_0", "10.0.0.1:1", crux.Serving), row(1, "lashup1_1", "10.0.0.2:2", crux.Starting),
		row(1, "lashup1_0", "10.0.0.2:1", crux.Serving), row(2, "lashup1_0", "garbage", crux.Serving),
	}
	p, _, same := r.update(0, v, crux.Snapshot{Whole: true, Rows: rows})
	if same || fmt.Sprint(p.rows) != fmt.Sprintf("map[%v:[10.0.0.2:1 10.0.0.2:2]]", aNode(1).ID) {
		t.Errorf("rows %v", p.rows)
	}
	if !p.masters[aNode(2).ID] || len(p.masters) != 1 {
		t.Errorf("masters %v", p.masters)
	}
	if p, _, same = r.update(0, v, crux.Snapshot{}); !same || len(p.rows) != 1 {
		t.Errorf("an answer that is not whole has dropped rows: %v", p.rows)
	}
	if p, _, same = r.update(0, v, crux.Snapshot{Whole: true}); same || len(p.rows) != 0 {
		t.Errorf("rows that are gone stay: %v", p.rows)
	}
}

// Whatever the flock goes through: who is listed is a member, who was evicted is
// none, and who is missing is one until a whole list has lacked it for long enough.
func TestTheRosterFollowsTheFlock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := newRoster(aNode(0).ID, nobody)
		last := map[int]byte{}            // the flock that a node was last listed in
		missed := map[int]time.Duration{} // since when its whole list lacks it
		now := time.Duration(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			flock := byte(rapid.IntRange(1, 3).Draw(t, "flock"))
			listed := append(rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 0, 5, rapid.ID).Draw(t, "listed"), 0)
			synced := rapid.Bool().Draw(t, "synced")
			out := rapid.SliceOfDistinct(rapid.IntRange(0, 5), rapid.ID).Draw(t, "evicted")
			now += rapid.SampledFrom([]time.Duration{0, time.Second, missingMost / 2, missingMost}).Draw(t, "after")
			p, gone, _ := r.update(now, evicting(viewOf(flock, synced, listed...), out...), crux.Snapshot{})
			for i := range 6 {
				id := aNode(i).ID
				before, was := last[i]
				since, missing := missed[i]
				is := was
				switch {
				case slices.Contains(listed, i):
					is, last[i] = true, flock
					delete(missed, i)
				case slices.Contains(out, i):
					is = false
				case before != flock:
					delete(missed, i)
				case synced && missing:
					is = was && now < since+missingMost
				case synced:
					missed[i] = now
				}
				if !is {
					delete(last, i)
					delete(missed, i)
				}
				if _, ok := p.keys[id]; ok != is || slices.Contains(gone, id) != (was && !is) {
					t.Fatalf("%d is a member: %v, want %v; it was: %v; gone are %v", i, ok, is, was, gone)
				}
				if slices.Contains(p.evicted, id) && (is || !slices.Contains(out, i)) {
					t.Fatalf("%d counts as evicted", i)
				}
			}
			if d := r.next(now, followEvery); d <= 0 {
				t.Fatalf("there is to be an update after %v", d)
			}
		}
	})
}
