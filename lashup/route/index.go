package route

import "fulcrum.example/crux"

// none is no index.
const none = ^uint32(0)

// indexEntry is about what a node takes in an Index, in bytes: its ID twice, its
// number, and the map's overhead.
const indexEntry = 8 + 2*(8+4)

// Index numbers nodes densely, in the order in which they were first seen. It
// only grows. Tables number the owners of rows, whom Allowed admitted, never the
// nodes that an adjacency merely names, so it is bounded by the flock.
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
