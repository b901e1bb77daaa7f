package steward_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ttl = 30 * time.Second

func node(i int) crux.NodeID { return crux.NodeID{byte(i)} }

// speaker is an honest owner: it numbers what it says.
type speaker struct {
	id       crux.NodeID
	inc, seq uint64
	complete bool
	rows     map[crux.RowKey]crux.Row
}

func newSpeaker(i int) *speaker {
	return &speaker{id: node(i), inc: 1, rows: map[crux.RowKey]crux.Row{}}
}

func (s *speaker) put(inst crux.Inst, port int, st crux.Status) crux.Row {
	s.seq++
	r := crux.Row{
		Node: s.id, Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, NetID: crux.NetID(fmt.Sprintf("127.0.0.1:%d", port)),
		Status: st, Incarnation: s.inc, Seq: s.seq, TTL: ttl,
	}
	s.rows[r.RowKey()] = r
	if st == crux.Gone {
		delete(s.rows, r.RowKey())
	}
	return r
}

func (s *speaker) digest() crux.Digest {
	s.seq++
	d := crux.Digest{Node: s.id, Incarnation: s.inc, Seq: s.seq, Complete: s.complete, TTL: ttl}
	for _, r := range s.rows {
		d.Count++
		h := r.SetHash()
		for i := range h {
			d.Hash[i] ^= h[i]
		}
	}
	return d
}

func (s *speaker) full() (out []crux.Row) {
	for _, r := range s.rows {
		out = append(out, r)
	}
	return out
}

// restart begins the next incarnation, which has nothing yet.
func (s *speaker) restart() {
	s.inc, s.seq, s.complete, s.rows = s.inc+1, 0, false, map[crux.RowKey]crux.Row{}
}

// shown prints what a table shows, for comparison.
func shown(t *steward.Table) []string {
	t.Publish()
	return show(t.Find(crux.Selector{}))
}

func show(rows []crux.Row) (out []string) {
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%v %s %s %s %v %d.%d", r.Node, r.Horde, r.Inst, r.NetID, r.Status, r.Incarnation, r.Seq))
	}
	slices.Sort(out)
	return out
}

func wantRows(t *testing.T, tab *steward.Table, want int) {
	t.Helper()
	if got := shown(tab); len(got) != want || tab.Len() != want {
		t.Fatalf("%d rows (Len %d), want %d: %q", len(got), tab.Len(), want, got)
	}
}
