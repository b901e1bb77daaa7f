package steward_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

// model is the table as a flat list that is searched from end to end, and works
// out everything anew each time: slow, and plain to see through.
type model struct {
	rows    []modelRow
	digests map[crux.NodeID]*modelDigest
	past    map[crux.NodeID]steward.Word
	floor   map[crux.NodeID]uint64
}

type modelRow struct {
	crux.Row
	ends time.Time
}

type modelDigest struct {
	crux.Digest
	ends  time.Time
	holds bool
}

func newModel() *model {
	return &model{digests: map[crux.NodeID]*modelDigest{}, past: map[crux.NodeID]steward.Word{}, floor: map[crux.NodeID]uint64{}}
}

func atOrBefore(inc, seq uint64, w steward.Word) bool {
	return inc < w.Incarnation || inc == w.Incarnation && seq <= w.Seq
}

func (m *model) leave(id crux.NodeID, w steward.Word) {
	if !atOrBefore(w.Incarnation, w.Seq, m.past[id]) {
		m.past[id] = w
	}
}

func (m *model) isLeft(r *crux.Row) bool {
	p := m.past[r.Node]
	return r.Incarnation < m.floor[r.Node] || r.Incarnation == p.Incarnation && r.Seq <= p.Seq
}

func (m *model) find(k crux.RowKey) int {
	return slices.IndexFunc(m.rows, func(r modelRow) bool { return r.RowKey() == k })
}

func (m *model) drop(f func(r *modelRow) bool) (dropped int) {
	m.rows = slices.DeleteFunc(m.rows, func(r modelRow) bool {
		out := f(&r)
		if out && r.Status != crux.Gone {
			dropped++
		}
		return out
	})
	return dropped
}

// enter puts a row in the place of the one with its key.
func (m *model) enter(r crux.Row, ends time.Time) {
	if r.Status == crux.Gone {
		ends = ends.Add(10 * time.Minute)
	}
	m.rows = slices.DeleteFunc(m.rows, func(x modelRow) bool { return x.RowKey() == r.RowKey() })
	m.rows = append(m.rows, modelRow{r, ends})
}

func (m *model) apply(now time.Time, r crux.Row) bool {
	i, d := m.find(r.RowKey()), m.digests[r.Node]
	if m.isLeft(&r) || i >= 0 && !r.Newer(&m.rows[i].Row) {
		return false
	}
	m.enter(r, now.Add(r.TTL))
	if d != nil && !d.holds {
		m.judge(d)
	}
	return true
}

func (m *model) counts(d *crux.Digest) (rows []crux.Row) {
	for _, r := range m.rows {
		if r.Node == d.Node && r.Status != crux.Gone && r.Incarnation == d.Incarnation && r.Seq <= d.Seq {
			rows = append(rows, r.Row)
		}
	}
	return rows
}

func sumOf(rows []crux.Row) (n uint32, hash [16]byte) {
	for i := range rows {
		h := rows[i].SetHash()
		for j := range h {
			hash[j] ^= h[j]
		}
	}
	return uint32(len(rows)), hash
}

// judge works out whether the digest's rows are held, and drops what it then
// leaves behind.
func (m *model) judge(d *modelDigest) (dropped int) {
	n, hash := sumOf(m.counts(&d.Digest))
	d.holds = n == d.Count && hash == d.Hash
	if d.holds {
		return m.settle(d)
	}
	return 0
}

func (m *model) settle(d *modelDigest) int {
	d.holds = true
	for i := range m.rows {
		if r := &m.rows[i]; r.Node == d.Node && r.Status != crux.Gone && r.Incarnation == d.Incarnation && r.Seq <= d.Seq && r.ends.Before(d.ends) {
			r.ends = d.ends
		}
	}
	m.leave(d.Node, steward.Word{Incarnation: d.Incarnation, Seq: d.Seq})
	return m.drop(func(r *modelRow) bool {
		return d.Complete && r.Node == d.Node && (r.Incarnation < d.Incarnation ||
			r.Status == crux.Gone && r.Incarnation == d.Incarnation && r.Seq <= d.Seq)
	})
}

func (m *model) say(now time.Time, d crux.Digest) *modelDigest {
	if d.Complete {
		m.floor[d.Node] = max(m.floor[d.Node], d.Incarnation)
	}
	x := &modelDigest{d, now.Add(d.TTL), false}
	m.digests[d.Node] = x
	return x
}

func (m *model) digest(now time.Time, d crux.Digest) steward.Outcome {
	if have := m.digests[d.Node]; have != nil && !d.Newer(&have.Digest) {
		return steward.Stale
	}
	x := m.say(now, d)
	dropped := m.judge(x)
	switch {
	case !x.holds:
		return steward.Mismatch
	case dropped > 0:
		return steward.Dropped
	}
	return steward.Renewed
}

func (m *model) full(now time.Time, d crux.Digest, rows []crux.Row) (changed, ok bool) {
	n, hash := sumOf(rows)
	have := m.digests[d.Node]
	later := have == nil || d.Newer(&have.Digest)
	other := !later && (have.Newer(&d) || have.Count != d.Count || have.Hash != d.Hash || have.Complete != d.Complete)
	if n != d.Count || hash != d.Hash || other || !later && !now.Before(have.ends) {
		return false, false
	}
	if later {
		have = m.say(now, d)
	}
	dropped := m.drop(func(r *modelRow) bool {
		in := slices.ContainsFunc(rows, func(x crux.Row) bool { return x.RowKey() == r.RowKey() })
		return !in && r.Node == d.Node && (r.Incarnation == d.Incarnation && r.Seq <= d.Seq || d.Complete && r.Incarnation < d.Incarnation)
	})
	changed = dropped > 0
	for _, r := range rows {
		i := m.find(r.RowKey())
		if i < 0 || r.Newer(&m.rows[i].Row) {
			m.enter(r, have.ends)
			changed = true
		}
	}
	m.settle(have)
	return changed, true
}

