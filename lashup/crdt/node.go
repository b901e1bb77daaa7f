package crdt

import "slices"

// node is a value of one type inside a state, without the causal context, which
// the whole key shares. A node belongs to one parent; join copies what it takes
// over.
type node interface {
	kind() Type
	// live says whether a reader sees anything: a counter that was reset, or a
	// remove-wins set of nothing but removals, is not live but not empty either.
	live() bool
	empty() bool
	clone() node
	// join takes in o, of the same type, or nil for nothing, and says whether the
	// node changed.
	join(o node, j *joiner) bool
	// apply makes the delta of a valid operation of the node's type, and leaves
	// the node alone. The delta may be empty.
	apply(op *Op, e *edit) (node, error)
	// reset makes the delta that removes everything that is here.
	reset(e *edit) node
	// outside makes the part that f's receiver needs.
	outside(f *fragment) node
	// fold merges what closed incarnations left and says whether that changed
	// anything.
	fold(f *fold) bool
	// each calls yield for each dot that the node holds.
	each(yield func(Dot))
	latest() Timestamp
	value() Value
	bytes() int // encoded length
	appendTo(b []byte, e *encoder) []byte
}

func newNode(t Type) node {
	switch t {
	case Counter:
		return &counter{}
	case AddWinsSet:
		return &set[none]{typ: t}
	case RemoveWinsSet:
		return &set[mark]{typ: t}
	case EnableWinsFlag, DisableWinsFlag:
		return &leaf[mark]{typ: t}
	case LastWriter, MultiValue:
		return &leaf[text]{typ: t}
	}
	return &fields{typ: t}
}

// joiner is what a join needs to know of the two sides.
type joiner struct {
	mine   Context // of the side that changes
	common Context // what both have seen
}

// edit is an operation on its way to a delta.
type edit struct {
	dot  Dot // the next one
	at   Timestamp
	seen []Dot // what the delta has seen, for it removes them
}

func (e *edit) next() Dot {
	d := e.dot
	e.dot.Seq++
	return d
}

// contextOf is the set of the dots in list, which it sorts.
func contextOf(list []Dot) Context {
	slices.SortFunc(list, Dot.Compare)
	var c Context
	for _, d := range list {
		c.push(Span{d.Node, Mark{d.Incarnation, d.Seq - 1}, d.mark()})
	}
	return c
}
