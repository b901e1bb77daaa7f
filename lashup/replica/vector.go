package replica

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// vector is what a replica has received: for each node the marks of the operations
// whose effects its keys have. Whoever has received an operation on a key has all
// that its node had done to the key before.
//
// Beside them is the index from marks to keys: for each span of a key's context the
// last mark. When a node was never restarted, that is one for each node that has
// changed the key.
type vector struct {
	nodes map[crux.NodeID]*track
	sums  []uint64 // of the nodes' hashes, by the first byte of the ID; nil: no nodes
	total uint64
	stale map[crux.NodeID]*track // whose hashes are to be made
}

type track struct {
	seen crdt.Context // of this node
	hash uint64
	keys order[lastMark]
}

// lastMark is the end of a span of a key's context.
type lastMark struct {
	mark crdt.Mark
	rec  *record
}

func newVector() *vector { return &vector{nodes: map[crux.NodeID]*track{}} }

func (v *vector) track(id crux.NodeID) *track {
	t := v.nodes[id]
	if t == nil {
		t = &track{}
		v.nodes[id] = t
	}
	return t
}

// seen is what was received of a node; it may not be changed.
func (v *vector) seen(id crux.NodeID) crdt.Context {
	if t := v.nodes[id]; t != nil {
		return t.seen
	}
	return crdt.Context{}
}

// has says whether all of a span was received.
func (v *vector) has(s crdt.Span) bool {
	t := v.nodes[s.Node]
	return t != nil && t.seen.Covers(spanContext(s))
}

// covers says whether all of c was received.
func (v *vector) covers(c crdt.Context) bool {
	for s := range c.All() {
		if !v.has(s) {
			return false
		}
	}
	return true
}

// add notes that a span was received, and says whether that is news.
func (v *vector) add(s crdt.Span) bool {
	if v.has(s) || s.Lo.Compare(s.Hi) >= 0 {
		return false
	}
	t := v.track(s.Node)
	t.seen.AddSpan(s)
	v.changed(s.Node, t)
	return true
}

// replace makes c what was received of a node.
func (v *vector) replace(id crux.NodeID, c crdt.Context) {
	t := v.track(id)
	t.seen = c
	v.changed(id, t)
}

// changed has a node's hash made anew, once however many spans come together.
func (v *vector) changed(id crux.NodeID, t *track) {
	if v.stale == nil {
		v.stale = map[crux.NodeID]*track{}
	}
	v.stale[id] = t
}

// hash is that of all that was received.
func (v *vector) hash() uint64 {
	for id, t := range v.stale {
		v.rehash(id, t)
	}
	clear(v.stale)
	return v.total
}

func (v *vector) rehash(id crux.NodeID, t *track) {
	if v.sums == nil {
		v.sums = make([]uint64, maxGroups)
	}
	h := uint64(0)
	if !t.seen.Empty() {
		var room [128]byte
		b := room[:0]
		for s := range t.seen.All() {
			b = append(b, s.Node[:]...)
			for _, m := range [2]crdt.Mark{s.Lo, s.Hi} {
				b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, m.Incarnation), m.Seq)
			}
		}
		h = hashOf(b)
	}
	v.sums[id[0]] += h - t.hash
	v.total += h - t.hash
	t.hash = h
}

// hashOf is the hash that replicas compare. Hashes of parts are added up.
func hashOf(b []byte) uint64 {
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}

// groups are the sums of n groups.
func (v *vector) groups(n int) []uint64 {
	v.hash()
	out := make([]uint64, n)
	for i, s := range v.sums {
		out[i*n/maxGroups] += s
	}
	return out
}

// groupOf is the group of a node among n.
func groupOf(id crux.NodeID, n int) int { return int(id[0]) * n / maxGroups }

// fitting is how many groups suit the number of nodes.
func (v *vector) fitting() int {
	n := 1
	for n < maxGroups && n*8 < len(v.nodes) {
		n *= 2
	}
	return n
}

