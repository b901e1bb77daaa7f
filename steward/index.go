package steward

import (
	"cmp"
	"slices"

	"fulcrum.example/crux"
)

// order sorts rows as look-ups give them: greatest version first, then by node
// and address.
func order(a, b crux.Row) int {
	if c := b.Inst.Compare(a.Inst); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Inst, b.Inst); c != 0 { // 2_1 and 2_01 are equal, yet two
		return c
	}
	if c := a.Node.Compare(b.Node); c != 0 {
		return c
	}
	return cmp.Compare(a.NetID, b.NetID)
}

// reindex replaces an entry (nil: none) by a row (nil, or Gone: none) in the
// index. The slice that readers may hold is not touched.
func (t *Table) reindex(old *entry, r *crux.Row) {
	wasLive, isLive := old != nil && old.row.Status != crux.Gone, r != nil && r.Status != crux.Gone
	if !wasLive && !isLive {
		return
	}
	var k indexKey
	if isLive {
		k = indexKey{r.Horde, r.API}
	} else {
		k = indexKey{old.row.Horde, old.row.API}
	}
	rows := slices.Clone(t.index[k])
	if wasLive {
		if i, ok := slices.BinarySearchFunc(rows, old.row, order); ok {
			rows = slices.Delete(rows, i, i+1)
			t.live--
		}
	}
	if isLive {
		i, _ := slices.BinarySearchFunc(rows, *r, order)
		rows = slices.Insert(rows, i, *r)
		t.live++
	}
	if len(rows) == 0 {
		delete(t.index, k)
		return
	}
	t.index[k] = rows
}

// Find returns the live rows that a selector matches, greatest version first.
// The slice is immutable. A selector with a horde, and an API or an instance,
// and no node, costs no allocation.
func (t *Table) Find(sel crux.Selector) []crux.Row {
	api := sel.API
	if api == "" && sel.Inst != "" {
		api = sel.Inst.API()
	}
	if sel.Horde == "" || api == "" {
		return t.scan(sel)
	}
	rows := t.index[indexKey{sel.Horde, api}]
	if sel.Inst != "" {
		rows = ofInst(rows, sel.Inst)
	}
	if sel.Node.IsZero() {
		return rows
	}
	return filter(rows, sel)
}

// ofInst cuts the rows of one instance out of sorted rows.
func ofInst(rows []crux.Row, inst crux.Inst) []crux.Row {
	from, _ := slices.BinarySearchFunc(rows, inst, byInst)
	to := from
	for to < len(rows) && rows[to].Inst == inst {
		to++
	}
	return rows[from:to:to]
}

func byInst(r crux.Row, inst crux.Inst) int {
	if c := inst.Compare(r.Inst); c != 0 {
		return c
	}
	return cmp.Compare(r.Inst, inst)
}

func filter(rows []crux.Row, sel crux.Selector) (out []crux.Row) {
	for i := range rows {
		if sel.Matches(&rows[i]) {
			out = append(out, rows[i])
		}
	}
	return out
}

// scan finds rows of any horde or API.
func (t *Table) scan(sel crux.Selector) (out []crux.Row) {
	for _, rows := range t.index {
		out = append(out, filter(rows, sel)...)
	}
	slices.SortFunc(out, func(a, b crux.Row) int {
		if c := cmp.Compare(a.Horde, b.Horde); c != 0 {
			return c
		}
		return order(a, b)
	})
	return out
}
