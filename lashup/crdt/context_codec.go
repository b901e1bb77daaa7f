package crdt

import "fulcrum.example/crux"

// runs calls yield for the spans of each node.
func (c Context) runs(yield func(crux.NodeID, []Span) bool) {
	for i, j := 0, 0; i < len(c.spans); i = j {
		for j = i; j < len(c.spans) && c.spans[j].Node == c.spans[i].Node; j++ {
		}
		if !yield(c.spans[i].Node, c.spans[i:j]) {
			return
		}
	}
}

// steps turns a node's spans into the four numbers that each has on the wire, the
// way from mark to mark.
func steps(list []Span, yield func(uint64)) {
	at := Mark{}
	for _, s := range list {
		for _, m := range [2]Mark{s.Lo, s.Hi} {
			yield(m.Incarnation - at.Incarnation)
			if m.Incarnation == at.Incarnation {
				yield(m.Seq - at.Seq)
			} else {
				yield(m.Seq)
			}
			at = m
		}
	}
}

// Size is the exact length of the encoding.
func (c Context) Size() int {
	nodes, n := 0, 0
	for _, list := range c.runs {
		nodes++
		n += len(crux.NodeID{}) + uvarintLen(uint64(len(list)))
		steps(list, func(v uint64) { n += uvarintLen(v) })
	}
	return n + uvarintLen(uint64(nodes))
}

// Append appends the canonical encoding to b: see codec.go.
func (c Context) Append(b []byte) []byte {
	nodes := 0
	for range c.runs {
		nodes++
	}
	b = appendUvarint(b, uint64(nodes))
	for id, list := range c.runs {
		b = appendUvarint(append(b, id[:]...), uint64(len(list)))
		steps(list, func(v uint64) { b = appendUvarint(b, v) })
	}
	return b
}

// DecodeContext reads the bytes that Append makes, and no others: Corrupt if it
// cannot.
func DecodeContext(b []byte) (Context, error) {
	r := &reader{b: b}
	c := r.context()
	return c, r.end("read a causal context")
}

// context reads a context.
func (r *reader) context() Context {
	var c Context
	last := crux.NodeID{}
	for i, n := 0, r.count(len(last)+5); i < n && r.ok(); i++ {
		id := r.node()
		r.check(i == 0 || last.Compare(id) < 0, "nodes of the context out of order")
		last = id
		at := Mark{}
		spans := r.count(4)
		r.check(spans > 0, "node without spans")
		for k := 0; k < spans && r.ok(); k++ {
			lo := r.step(at)
			hi := r.step(lo)
			r.check(lo.Compare(hi) < 0 && (k == 0 || at.Compare(lo) < 0), "empty or touching spans")
			c.spans = append(c.spans, Span{id, lo, hi})
			at = hi
		}
	}
	return c
}

// step reads a mark after at.
func (r *reader) step(at Mark) Mark {
	inc, seq := r.uvarint(), r.uvarint()
	m := Mark{at.Incarnation + inc, seq}
	if inc == 0 {
		m.Seq += at.Seq
	}
	r.check(m.Incarnation >= at.Incarnation && m.Seq >= seq, "a span beyond the last number")
	return m
}
