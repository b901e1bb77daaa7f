package route

import "fulcrum.example/crux"

// none is no index.
const none = ^uint32(0)

// indexEntry is about what a node takes in an Index, in bytes: its ID twice, its
// number, and the map's overhead.
const indexEntry = 8 + 2*(8+4)

// Index numbers nodes densely, in the order in which they were first seen. It
// only grows. Tables number the owners of rows, whom Allowed admitted, never the
// nodes that an adjacency merely names. A node that was forgotten keeps its
// number; when such nodes are in the majority, and more than maxGone, a table
// makes an index of its own (shrink). So an index holds at most twice the rows that
// the table ever had at a time, and maxGone.
type Index struct {
	of  map[crux.NodeID]uint32
	ids []crux.NodeID
}

// NewIndex makes an empty index.
func NewIndex() *Index { return &Index{of: make(map[crux.NodeID]uint32)} }

// Len is how many nodes were seen.
func (x *Index) Len() int { return len(x.ids) }

// add gives the node's number, a new one if need be.
func (x *Index) add(id crux.NodeID) uint32 {
	if i, ok := x.of[id]; ok {
		return i
	}
	i := uint32(len(x.ids))
	x.of[id] = i
	x.ids = append(x.ids, id)
	return i
}

// find gives the node's number, or none.
func (x *Index) find(id crux.NodeID) uint32 {
	if i, ok := x.of[id]; ok {
		return i
	}
	return none
}

// maxGone is how many forgotten nodes an index may hold in any case.
const maxGone = 4096

// shrink numbers the rows anew, in an index and a cache that this table shares
// with no other, if most numbers are of nodes that have no row. It waits for a
// moment at which all changes are settled. Trees that were given out stay good.
func (t *Table) shrink() bool {
	e := &t.events
	if gone := t.ix.Len() - t.n; gone <= maxGone || gone <= t.n {
		return false
	}
	if e.dirty || len(e.odd) > 0 || len(e.lost) > 0 || e.alone != never {
		return false
	}
	old := t.chunks
	t.ix, t.cache, t.chunks = NewIndex(), NewCache(t.cache.limit), nil
	t.me = t.ix.add(t.self)
	for _, c := range old {
		for _, a := range c.rows {
			if a != nil {
				t.set(t.ix.add(a.Node), a)
			}
		}
	}
	e.settled, e.haste = t.cache.partition(t), nil
	e.me = t.partOf(e.settled)
	return true
}

// edges gives a's edges by number; those of nodes not yet seen are none.
func (x *Index) edges(a *Adjacency) []uint32 {
	if a.ix == x && (a.seen == 0 || a.seen == uint32(len(x.ids))) {
		return a.dense // all are known, or nobody came since
	}
	if a.ix != x {
		a.ix, a.dense = x, make([]uint32, len(a.Edges))
	}
	a.seen = 0
	for i, e := range a.Edges {
		if a.dense[i] = x.find(e); a.dense[i] == none {
			a.seen = uint32(len(x.ids))
		}
	}
	return a.dense
}
