package crdt

// fields is a map: its fields are values of any type, each under its type and
// name, so that two writers who make a field of two types at once get two
// fields. A field is there as long as there is something in it (Riak's observed
// reset): removing it removes what the remover has seen, and what was written to
// it concurrently stays, alone.
//
// The root of a key that was made with several types is a fields too, of type
// mixed, whose keys have no name.
type fields struct {
	typ Type // Map or mixed
	shelf[node]
}

func fieldKey(t Type, name string) string { return string(rune(t)) + name }

func fieldOf(key string) (Type, string) { return Type(key[0]), key[1:] }

// field is what a shelf must know of a map's fields.
type field struct{}

func (field) fresh(like *node) node         { return newNode((*like).kind()) }
func (field) empty(n *node) bool            { return (*n).empty() }
func (field) each(n *node, yield func(Dot)) { (*n).each(yield) }
func (field) bytes(key string, n *node) int { return 1 + stringLen(key[1:]) + (*n).bytes() }
func (field) join(mine, o *node, j *joiner) bool {
	if o == nil {
		return (*mine).join(nil, j)
	}
	return (*mine).join(*o, j)
}

func (m *fields) kind() Type  { return m.typ }
func (m *fields) empty() bool { return m.n == 0 }

func (m *fields) live() bool {
	for _, f := range m.all() {
		if (*f).live() {
			return true
		}
	}
	return false
}

func (m *fields) clone() node {
	t := m.table.clone(func(n *node) node { return (*n).clone() })
	return &fields{m.typ, shelf[node]{table: t, bytes: m.shelf.bytes}}
}

func (m *fields) join(o node, j *joiner) bool {
	if o == nil {
		return m.shelf.join(nil, j, field{})
	}
	return m.shelf.join(&o.(*fields).shelf, j, field{})
}

// child is the field at key, or an empty one that is not in the map.
func (m *fields) child(key string) node {
	if f := m.find(key); f != nil {
		return *f
	}
	t, _ := fieldOf(key)
	return newNode(t)
}

func (m *fields) apply(op *Op, e *edit) (node, error) {
	out := &fields{typ: m.typ}
	for i := range op.fields {
		f := &op.fields[i]
		var delta node
		if f.Op.kind == opReset {
			delta = m.child(f.key()).reset(e)
		} else {
			var err error
			if delta, err = m.child(f.key()).apply(&f.Op, e); err != nil {
				return nil, err
			}
		}
		out.keep(f.key(), delta, field{})
	}
	return out, nil
}

// derive is the map of what each makes of the fields.
func (m *fields) derive(each func(node) node) node {
	out := &fields{typ: m.typ}
	for key, f := range m.all() {
		out.keep(key, each(*f), field{})
	}
	return out
}

func (m *fields) reset(e *edit) node {
	return m.derive(func(n node) node { return n.reset(e) })
}

func (m *fields) outside(f *fragment) node {
	return m.derive(func(n node) node { return n.outside(f) })
}

func (m *fields) fold(f *fold) bool {
	changed, gone := false, []string(nil)
	for key, n := range m.all() {
		was := (*n).bytes()
		if !(*n).fold(f) {
			continue
		}
		changed = true
		m.shelf.bytes += (*n).bytes() - was
		if (*n).empty() {
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		m.shelf.bytes -= field{}.bytes(key, m.find(key))
		m.drop(key)
	}
	return changed
}

func (m *fields) each(yield func(Dot)) {
	for _, f := range m.all() {
		(*f).each(yield)
	}
}

func (m *fields) latest() (at Timestamp) {
	for _, f := range m.all() {
		at = max(at, (*f).latest())
	}
	return at
}

func (m *fields) value() Value {
	v := Value{Type: m.typ}
	for key, f := range m.all() {
		if (*f).live() {
			_, name := fieldOf(key)
			v.Fields = append(v.Fields, NamedValue{name, (*f).value()})
		}
	}
	return v
}

func (m *fields) bytes() int { return m.size() }

func (m *fields) appendTo(b []byte, e *encoder) []byte {
	b = appendUvarint(b, uint64(m.n))
	for key, f := range m.all() {
		t, name := fieldOf(key)
		b = (*f).appendTo(appendString(append(b, byte(t)), name), e)
	}
	return b
}
