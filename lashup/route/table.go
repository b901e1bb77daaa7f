package route

import (
	"math/bits"
	"slices"
	"time"
	"unsafe"

	"fulcrum.example/crux"
)

// MaxNodes bounds the rows of a table.
const MaxNodes = 1 << 15

// maxTombs bounds what a table remembers of rows that it forgot.
const maxTombs = 4096

// chunk is a run of rows. Tables share chunks until one of them writes. They are
// small, so that a change copies little.
type chunk struct {
	owner *Table // who may write; nil: it is shared
	rows  [1 << chunkBits]*Adjacency
}

const (
	chunkBits = 6
	chunkMask = 1<<chunkBits - 1
)

// Table holds the newest adjacency of each node: some 8 bytes a node beside the
// adjacencies themselves. It belongs to one node, Self, from which reachability
// is seen.
type Table struct {
	self   crux.NodeID
	me     uint32
	ix     *Index
	cache  *Cache
	chunks []*chunk
	n      int    // rows
	bytes  int    // their encoded size
	hash   uint64 // sum of their stamps
	shape  uint64 // sum of their shapes
	tombs  map[crux.NodeID]Stamp
	buried []crux.NodeID // oldest first
	events settling
}

// New makes an empty table of node self. All tables that share a cache must
// share the index, too.
func New(self crux.NodeID, ix *Index, cache *Cache) *Table {
	return &Table{self: self, me: ix.add(self), ix: ix, cache: cache, events: newSettling()}
}

// Clone makes a table of another node with the same rows, in the same settled
// state, without copying them. It is for simulations that begin with a formed
// overlay.
func (t *Table) Clone(self crux.NodeID) *Table {
	for _, c := range t.chunks {
		c.owner = nil
	}
	c := New(self, t.ix, t.cache)
	c.chunks = slices.Clone(t.chunks)
	c.n, c.bytes, c.hash, c.shape = t.n, t.bytes, t.hash, t.shape
	c.events.settled, c.events.me = t.events.settled, t.events.settled.of(c.me)
	c.events.dirty = t.events.dirty
	return c
}

// Self is the node that the table belongs to.
func (t *Table) Self() crux.NodeID { return t.self }

// Len is the number of rows.
func (t *Table) Len() int { return t.n }

// Bytes is the size of the database: its rows as they are encoded.
func (t *Table) Bytes() int { return t.bytes }

// Memory estimates the memory that the database takes, in bytes: the rows, their
// cards, and the table's and the index's share.
func (t *Table) Memory() int {
	n := 0
	t.Each(func(a *Adjacency) { n += a.memory() })
	return n + len(t.chunks)*int(unsafe.Sizeof(chunk{})) + t.ix.Len()*indexEntry
}

// Hash is a hash of all (node, epoch, clock), whatever their order: tables with
// the same rows have the same.
func (t *Table) Hash() uint64 { return t.hash }

// Shape is a hash of the graph: it stays as it is while no edge changes.
func (t *Table) Shape() uint64 { return t.shape }

// Get gives a node's newest adjacency, or nil.
func (t *Table) Get(id crux.NodeID) *Adjacency { return t.row(t.ix.find(id)) }

// Each calls f for every row, in no particular order.
func (t *Table) Each(f func(*Adjacency)) {
	for _, c := range t.chunks {
		for _, a := range c.rows {
			if a != nil {
				f(a)
			}
		}
	}
}

// Update takes in an adjacency whose signature was verified. changed says that
// it is now the node's newest. One that is older than the row, or not newer than
// what was forgotten, changes nothing and is no error. Errors: Invalid, it is
// malformed; Conflict, it differs from the row that bears the same stamp;
// Exhausted, the table is full.
func (t *Table) Update(a *Adjacency) (changed bool, err error) {
	const op = "update adjacency"
	if why := a.valid(); why != "" {
		return false, crux.Errorf(op, crux.Invalid, "the adjacency of %s is refused: %s", a.Node, why)
	}
	old := t.Get(a.Node)
	if old == nil {
		if s, ok := t.tombs[a.Node]; ok && !a.Newer(&Adjacency{Epoch: s.Epoch, Clock: s.Clock}) {
			return false, nil
		}
		if t.n >= MaxNodes {
			return false, crux.Errorf(op, crux.Exhausted, "no room for %s: the table holds %d nodes", a.Node, t.n)
		}
	} else if !a.Newer(old) {
		if !old.Newer(a) && !a.same(old) {
			return false, crux.Errorf(op, crux.Conflict, "%s said two things as its %d.%d: the first is kept", a.Node, a.Epoch, a.Clock)
		}
		return false, nil
	}
	t.put(t.ix.add(a.Node), old, a)
	t.readmit(a.Node)
	return true, nil
}

