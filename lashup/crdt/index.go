package crdt

import (
	"slices"
	"sort"

	"fulcrum.example/crux"
)

// index finds the child of a large container that holds a dot, so that a small
// delta that removes something costs what the delta is long and not what the
// container is. It is made when first needed. It may name dots that are gone:
// who uses it looks whether they are there.
type index struct {
	nodes map[crux.NodeID][]ref // each sorted by mark
	n     int                   // refs
	made  int                   // refs when it was made
}

func newIndex() *index { return &index{nodes: map[crux.NodeID][]ref{}} }

// collect is add in any order; sort must follow.
func (x *index) collect(d Dot, key string) {
	x.nodes[d.Node] = append(x.nodes[d.Node], ref{d.mark(), key})
	x.n++
}

func (x *index) sort() {
	x.made = x.n
	for _, refs := range x.nodes {
		slices.SortFunc(refs, func(a, b ref) int { return a.at.Compare(b.at) })
	}
}

type ref struct {
	at  Mark
	key string
}

func (x *index) add(d Dot, key string) {
	refs := x.nodes[d.Node]
	i := len(refs)
	if i > 0 && refs[i-1].at.Compare(d.mark()) >= 0 {
		i = sort.Search(len(refs), func(i int) bool { return refs[i].at.Compare(d.mark()) >= 0 })
		if refs[i].at == d.mark() {
			return // a dot has one place
		}
	}
	x.nodes[d.Node] = slices.Insert(refs, i, ref{d.mark(), key})
	x.n++
}

// within calls yield with the key of each dot in c, sometimes twice with one key.
func (x *index) within(c Context, yield func(key string)) {
	for _, s := range c.spans {
		refs := x.nodes[s.Node]
		i := sort.Search(len(refs), func(i int) bool { return refs[i].at.Compare(s.Lo) > 0 })
		for ; i < len(refs) && refs[i].at.Compare(s.Hi) <= 0; i++ {
			yield(refs[i].key)
		}
	}
}