// ids are all nodes that marks or keys are known of, sorted.
func (v *vector) ids() []crux.NodeID {
	out := make([]crux.NodeID, 0, len(v.nodes))
	for id := range v.nodes {
		out = append(out, id)
	}
	slices.SortFunc(out, crux.NodeID.Compare)
	return out
}

// context is what was received of the nodes that pick says, or of all.
func (v *vector) context(pick func(crux.NodeID) bool) crdt.Context {
	var c crdt.Context
	for _, id := range v.ids() {
		if pick == nil || pick(id) {
			c.Union(v.nodes[id].seen)
		}
	}
	return c
}

// upTo is what was received of the nodes in c, up to the last that c has of each:
// what a key of which nothing is left has seen, if c is what others have seen of
// it.
func (v *vector) upTo(c crdt.Context) crdt.Context {
	var out crdt.Context
	for id, top := range tops(c) {
		out.Union(v.seen(id).Intersect(spanContext(crdt.Span{Node: id, Hi: top})))
	}
	return out
}

// move changes what the index says of a key, for the nodes that are in changed:
// its context was before and is now after.
func (v *vector) move(rec *record, changed, before, after crdt.Context) {
	for id := range tops(changed) {
		one := allOf(id)
		old, now := ends(before.Intersect(one)), ends(after.Intersect(one))
		if slices.Equal(old, now) {
			continue
		}
		t := v.track(id)
		for _, m := range old {
			if !slices.Contains(now, m) {
				t.drop(m, rec)
			}
		}
		for _, m := range now {
			if !slices.Contains(old, m) {
				t.put(m, rec)
			}
		}
	}
}

// ends are the last marks of the spans of c, which is of one node.
func ends(c crdt.Context) (list []crdt.Mark) {
	for s := range c.All() {
		list = append(list, s.Hi)
	}
	return list
}

// lastMarks come by mark, and by key where several keys have one (after folding).
func (x *lastMark) before(m crdt.Mark, key string) bool {
	if c := x.mark.Compare(m); c != 0 {
		return c < 0
	}
	return x.rec.key < key
}

// after finds the first key whose last mark is after m.
func (t *track) after(m crdt.Mark) spot {
	return t.keys.seek(func(x *lastMark) bool { return x.mark.Compare(m) <= 0 })
}

func (t *track) put(m crdt.Mark, rec *record) {
	t.keys.insert(t.keys.seek(func(x *lastMark) bool { return x.before(m, rec.key) }), lastMark{m, rec})
}

func (t *track) drop(m crdt.Mark, rec *record) {
	s := t.keys.seek(func(x *lastMark) bool { return x.before(m, rec.key) })
	if x := t.keys.at(s); x != nil && x.rec == rec && x.mark == m {
		t.keys.remove(s)
	}
}

// topOf is the last mark of a node in c, or zero.
func topOf(c crdt.Context, id crux.NodeID) (top crdt.Mark) {
	for s := range c.Intersect(allOf(id)).All() {
		top = s.Hi
	}
	return top
}

// tops gives the last mark of each node in c.
func tops(c crdt.Context) func(yield func(crux.NodeID, crdt.Mark) bool) {
	return func(yield func(crux.NodeID, crdt.Mark) bool) {
		var last crdt.Span
		for s := range c.All() {
			if s.Node != last.Node && last != (crdt.Span{}) && !yield(last.Node, last.Hi) {
				return
			}
			last = s
		}
		if last != (crdt.Span{}) {
			yield(last.Node, last.Hi)
		}
	}
}

func spanContext(s crdt.Span) crdt.Context {
	var c crdt.Context
	c.AddSpan(s)
	return c
}

// allOf is every mark of a node.
func allOf(id crux.NodeID) crdt.Context {
	return spanContext(crdt.Span{Node: id, Hi: crdt.Mark{Incarnation: math.MaxUint64, Seq: math.MaxUint64}})
}
