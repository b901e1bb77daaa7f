package crdt

import "slices"

// payload is what a dot says: nothing more than that it is there (an element of
// an add-wins set), yes or no (flags, remove-wins sets), or a text (registers).
type payload interface {
	bytes(t Type) int                 // encoded length
	appendTo(b []byte, t Type) []byte // the encoding
	latest() Timestamp                // zero where there is none
	visible() bool                    // false: this dot hides the others of its cells
	comparable
}

type none struct{}

type mark bool

type text struct {
	at    Timestamp // of a last-writer register; otherwise zero
	value string
}

func (none) latest() Timestamp   { return 0 }
func (mark) latest() Timestamp   { return 0 }
func (t text) latest() Timestamp { return t.at }
func (none) visible() bool       { return true }
func (m mark) visible() bool     { return bool(m) }
func (text) visible() bool       { return true }

// cell is one dot with its payload: the effect of one operation that no known
// operation has replaced or removed.
type cell[P payload] struct {
	val P
	dot Dot
}

// cells are the dots of one place (an element, a flag, a register), sorted. As
// there is nearly always one, it needs no memory of its own.
type cells[P payload] struct {
	one  [1]cell[P] // unused while more is set, or Seq is 0
	more *[]cell[P]
}

// all is a view, good until the next change.
func (c *cells[P]) all() []cell[P] {
	switch {
	case c.more != nil:
		return *c.more
	case c.one[0].dot.Seq != 0:
		return c.one[:1:1]
	}
	return nil
}

// set makes list, of which it keeps a copy, what is here.
func (c *cells[P]) set(list []cell[P]) {
	*c = cells[P]{}
	switch len(list) {
	case 0:
	case 1:
		c.one[0] = list[0]
	default:
		own := slices.Clone(list)
		c.more = &own
	}
}

func (c *cells[P]) clone() cells[P] {
	if c.more == nil {
		return *c
	}
	list := slices.Clone(*c.more)
	return cells[P]{more: &list}
}

// join is the join of causal dot functions (Almeida, Shoker and Baquero 2018): a
// dot stays if both sides have it, or if one has it and the other has not seen
// it. It says whether c changed.
func (c *cells[P]) join(o []cell[P], j *joiner) bool {
	mine := c.all()
	var room [4]cell[P]
	out, changed := room[:0], false
	for len(mine)+len(o) > 0 {
		d := 0
		switch {
		case len(o) == 0:
			d = -1
		case len(mine) == 0:
			d = 1
		default:
			d = mine[0].dot.Compare(o[0].dot)
		}
		switch {
		case d == 0:
			out = append(out, mine[0])
			mine, o = mine[1:], o[1:]
		case d < 0:
			if j.common.Contains(mine[0].dot) {
				changed = true // the other side has seen it go
			} else {
				out = append(out, mine[0])
			}
			mine = mine[1:]
		default:
			if !j.mine.Contains(o[0].dot) {
				out = append(out, o[0])
				changed = true
			}
			o = o[1:]
		}
	}
	if changed {
		c.set(out)
	}
	return changed
}

// replace is the delta of an operation on the place: all dots that are here go,
// and val comes under the next dot.
func (c *cells[P]) replace(val P, e *edit) cells[P] {
	c.remove(e)
	return cells[P]{one: [1]cell[P]{{val, e.next()}}}
}

// remove puts the dots that are here into the delta's context.
func (c *cells[P]) remove(e *edit) {
	for _, x := range c.all() {
		e.seen = append(e.seen, x.dot)
	}
}

// outside is the part that f's receiver needs.
func (c *cells[P]) outside(f *fragment) (out cells[P]) {
	var list []cell[P]
	for _, x := range c.all() {
		if f.wants(x.dot) {
			list = append(list, x)
		}
	}
	out.set(list)
	return out
}

// visible says whether something is here and nothing hides it: the element is in
// the set, the flag is set.
func (c *cells[P]) visible() bool {
	for _, x := range c.all() {
		if !x.val.visible() {
			return false
		}
	}
	return len(c.all()) > 0
}

func (c *cells[P]) bytes(t Type) int {
	all := c.all()
	n := uvarintLen(uint64(len(all)))
	for i := range all {
		n += dotLen(all[i].dot) + all[i].val.bytes(t)
	}
	return n
}

func (c *cells[P]) appendTo(b []byte, t Type, e *encoder) []byte {
	all := c.all()
	b = appendUvarint(b, uint64(len(all)))
	for i := range all {
		b = all[i].val.appendTo(e.appendDot(b, all[i].dot), t)
	}
	return b
}
