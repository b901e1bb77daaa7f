package route

import (
	"math/rand/v2"
	"slices"

	"fulcrum.example/crux"
)

// Infinity is the distance to who cannot be reached.
const Infinity = -1

// absent marks a node that the table had no row of.
const absent = -2

// Tree is a tree of shortest paths from one origin. It is immutable; it is read by
// the goroutine that owns the Index.
//
// order lists the reached nodes breadth first, so that a node's children lie
// beside one another; first says where they begin.
type Tree struct {
	ids    []crux.NodeID // of the index, when the tree was made
	find   func(crux.NodeID) uint32
	root   uint32
	dist   []int16
	parent []uint32
	first  []uint32
	order  []uint32
}

// buildTree runs a breadth-first search over the mutual edges. The rows' edges
// are in the order of the node IDs, so ties do not depend on the numbering.
func buildTree(t *Table, origin uint32) *Tree {
	n := t.ix.Len()
	tr := &Tree{
		ids: t.ix.ids[:n:n], find: t.ix.find, root: origin,
		dist: make([]int16, n), parent: make([]uint32, n), first: make([]uint32, n), order: make([]uint32, 0, t.n+1),
	}
	for i := range tr.dist {
		tr.parent[i] = none
		if tr.dist[i] = Infinity; t.row(uint32(i)) == nil {
			tr.dist[i] = absent
		}
	}
	tr.dist[origin] = 0
	tr.order = append(tr.order, origin)
	for k := 0; k < len(tr.order); k++ {
		u := tr.order[k]
		tr.first[u] = uint32(len(tr.order))
		a := t.row(u)
		if a == nil {
			continue // only the origin can have none; if it is leaving, it still sends
		}
		for _, v := range t.ix.edges(a) {
			if v != none && tr.dist[v] == Infinity && t.joined(u, v) {
				tr.dist[v], tr.parent[v] = tr.dist[u]+1, u
				tr.order = append(tr.order, v)
			}
		}
	}
	return tr
}

// bytes is the memory that the tree takes.
func (tr *Tree) bytes() int { return 128 + len(tr.dist)*10 + cap(tr.order)*4 }

// Origin is the tree's root.
func (tr *Tree) Origin() crux.NodeID { return tr.ids[tr.root] }

// at gives the number of a node that the tree spans, or none.
func (tr *Tree) at(id crux.NodeID) uint32 {
	i := tr.find(id)
	if i >= uint32(len(tr.dist)) || tr.dist[i] < 0 {
		return none
	}
	return i
}

// Distance is the number of hops from the origin to id, or Infinity.
func (tr *Tree) Distance(id crux.NodeID) int {
	if i := tr.at(id); i != none {
		return int(tr.dist[i])
	}
	return Infinity
}

// Parent is the node before id on the path from the origin; ok is false for the
// origin, and for who is unreachable.
func (tr *Tree) Parent(id crux.NodeID) (p crux.NodeID, ok bool) {
	i := tr.at(id)
	if i == none || tr.parent[i] == none {
		return p, false
	}
	return tr.ids[tr.parent[i]], true
}

// Children are the nodes whose Parent is id, ascending.
func (tr *Tree) Children(id crux.NodeID) []crux.NodeID {
	i := tr.at(id)
	if i == none {
		return nil
	}
	var out []crux.NodeID
	for _, v := range tr.children(i) {
		out = append(out, tr.ids[v])
	}
	return out
}

func (tr *Tree) children(i uint32) []uint32 {
	lo := tr.first[i]
	hi := lo
	for hi < uint32(len(tr.order)) && tr.parent[tr.order[hi]] == i {
		hi++
	}
	return tr.order[lo:hi]
}

// NextHop is the first node after the origin on the path to id; ok is false for
// the origin itself, and for who is unreachable.
func (tr *Tree) NextHop(id crux.NodeID) (hop crux.NodeID, ok bool) {
	i := tr.at(id)
	if i == none || i == tr.root {
		return hop, false
	}
	for tr.parent[i] != tr.root {
		i = tr.parent[i]
	}
	return tr.ids[i], true
}

