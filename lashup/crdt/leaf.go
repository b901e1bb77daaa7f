package crdt

import "slices"

// leaf is a flag or a register: the cells of one place.
//
// A flag's cells hold what was said last by those who did not know of one
// another: the enable-wins flag is set if any of them says so, the disable-wins
// flag if all do. A register's hold the values; all concurrent ones are kept, for
// only so does the order in which deltas come not matter when one is removed.
type leaf[P payload] struct {
	typ Type
	cells[P]
}

func (l *leaf[P]) kind() Type  { return l.typ }
func (l *leaf[P]) live() bool  { return !l.empty() }
func (l *leaf[P]) empty() bool { return len(l.all()) == 0 }
func (l *leaf[P]) clone() node { return &leaf[P]{l.typ, l.cells.clone()} }

func (l *leaf[P]) join(o node, j *joiner) bool {
	if o == nil {
		return l.cells.join(nil, j)
	}
	return l.cells.join(o.(*leaf[P]).all(), j)
}

func (l *leaf[P]) apply(op *Op, e *edit) (node, error) {
	out := &leaf[P]{typ: l.typ}
	switch out := any(out).(type) {
	case *leaf[mark]:
		out.cells = any(&l.cells).(*cells[mark]).replace(mark(op.on), e)
	case *leaf[text]:
		val := text{value: op.value}
		if l.typ == LastWriter {
			val.at = l.stamp(e.at)
		}
		out.cells = any(&l.cells).(*cells[text]).replace(val, e)
	}
	return out, nil
}

// stamp is at, or later than all that is here: a value is never older than one
// that its writer saw and replaced, whatever the clocks say.
func (l *leaf[P]) stamp(at Timestamp) Timestamp {
	if now := l.latest(); len(l.all()) > 0 && at <= now {
		return max(now, now+1) // the greatest there is has no later one
	}
	return at
}

func (l *leaf[P]) reset(e *edit) node {
	l.remove(e)
	return &leaf[P]{typ: l.typ}
}

func (l *leaf[P]) outside(f *fragment) node {
	return &leaf[P]{l.typ, l.cells.outside(f)}
}

func (l *leaf[P]) fold(*fold) bool { return false }

func (l *leaf[P]) each(yield func(Dot)) {
	for _, x := range l.all() {
		yield(x.dot)
	}
}

func (l *leaf[P]) latest() (at Timestamp) {
	for _, x := range l.all() {
		at = max(at, x.val.latest())
	}
	return at
}

func (l *leaf[P]) value() Value {
	v := Value{Type: l.typ}
	switch l := any(l).(type) {
	case *leaf[mark]:
		v.Flag = l.visible()
		if l.typ == EnableWinsFlag {
			v.Flag = slices.ContainsFunc(l.all(), func(c cell[mark]) bool { return bool(c.val) })
		}
	case *leaf[text]:
		v.Text = texts(l.typ, l.all())
	}
	return v
}

// texts are the values that a register shows.
func texts(t Type, all []cell[text]) []string {
	if t == LastWriter {
		best := all[0]
		for _, c := range all[1:] {
			if c.val.at >= best.val.at { // the dots ascend
				best = c
			}
		}
		return []string{best.val.value}
	}
	var out []string
	for _, c := range all {
		out = append(out, c.val.value)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (l *leaf[P]) bytes() int { return l.cells.bytes(l.typ) }

func (l *leaf[P]) appendTo(b []byte, e *encoder) []byte { return l.cells.appendTo(b, l.typ, e) }