// readmit forgets that a node's row was forgotten: the same one may come back.
func (t *Table) readmit(id crux.NodeID) {
	if _, ok := t.tombs[id]; ok {
		delete(t.tombs, id)
		t.buried = slices.DeleteFunc(t.buried, func(b crux.NodeID) bool { return b == id })
	}
}

// Forget removes a node's row, of one that was evicted or is gone for good. Only
// a newer adjacency brings it back.
func (t *Table) Forget(id crux.NodeID) {
	old := t.Get(id)
	if old == nil {
		return
	}
	if t.tombs == nil {
		t.tombs = make(map[crux.NodeID]Stamp)
	}
	t.buried = append(t.buried, id)
	t.tombs[id] = Stamp{id, old.Epoch, old.Clock}
	for len(t.buried) > maxTombs {
		delete(t.tombs, t.buried[0])
		t.buried = t.buried[1:]
	}
	t.put(t.ix.find(id), old, nil)
}

// put replaces row i.
func (t *Table) put(i uint32, old, a *Adjacency) {
	t.set(i, a)
	if old != nil {
		t.n--
		t.bytes -= old.Size()
		t.hash -= old.stamp()
		t.shape -= old.shape()
	}
	if a != nil {
		t.n++
		t.bytes += a.Size()
		t.hash += a.stamp()
		t.shape += a.shape()
	}
	if old == nil || a == nil || old.shape() != a.shape() {
		t.events.dirty = true
		t.noteLost(i, old, a)
	}
}

func (t *Table) row(i uint32) *Adjacency {
	if c := i >> chunkBits; c < uint32(len(t.chunks)) {
		return t.chunks[c].rows[i&chunkMask]
	}
	return nil
}

func (t *Table) set(i uint32, a *Adjacency) {
	k := int(i >> chunkBits)
	for len(t.chunks) <= k {
		t.chunks = append(t.chunks, &chunk{owner: t})
	}
	c := t.chunks[k]
	if c.owner != t {
		c = &chunk{owner: t, rows: c.rows}
		t.chunks[k] = c
	}
	c.rows[i&chunkMask] = a
}

// carries says whether row a may be part of paths, and edges of the graph.
func carries(a *Adjacency) bool { return a != nil && !a.Leaving }

// joined says whether the graph has the edge from u to the node numbered v,
// given that u's row lists v.
func (t *Table) joined(u, v uint32) bool {
	a := t.row(v)
	return carries(a) && slices.Contains(t.ix.edges(a), u)
}

// degree is the number of edges that the graph has at node i.
func (t *Table) degree(i uint32) (n int) {
	a := t.row(i)
	if !carries(a) {
		return 0
	}
	for _, v := range t.ix.edges(a) {
		if t.joined(i, v) {
			n++
		}
	}
	return n
}

// Neighbours gives the node's neighbours in the graph, ascending: those that it
// lists and that list it.
func (t *Table) Neighbours(id crux.NodeID) []crux.NodeID {
	i := t.ix.find(id)
	a := t.row(i)
	if !carries(a) {
		return nil
	}
	out := make([]crux.NodeID, 0, len(a.Edges))
	for k, v := range t.ix.edges(a) {
		if t.joined(i, v) {
			out = append(out, a.Edges[k])
		}
	}
	return out
}

// Tree gives the tree of shortest paths from origin. It is computed once for a
// shape of the graph and shared; it stays good, unchanged, when the table moves
// on.
func (t *Table) Tree(origin crux.NodeID) *Tree { return t.cache.tree(t, origin) }

// buckets sums the stamps of the rows by the first k bits of their IDs.
func (t *Table) buckets(k int) []uint64 {
	sums := make([]uint64, 1<<k)
	t.Each(func(a *Adjacency) { sums[bucket(a.Node, k)] += a.stamp() })
	return sums
}

func bucket(id crux.NodeID, k int) uint64 { return number(id) >> 1 >> (63 - k) }

// bucketBits is how many bits divide n rows into buckets of about eight.
func bucketBits(n int) int { return min(maxBits, bits.Len(uint(n/8))) }

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)
