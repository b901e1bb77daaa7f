package crdt

import "slices"

// set is an add-wins set, whose elements are the dots that added them, or a
// remove-wins set, whose elements are disable-wins flags: an element is in it if
// all that is said of it and not replaced is an add.
type set[P payload] struct {
	typ Type
	shelf[cells[P]]
}

// element is what a shelf must know of a set's elements.
type element[P payload] struct{ typ Type }

func (element[P]) fresh(*cells[P]) cells[P] { return cells[P]{} }
func (element[P]) empty(c *cells[P]) bool   { return len(c.all()) == 0 }

func (element[P]) join(mine, o *cells[P], j *joiner) bool {
	if o == nil {
		return mine.join(nil, j)
	}
	return mine.join(o.all(), j)
}

func (element[P]) each(c *cells[P], yield func(Dot)) {
	for _, x := range c.all() {
		yield(x.dot)
	}
}

func (k element[P]) bytes(key string, c *cells[P]) int { return stringLen(key) + c.bytes(k.typ) }

func (s *set[P]) kin() kin[cells[P]] { return element[P]{s.typ} }
func (s *set[P]) kind() Type         { return s.typ }
func (s *set[P]) empty() bool        { return s.n == 0 }

func (s *set[P]) live() bool {
	for _, c := range s.all() {
		if c.visible() {
			return true
		}
	}
	return false
}

func (s *set[P]) clone() node {
	t := s.table.clone(func(c *cells[P]) cells[P] { return c.clone() })
	return &set[P]{s.typ, shelf[cells[P]]{table: t, bytes: s.shelf.bytes}}
}

func (s *set[P]) join(o node, j *joiner) bool {
	if o == nil {
		return s.shelf.join(nil, j, s.kin())
	}
	return s.shelf.join(&o.(*set[P]).shelf, j, s.kin())
}

func (s *set[P]) apply(op *Op, e *edit) (node, error) {
	out := &set[P]{typ: s.typ}
	for _, x := range op.add {
		out.keep(x, s.said(x, true, e), s.kin())
	}
	for _, x := range op.remove {
		if s.typ == RemoveWinsSet {
			out.keep(x, s.said(x, false, e), s.kin())
		} else if c := s.find(x); c != nil {
			c.remove(e)
		}
	}
	return out, nil
}

// said replaces what is here of element x.
func (s *set[P]) said(x string, in bool, e *edit) cells[P] {
	var val P
	if m, ok := any(&val).(*mark); ok {
		*m = mark(in)
	}
	c := s.find(x)
	if c == nil {
		c = &cells[P]{}
	}
	return c.replace(val, e)
}

func (s *set[P]) reset(e *edit) node {
	for _, c := range s.all() {
		c.remove(e)
	}
	return &set[P]{typ: s.typ}
}

func (s *set[P]) outside(f *fragment) node {
	out := &set[P]{typ: s.typ}
	for x, c := range s.all() {
		out.keep(x, c.outside(f), s.kin())
	}
	return out
}

func (s *set[P]) fold(*fold) bool { return false }

func (s *set[P]) each(yield func(Dot)) {
	for _, c := range s.all() {
		s.kin().each(c, yield)
	}
}

func (s *set[P]) latest() Timestamp { return 0 }

func (s *set[P]) value() Value {
	out := make([]string, 0, s.n)
	for x, c := range s.all() {
		if c.visible() {
			out = append(out, x)
		}
	}
	return Value{Type: s.typ, Text: slices.Clip(out)}
}

func (s *set[P]) bytes() int { return s.size() }

func (s *set[P]) appendTo(b []byte, e *encoder) []byte {
	b = appendUvarint(b, uint64(s.n))
	for x, c := range s.all() {
		b = c.appendTo(appendString(b, x), s.typ, e)
	}
	return b
}
