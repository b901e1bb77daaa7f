package crdt

import (
	"encoding/binary"
	"slices"

	"fulcrum.example/crux"
)

// decoder reads a state whose context it has read.
type decoder struct {
	reader
	ctx   Context
	nodes []crux.NodeID
}

// Decode reads the bytes that State.Append makes, and no others: Corrupt if it
// cannot. The result shares nothing with b. Its memory is in proportion to b.
func Decode(b []byte) (*State, error) {
	d := &decoder{reader: reader{b: b}}
	d.check(d.byte() == version, "not a state of a known version")
	d.ctx = d.context()
	for id := range d.ctx.runs {
		d.nodes = append(d.nodes, id)
	}
	s := &State{}
	if t := Type(d.byte()); t != 0 && d.ok() {
		s.root = d.root(t)
	}
	s.setContext(Context{slices.Clip(d.ctx.spans)})
	if err := d.end("read a state"); err != nil {
		return nil, err
	}
	return s, nil
}

func (d *decoder) root(t Type) node {
	if t != mixed {
		return d.body(t, 1)
	}
	m := &fields{typ: mixed}
	d.fields(m, 0)
	d.check(m.n > 1, "several types, but not several")
	return m
}

// body reads a node of type t, which is not empty. depth counts the maps down to
// it.
func (d *decoder) body(t Type, depth int) (n node) {
	d.check(t.Valid(), "an unknown type")
	if !d.ok() {
		return &counter{}
	}
	n = newNode(t)
	switch n := n.(type) {
	case *counter:
		d.counter(n)
	case *set[none]:
		decodeSet(d, n, (*decoder).none)
	case *set[mark]:
		decodeSet(d, n, (*decoder).mark)
	case *leaf[mark]:
		n.cells = decodeCells(d, t, (*decoder).mark)
	case *leaf[text]:
		n.cells = decodeCells(d, t, (*decoder).text)
	case *fields:
		d.check(depth <= MaxDepth, "maps nested too deep")
		d.fields(n, depth)
	}
	d.check(!n.empty(), "an empty value")
	return n
}

func (d *decoder) fields(m *fields, depth int) {
	last := ""
	for i, n := 0, d.count(4); i < n && d.ok(); i++ {
		t := Type(d.byte())
		name := d.string()
		key := fieldKey(t, name)
		d.check(i == 0 || last < key, "fields out of order")
		d.check(m.typ != mixed || name == "", "a type with a name")
		m.keep(key, d.body(t, depth+1), field{})
		last = key
	}
}

func decodeSet[P payload](d *decoder, s *set[P], read func(*decoder, Type) P) {
	last := ""
	for i, n := 0, d.count(2); i < n && d.ok(); i++ {
		x := d.string()
		d.check(i == 0 || last < x, "elements out of order")
		c := decodeCells(d, s.typ, read)
		d.check(len(c.all()) > 0, "an element without dots")
		s.keep(x, c, element[P]{s.typ})
		last = x
	}
}

func decodeCells[P payload](d *decoder, t Type, read func(*decoder, Type) P) (out cells[P]) {
	n := d.count(dotIndex + 2)
	if n > 1 {
		out.more = new([]cell[P])
	}
	last := Dot{}
	for i := 0; i < n && d.ok(); i++ {
		dot := d.dot()
		d.check(last.Compare(dot) < 0, "dots out of order")
		last = dot
		if c := (cell[P]{read(d, t), dot}); n == 1 {
			out.one[0] = c
		} else {
			*out.more = append(*out.more, c)
		}
	}
	return out
}

func (d *decoder) none(Type) none { return none{} }

func (d *decoder) mark(Type) mark { return mark(d.bool()) }

func (d *decoder) text(t Type) (x text) {
	if t == LastWriter {
		if b := d.take(8); b != nil {
			x.at = Timestamp(binary.BigEndian.Uint64(b))
		}
	}
	x.value = d.string()
	return x
}

func (d *decoder) dot() (out Dot) {
	if b := d.take(dotIndex); b != nil {
		i := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		d.check(i < len(d.nodes), "a dot of a node that the context does not name")
		if d.ok() {
			out.Node = d.nodes[i]
		}
	}
	out.Incarnation, out.Seq = d.uvarint(), d.uvarint()
	d.check(out.Seq > 0 && out.Incarnation > 0 && d.ctx.Contains(out), "a dot that the context does not hold")
	return out
}

func (d *decoder) counter(c *counter) {
	n := d.count(1 + dotIndex + 3)
	for i := 0; i < n && d.ok(); i++ {
		flags := d.byte()
		d.check(flags <= entryFloor|entryFolded, "unknown flags")
		dot := d.dot()
		x := entry{Actor: dot.Actor, floor: flags&entryFloor != 0, folded: flags&entryFolded != 0, top: dot.Seq}
		if !x.floor {
			x.first = x.top - d.uvarint()
			d.check(x.first > 0 && x.first <= x.top, "a cell that begins before the first number")
		}
		x.amount = d.varint()
		d.check(!x.floor || !x.folded || x.amount == 0, "a folded floor with an amount")
		if i > 0 {
			d.check(follows(&c.entries[i-1], &x), "entries of a counter that do not go together")
		}
		c.entries = append(c.entries, x)
	}
	c.entries = slices.Clip(c.entries)
}

// follows says whether y may come after x in a counter.
func follows(x, y *entry) bool {
	switch {
	case x.Node != y.Node:
		return x.Node.Compare(y.Node) < 0
	case y.folded:
		return false // it would stand for x
	case x.Incarnation != y.Incarnation:
		return x.Incarnation < y.Incarnation
	}
	return x.floor && !x.folded && !y.floor && y.first <= x.top && x.top < y.top
}