// Path lists the nodes from the origin to id, both included; nil if there is no
// path.
func (tr *Tree) Path(id crux.NodeID) []crux.NodeID {
	i := tr.at(id)
	if i == none {
		return nil
	}
	out := make([]crux.NodeID, tr.dist[i]+1)
	for k := len(out) - 1; k >= 0; k-- {
		out[k] = tr.ids[i]
		i = tr.parent[i]
	}
	return out
}

// Reachable is the number of nodes that the tree spans, its origin included.
func (tr *Tree) Reachable() int { return len(tr.order) }

// Pick chooses at most n nodes at random that the tree spans, all different and
// none of them its origin.
func (tr *Tree) Pick(r *rand.Rand, n int) []crux.NodeID {
	n = min(n, max(0, len(tr.order)-1))
	out := make([]crux.NodeID, 0, n)
	for len(out) < n {
		if id := tr.ids[tr.order[1+r.IntN(len(tr.order)-1)]]; !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// Unreachable lists the nodes that the table knew and the tree does not span,
// ascending.
func (tr *Tree) Unreachable() []crux.NodeID {
	var out []crux.NodeID
	for i, d := range tr.dist {
		if d == Infinity {
			out = append(out, tr.ids[i])
		}
	}
	slices.SortFunc(out, crux.NodeID.Compare)
	return out
}

// Prune gives the part of the tree that leads to the nodes named: they, and who
// is on the paths to them. Distances stay. Nodes that the whole tree does not
// span are left out.
func (tr *Tree) Prune(only []crux.NodeID) *Tree {
	if len(tr.order) == 0 {
		return tr // nobody knows its origin
	}
	keep := make([]bool, len(tr.dist))
	keep[tr.root] = true
	for _, id := range only {
		for i := tr.at(id); i != none && !keep[i]; i = tr.parent[i] {
			keep[i] = true
		}
	}
	p := &Tree{
		ids: tr.ids, find: tr.find, root: tr.root,
		dist: slices.Clone(tr.dist), parent: tr.parent, first: make([]uint32, len(tr.first)),
	}
	for _, i := range tr.order {
		if !keep[i] {
			p.dist[i] = Infinity
			continue
		}
		if up := tr.parent[i]; up != none && p.first[up] == 0 {
			p.first[up] = uint32(len(p.order))
		}
		p.order = append(p.order, i)
	}
	for _, i := range p.order {
		if p.first[i] == 0 {
			p.first[i] = uint32(len(p.order)) // no children
		}
	}
	return p
}

// Adjacent lists at's neighbours in the tree, ascending by the way the tree was
// grown: its parent, if any, and its children.
func (tr *Tree) Adjacent(at crux.NodeID) []crux.NodeID {
	i := tr.at(at)
	if i == none {
		return nil
	}
	kids := tr.children(i)
	out := make([]crux.NodeID, 0, len(kids)+1)
	if p := tr.parent[i]; p != none {
		out = append(out, tr.ids[p])
	}
	for _, v := range kids {
		out = append(out, tr.ids[v])
	}
	return out
}

// Toward lists those of at's neighbours in the tree through which the tree leads
// from at to any of the nodes named.
func (tr *Tree) Toward(at crux.NodeID, only []crux.NodeID) []crux.NodeID {
	me := tr.at(at)
	if me == none {
		return nil
	}
	var out []crux.NodeID
	for _, id := range only {
		i := tr.at(id)
		if i == none || i == me {
			continue
		}
		for tr.dist[i] > tr.dist[me]+1 {
			i = tr.parent[i]
		}
		if tr.dist[i] <= tr.dist[me] || tr.parent[i] != me {
			i = tr.parent[me] // it is not below: the way leads up
		}
		if hop := tr.ids[i]; !slices.Contains(out, hop) {
			out = append(out, hop)
		}
	}
	return out
}