func (m *model) expire(now time.Time) int {
	for _, r := range m.rows {
		if now.Before(r.ends) || r.Status == crux.Gone {
			continue
		}
		m.leave(r.Node, steward.Word{Incarnation: r.Incarnation, Seq: r.Seq})
		if d := m.digests[r.Node]; d != nil && d.Incarnation == r.Incarnation {
			d.holds = false
			m.leave(r.Node, steward.Word{Incarnation: d.Incarnation, Seq: d.Seq})
		}
	}
	n := m.drop(func(r *modelRow) bool { return !now.Before(r.ends) })
	for i := 1; i <= 2; i++ { // who has said nothing for long is forgotten
		id := node(i)
		d := m.digests[id]
		if !slices.ContainsFunc(m.rows, func(r modelRow) bool { return r.Node == id }) && (d == nil || !now.Before(d.ends.Add(10*time.Minute))) {
			delete(m.digests, id)
			delete(m.past, id)
			delete(m.floor, id)
		}
	}
	return n
}

func (m *model) live(sel crux.Selector) (out []crux.Row) {
	for _, r := range m.rows {
		if r.Status != crux.Gone && sel.Matches(&r.Row) {
			out = append(out, r.Row)
		}
	}
	return out
}

var (
	someNodes  = rapid.Map(rapid.IntRange(1, 2), node)
	someInsts  = rapid.SampledFrom([]crux.Inst{"a1_0", "a1_1", "a1_10", "b2_0"})
	someHordes = rapid.SampledFrom([]crux.Horde{"default", "web"})
)

func someRow(t *rapid.T) crux.Row {
	inst := someInsts.Draw(t, "inst")
	return crux.Row{
		Node: someNodes.Draw(t, "node"), Horde: someHordes.Draw(t, "horde"), API: inst.API(), Inst: inst,
		NetID: crux.NetID(fmt.Sprintf("127.0.0.1:%d", rapid.IntRange(1, 2).Draw(t, "port"))), Status: crux.Status(rapid.IntRange(1, 4).Draw(t, "status")),
		Incarnation: rapid.Uint64Range(1, 3).Draw(t, "incarnation"), Seq: rapid.Uint64Range(1, 20).Draw(t, "seq"), TTL: ttl,
	}
}

// someDigest counts some of the rows that the model holds: all, mostly.
func someDigest(t *rapid.T, m *model) (crux.Digest, []crux.Row) {
	d := crux.Digest{
		Node: someNodes.Draw(t, "node"), Incarnation: rapid.Uint64Range(1, 3).Draw(t, "incarnation"), Seq: rapid.Uint64Range(1, 25).Draw(t, "seq"),
		Complete: rapid.Bool().Draw(t, "complete"), TTL: ttl,
	}
	rows := m.counts(&d)
	if len(rows) > 0 && rapid.IntRange(0, 3).Draw(t, "leave one out") == 0 {
		rows = rows[1:]
	}
	d.Count, d.Hash = sumOf(rows)
	return d, rows
}

func TestTableIsTheSlowModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tab, m, now := steward.New(t0), newModel(), t0
		t.Repeat(map[string]func(*rapid.T){
			"row": func(t *rapid.T) {
				r := someRow(t)
				if got, want := tab.Apply(now, r, 0), m.apply(now, r); got != want {
					t.Fatalf("changed %v, want %v", got, want)
				}
			},
			"digest": func(t *rapid.T) {
				d, _ := someDigest(t, m)
				if got, want := tab.Digest(now, d, 0), m.digest(now, d); got != want {
					t.Fatalf("outcome %v, want %v", got, want)
				}
			},
			"full": func(t *rapid.T) {
				d, rows := someDigest(t, m)
				changed, ok := tab.Full(now, d, 0, rows)
				if wantChanged, wantOK := m.full(now, d, rows); changed != wantChanged || ok != wantOK {
					t.Fatalf("changed %v, ok %v, want %v, %v", changed, ok, wantChanged, wantOK)
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
				if got, want := len(tab.Expire(now)), m.expire(now); got != want {
					t.Fatalf("%d rows ended, want %d", got, want)
				}
			},
			"long time": func(t *rapid.T) {
				now = now.Add(11 * time.Minute)
				if got, want := len(tab.Expire(now)), m.expire(now); got != want {
					t.Fatalf("%d rows ended, want %d", got, want)
				}
			},
			"": func(t *rapid.T) {
				if got, want := shown(tab), show(m.live(crux.Selector{})); !slices.Equal(got, want) {
					t.Fatalf("shows %q, want %q", got, want)
				}
				for id, d := range m.digests {
					if got := tab.Holds(id, d.Incarnation); got != d.holds {
						t.Fatalf("holds %v, want %v", got, d.holds)
					}
				}
				sel := crux.Selector{Horde: "default", API: "a1"}
				if got, want := show(tab.Find(sel)), show(m.live(sel)); !slices.Equal(got, want) {
					t.Fatalf("%v finds %q, want %q", sel, got, want)
				}
				sel.Inst = "a1_1"
				if got, want := show(tab.Find(sel)), show(m.live(sel)); !slices.Equal(got, want) {
					t.Fatalf("%v finds %q, want %q", sel, got, want)
				}
			},
		})
	})
}
