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
		"who leaves or is evicted is gone": {
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{0, viewOf(1, true, 0, 1), []int{0, 1}, []int{2}},
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
		},
		"fulcrum starts anew, alone, and merges": {
			{0, viewOf(1, true, 0, 1, 2), []int{0, 1, 2}, nil},
			{time.Second, viewOf(2, true, 0), []int{0, 1, 2}, nil},
			{time.Second, viewOf(1, true, 0, 1), []int{0, 1}, []int{2}}, // evicted meanwhile
		},
		"the flock is divided, and the others stay for a day": {
			{0, viewOf(1, true, 0, 1, 2, 3), []int{0, 1, 2, 3}, nil},
			{time.Minute, viewOf(2, true, 0, 1), []int{0, 1, 2, 3}, nil},
			{time.Hour, viewOf(2, true, 0, 1), []int{0, 1, 2, 3}, nil},
			{time.Hour, viewOf(2, true, 0), []int{0, 2, 3}, []int{1}},
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

// Whatever the flock goes through, who is on a whole list of the newest flock is a
// member, and who was taken off it is none.
func TestTheRosterFollowsTheFlock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := newRoster(aNode(0).ID, nobody)
		last := map[int]byte{} // the flock that a node was last listed in
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			flock := byte(rapid.IntRange(1, 3).Draw(t, "flock"))
			listed := append(rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 0, 5, rapid.ID).Draw(t, "listed"), 0)
			synced := rapid.Bool().Draw(t, "synced")
			p, gone, _ := r.update(0, viewOf(flock, synced, listed...), crux.Snapshot{})
			for i := range 6 {
				id := aNode(i).ID
				before, was := last[i]
				switch _, ok := p.keys[id]; {
				case slices.Contains(listed, i):
					last[i] = flock
					if !ok {
						t.Fatalf("%d is listed and no member", i)
					}
				case was && synced && before == flock:
					delete(last, i)
					if ok || !slices.Contains(gone, id) {
						t.Fatalf("%d was taken off the list and is a member", i)
					}
				case ok != was:
					t.Fatalf("%d is a member: %v; it was: %v", i, ok, was)
				}
			}
		}
	})
}
