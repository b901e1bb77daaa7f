package route

import (
	"slices"

	"fulcrum.example/crux"
)

// Cache keeps what was computed from a graph, by the graph's shape: trees, and
// which nodes hang together. Tables that have the same edges find one another's
// results in it, so that thousands of simulated nodes that see the same change
// compute it once. It is bounded: of two generations, the older one is dropped
// when the younger has filled half of the limit.
type Cache struct {
	limit      int // bytes
	used       int // by the younger generation
	young, old generation
}

type generation struct {
	trees   map[treeKey]*Tree
	parts   map[uint64]*partition // by shape
	content map[uint64]*partition // by their own hash: equal ones are one
	diffs   map[diffKey][]uint32
}

type treeKey struct {
	shape  uint64
	origin uint32
}

func newGeneration() generation {
	return generation{make(map[treeKey]*Tree), make(map[uint64]*partition), make(map[uint64]*partition), make(map[diffKey][]uint32)}
}

// DefaultCache is enough for a hundred trees of 10,000 nodes, in bytes.
const DefaultCache = 32 << 20

// NewCache makes a cache that takes at most so many bytes.
func NewCache(limit int) *Cache {
	return &Cache{limit: limit, young: newGeneration(), old: newGeneration()}
}

// charge makes room for something of so many bytes in the younger generation.
func (c *Cache) charge(bytes int) {
	if c.used += bytes; c.used > c.limit/2 {
		c.old, c.young = c.young, newGeneration()
		c.used = bytes
	}
}

func (c *Cache) tree(t *Table, origin crux.NodeID) *Tree {
	i := t.ix.find(origin)
	if i == none {
		return &Tree{ids: []crux.NodeID{origin}, find: func(crux.NodeID) uint32 { return none }}
	}
	k := treeKey{t.shape, i}
	if tr := c.young.trees[k]; tr != nil {
		return tr
	}
	tr := c.old.trees[k]
	if tr == nil {
		tr = buildTree(t, i)
	}
	c.charge(tr.bytes())
	c.young.trees[k] = tr
	return tr
}

// partition tells which part of the graph each node is in. Equal ones are the
// same pointer, while the cache remembers them.
type partition struct {
	part  []uint32 // by index: the least index in its part; none: no row
	sizes []uint32 // by part
	hash  uint64
}

// of gives the part that node i is in, or none.
func (p *partition) of(i uint32) uint32 {
	if p == nil || i >= uint32(len(p.part)) {
		return none
	}
	return p.part[i]
}

// size is the number of nodes in a part.
func (p *partition) size(part uint32) int {
	if p == nil || part == none {
		return 0
	}
	return int(p.sizes[part])
}

// partition finds the parts of t's graph.
func (c *Cache) partition(t *Table) *partition {
	if p := c.young.parts[t.shape]; p != nil {
		return p
	}
	p := c.old.parts[t.shape]
	if p == nil {
		p = buildPartition(t)
		if q := c.sameAs(p); q != nil {
			p = q
		}
	}
	c.charge(64 + 8*len(p.part))
	c.young.parts[t.shape] = p
	c.young.content[p.hash] = p
	return p
}

// sameAs finds a partition equal to p.
func (c *Cache) sameAs(p *partition) *partition {
	for _, g := range []*generation{&c.young, &c.old} {
		if q := g.content[p.hash]; q != nil && slices.Equal(p.part, q.part) {
			return q
		}
	}
	return nil
}

func buildPartition(t *Table) *partition {
	n := uint32(t.ix.Len())
	p := &partition{part: make([]uint32, n), sizes: make([]uint32, n), hash: uint64(n)}
	for i := range p.part {
		p.part[i] = none
	}
	queue := make([]uint32, 0, t.n)
	for i := range n {
		if p.part[i] == none && t.row(i) != nil {
			queue = t.spread(p.part, i, queue[:0])
			p.sizes[i] = uint32(len(queue))
		}
		p.hash = mix(p.hash ^ uint64(p.part[i]))
	}
	return p
}

// spread marks all nodes that hang together with i.
func (t *Table) spread(part []uint32, i uint32, queue []uint32) []uint32 {
	part[i] = i
	queue = append(queue, i)
	for k := 0; k < len(queue); k++ {
		u := queue[k]
		a := t.row(u)
		if !carries(a) {
			continue
		}
		for _, v := range t.ix.edges(a) {
			if v != none && part[v] == none && t.joined(u, v) {
				part[v] = i
				queue = append(queue, v)
			}
		}
	}
	return queue
}

type diffKey struct {
	before, after     *partition
	beforeMe, afterMe uint32 // the parts that the observer is in
}

// diff lists the nodes whose state differs between two partitions, as seen by a
// node that was in one part and is in the other.
func (c *Cache) diff(k diffKey) []uint32 {
	if d, ok := c.young.diffs[k]; ok {
		return d
	}
	var d []uint32
	n := len(k.after.part) // the one before may have seen more nodes: a graph can come back
	if k.before != nil {
		n = max(n, len(k.before.part))
	}
	for i := range uint32(n) {
		if stateIn(k.before, i, k.beforeMe) != stateIn(k.after, i, k.afterMe) {
			d = append(d, i)
		}
	}
	c.charge(64 + 4*len(d))
	c.young.diffs[k] = d
	return d
}

// stateIn is node i's state in a partition, as seen from a part.
func stateIn(p *partition, i, from uint32) State {
	switch part := p.of(i); {
	case part == none:
		return Unknown
	case part == from:
		return Up
	}
	return Down
}
