package steward

import (
	"cmp"
	"slices"

	"fulcrum.example/crux"
)

// Publish makes what was taken in visible to Find.
func (t *Table) Publish() { t.index.publish() }

// Find returns the published live rows that a selector matches, greatest version
// first, then by node and address; those of several hordes or APIs are sorted by
// these first. The slice never changes. A selector with a horde, an API or an
// instance, and no node, costs no allocation. It may be called from any
// goroutine.
func (t *Table) Find(sel crux.Selector) []crux.Row {
	api := sel.API
	if api == "" && sel.Inst != "" {
		api = sel.Inst.API()
	}
	if sel.Horde == "" || api == "" {
		return t.scan(sel)
	}
	var rows []crux.Row
	if k := (indexKey{sel.Horde, api}); sel.Inst != "" {
		rows = t.index.readInst(k, sel.Inst)
	} else {
		rows = t.index.read(k)
	}
	if sel.Node.IsZero() {
		return rows
	}
	return filter(rows, sel)
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
	for _, l := range *t.index.lists.Load() {
		out = append(out, filter(l.now.Load().rows, sel)...)
	}
	slices.SortFunc(out, func(a, b crux.Row) int {
		return cmp.Or(cmp.Compare(a.Horde, b.Horde), order(&a, &b))
	})
	return out
}
