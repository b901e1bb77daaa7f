package flock

import (
	"testing"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

// writer is a list with its one writer.
type writer struct {
	*list
	version uint64
}

func (w *writer) write(e *Entry) {
	w.version++
	e.Version = w.version
	w.put(e)
	w.have.add(w.version-1, w.version)
}

// A copy that takes in pages in any order, some of them lost, and pulls what it
// lacks has the same list in the end.
func TestCopiesOfTheListBecomeTheSame(t *testing.T) {
	states := []crux.MemberState{crux.Alive, crux.Suspect, crux.Lost, Gone, Evicted}
	rapid.Check(t, func(t *rapid.T) {
		flock := crux.FlockID{1}
		w := &writer{list: newList()}
		copied := newList()
		var under []*Page // way
		take := func(pg *Page) {
			if copied.have.add(pg.From, pg.To) {
				for _, e := range pg.Entries {
					copied.put(e)
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n := rapid.IntRange(1, 12).Draw(t, "changes")
				from := w.version
				for range n {
					i := rapid.IntRange(0, 30).Draw(t, "node")
					r := testRecord(i, flock)
					r.Seq = w.version
					w.write(&Entry{Slot: uint32(i), State: rapid.SampledFrom(states).Draw(t, "state"), Record: r})
				}
				under = append(under, w.pages(flock, from, w.version, 100)...)
			case 2:
				if len(under) > 0 {
					i := rapid.IntRange(0, len(under)-1).Draw(t, "page")
					if rapid.Bool().Draw(t, "arrives") {
						take(under[i])
					}
					under = append(under[:i], under[i+1:]...)
				}
			case 3:
				limit := rapid.IntRange(1, 3).Draw(t, "limit")
				copied.have.gaps(w.version, func(g span) bool {
					for _, pg := range w.pages(flock, g.from, g.to, limit) {
						take(pg)
					}
					return rapid.Bool().Draw(t, "more")
				})
			}
		}
		for range 100 {
			copied.have.gaps(w.version, func(g span) bool {
				for _, pg := range w.pages(flock, g.from, g.to, 1) {
					if pg.Size() > MaxBody {
						t.Fatalf("a page of %d bytes", pg.Size())
					}
					take(pg)
				}
				return false
			})
		}
		if copied.info() != w.info() || copied.count != w.count {
			t.Fatalf("copy %+v of %d, original %+v of %d", copied.info(), copied.count, w.info(), w.count)
		}
		sum, count, alive := uint64(0), 0, 0
		copied.each(func(e *Entry) {
			sum += e.digest()
			if e.member() {
				count++
			}
			if e.live() {
				alive++
			}
			if *w.get(e.Record.ID) != *e {
				t.Fatalf("line %+v, original %+v", e, w.get(e.Record.ID))
			}
		})
		if sum != copied.hash || count != copied.count || alive != copied.alive {
			t.Fatalf("hash %x of %d kept, %x of %d counted", copied.hash, copied.count, sum, count)
		}
	})
}

// Pushed from the leader down, a change reaches every member that is Alive, once.
func TestTheTreeReachesEveryoneOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newList()
		n := rapid.IntRange(1, 400).Draw(t, "members")
		leader := rapid.IntRange(0, n-1).Draw(t, "leader")
		alive := 0
		for i := range n {
			s := crux.Alive
			if i != leader && rapid.IntRange(0, 9).Draw(t, "state") == 0 {
				s = rapid.SampledFrom([]crux.MemberState{crux.Suspect, crux.Lost, Gone}).Draw(t, "bad")
			}
			r := &Record{ID: crux.NodeID{byte(i >> 8), byte(i)}, Incarnation: 1}
			l.put(&Entry{Version: uint64(i + 1), Slot: uint32(i), State: s, Record: r})
			if s == crux.Alive {
				alive++
			}
		}
		lead := crux.NodeID{byte(leader >> 8), byte(leader)}
		got := map[crux.NodeID]int{}
		var push func(slot int, self crux.NodeID)
		push = func(slot int, self crux.NodeID) {
			skip := func(e *Entry) bool { return e.Record.ID == lead || e.Record.ID == self }
			l.children(slot, skip, func(e *Entry) {
				got[e.Record.ID]++
				push(int(e.Slot), e.Record.ID)
			})
		}
		push(-1, lead)
		for id, times := range got {
			if times != 1 || id == lead {
				t.Fatalf("%s was reached %d times", id, times)
			}
		}
		if len(got) != alive-1 {
			t.Fatalf("%d of %d were reached", len(got), alive-1)
		}
	})
}

func TestTombstonesAreBounded(t *testing.T) {
	w := &writer{list: newList()}
	for i := range 3 * maxTombs {
		r := &Record{ID: crux.NodeID{byte(i >> 16), byte(i >> 8), byte(i)}, Incarnation: 1}
		w.write(&Entry{Slot: 0, State: crux.Alive, Record: r})
		w.write(&Entry{Slot: 0, State: Gone, Record: r})
	}
	if len(w.lines) > maxTombs+1 || len(w.log) > 2*maxTombs+64 || w.count != 0 || w.hash != 0 {
		t.Errorf("%d lines, log of %d, %d members, hash %x", len(w.lines), len(w.log), w.count, w.hash)
	}
}
