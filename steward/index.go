package steward

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"fulcrum.example/crux"
)

// index keeps the live rows by horde and API, each list sorted as look-ups give
// it. Changes gather until publish, which makes new lists of the ones that
// changed and leaves alone what readers may hold.
type index struct {
	lists   atomic.Pointer[map[indexKey]*list] // replaced when an API comes or goes
	pending map[indexKey]map[crux.RowKey]crux.Row
}

type indexKey struct {
	horde crux.Horde
	api   crux.API
}

// list is what is published of one API.
type list struct{ now atomic.Pointer[sorted] }

// sorted is immutable.
type sorted struct {
	rows  []crux.Row
	spans []span // one for each instance, as they are sorted
}

// span says which rows are those of an instance.
type span struct {
	inst     crux.Inst
	from, to int
}

func (x *index) init() {
	x.lists.Store(&map[indexKey]*list{})
	x.pending = map[indexKey]map[crux.RowKey]crux.Row{}
}

// set makes a row the one of its key; a Gone one takes it out.
func (x *index) set(r crux.Row) {
	k := indexKey{r.Horde, r.API}
	p := x.pending[k]
	if p == nil {
		p = map[crux.RowKey]crux.Row{}
		x.pending[k] = p
	}
	p[r.RowKey()] = r
}

// get finds a row, published or not.
func (x *index) get(k crux.RowKey) (crux.Row, bool) {
	ik := indexKey{k.Horde, k.Inst.API()}
	if r, ok := x.pending[ik][k]; ok {
		return r, r.Status != crux.Gone
	}
	rows := x.read(ik)
	want := crux.Row{Node: k.Node, Inst: k.Inst, NetID: k.NetID}
	i, ok := slices.BinarySearchFunc(rows, &want, orderTo)
	if !ok {
		return crux.Row{}, false
	}
	return rows[i], true
}

// read returns the published rows of an API.
func (x *index) read(k indexKey) []crux.Row {
	if l := (*x.lists.Load())[k]; l != nil {
		return l.now.Load().rows
	}
	return nil
}

// readInst returns the published rows of one instance.
func (x *index) readInst(k indexKey, inst crux.Inst) []crux.Row {
	l := (*x.lists.Load())[k]
	if l == nil {
		return nil
	}
	s := l.now.Load()
	for _, p := range s.spans {
		if p.inst == inst {
			return s.rows[p.from:p.to:p.to]
		}
	}
	return nil
}

// publish makes the changes visible to readers.
func (x *index) publish() {
	if len(x.pending) == 0 {
		return
	}
	lists := *x.lists.Load()
	var next map[indexKey]*list // a copy, once an API comes or goes
	for k, changes := range x.pending {
		rows := merge(x.read(k), changes)
		l := lists[k]
		if l != nil && len(rows) > 0 {
			l.now.Store(newSorted(rows))
			continue
		}
		if l == nil && len(rows) == 0 {
			continue
		}
		if next == nil {
			next = maps.Clone(lists)
		}
		delete(next, k)
		if len(rows) > 0 {
			l = &list{}
			l.now.Store(newSorted(rows))
			next[k] = l
		}
	}
	clear(x.pending)
	if next != nil {
		x.lists.Store(&next)
	}
}

func newSorted(rows []crux.Row) *sorted {
	s := &sorted{rows: rows}
	for i := range rows {
		if i == 0 || rows[i].Inst != rows[i-1].Inst {
			s.spans = append(s.spans, span{rows[i].Inst, i, i})
		}
		s.spans[len(s.spans)-1].to = i + 1
	}
	return s
}

// merge returns old with the changes made to it, as a new sorted slice.
func merge(old []crux.Row, changes map[crux.RowKey]crux.Row) []crux.Row {
	set := make([]*crux.Row, 0, len(changes))
	taken := make(map[crux.RowKey]bool, len(changes))
	for k, r := range changes {
		taken[k] = true
		if r.Status != crux.Gone {
			set = append(set, &r)
		}
	}
	slices.SortFunc(set, order)
	kept := 0
	for i := range old {
		if !taken[old[i].RowKey()] {
			kept++
		}
	}
	out := make([]crux.Row, 0, kept+len(set))
	for i := range old {
		if taken[old[i].RowKey()] {
			continue
		}
		for len(set) > 0 && order(set[0], &old[i]) < 0 {
			out, set = append(out, *set[0]), set[1:]
		}
		out = append(out, old[i])
	}
	for _, r := range set {
		out = append(out, *r)
	}
	return out
}

// order sorts rows as look-ups give them: greatest version first, then by node
// and address.
func order(a, b *crux.Row) int {
	if c := byInst(a, b.Inst); c != 0 {
		return c
	}
	if c := a.Node.Compare(b.Node); c != 0 {
		return c
	}
	return cmp.Compare(a.NetID, b.NetID)
}

func orderTo(a crux.Row, b *crux.Row) int { return order(&a, b) }

func byInst(r *crux.Row, inst crux.Inst) int {
	if r.Inst == inst {
		return 0
	}
	if c := inst.Compare(r.Inst); c != 0 {
		return c
	}
	return cmp.Compare(r.Inst, inst) // 2_1 and 2_01 are equal versions, yet two
}
