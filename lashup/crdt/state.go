package crdt

// State is the value of one key with its causal context, or a part of that: a
// delta is a State too. The zero State is the value of a key that was never
// written.
//
// States form a join semilattice: Join is associative, commutative and
// idempotent, so deltas and whole states may come in any order, several times,
// in parts or joined with one another. One goroutine owns a State.
type State struct {
	root node
	one  [1]Span // the context, when one span is enough and more is nil
	more *[]Span
}

// context is a view of the causal context, good until the next change.
func (s *State) context() Context {
	switch {
	case s.more != nil:
		return Context{*s.more}
	case s.one[0] != Span{}:
		return Context{s.one[:1:1]}
	}
	return Context{}
}

// setContext takes over c, which may be the view.
func (s *State) setContext(c Context) {
	s.more = nil
	switch len(c.spans) {
	case 0:
		s.one[0] = Span{}
	case 1:
		s.one[0] = c.spans[0]
	default:
		s.one[0], s.more = Span{}, &c.spans
	}
}

// Context is a copy of the causal context: what the state has seen of its key.
func (s *State) Context() Context { return s.context().Clone() }

// Type is the type of the value: 0 if nothing is there. When concurrent writers
// have given a key several types, it is the lowest of those; the others come to
// light when it is reset.
func (s *State) Type() Type {
	if r := s.shown(); r != nil {
		return r.kind()
	}
	return 0
}

// shown is the part of the root that is read, or nil.
func (s *State) shown() node {
	if m, ok := s.root.(*fields); ok && m.typ == mixed {
		for _, n := range m.all() {
			if (*n).live() {
				return *n
			}
		}
		return nil
	}
	if s.root == nil || !s.root.live() {
		return nil
	}
	return s.root
}

// part is what the root holds of type t, or an empty node.
func (s *State) part(t Type) node {
	switch r := s.root.(type) {
	case nil:
		return newNode(t)
	case *fields:
		if r.typ == mixed {
			return r.child(fieldKey(t, ""))
		}
	}
	if s.root.kind() == t {
		return s.root
	}
	return newNode(t)
}

// Absent says whether a reader finds nothing: never written, removed, or reset.
// What is left then is the memory of what was there, which may be forgotten once
// every replica has it.
func (s *State) Absent() bool { return s.shown() == nil }

// Empty says whether the state is the zero State.
func (s *State) Empty() bool { return s.root == nil && s.context().Empty() }

// Latest is the greatest timestamp in the state, for the replica's clock.
func (s *State) Latest() Timestamp {
	if s.root == nil {
		return 0
	}
	return s.root.latest()
}

// Clone is a copy that shares only immutable bytes with s.
func (s *State) Clone() *State {
	out := &State{}
	out.setContext(s.Context())
	if s.root != nil {
		out.root = s.root.clone()
	}
	return out
}

// Join takes in o, a delta or a whole state, and says whether s changed. Only s
// is changed; o is left alone and shares only immutable bytes with s afterwards.
// The time is in proportion to o, not to s (but the first time that something is
// removed from a large set or map, which makes an index).
func (s *State) Join(o *State) bool {
	mine, theirs := s.context(), o.context()
	j := &joiner{mine: mine, common: mine.Intersect(theirs)}
	changed := s.joinRoot(o.root, j)
	if !mine.Covers(theirs) {
		mine.Union(theirs)
		s.setContext(mine)
		changed = true
	}
	return changed
}

func (s *State) joinRoot(o node, j *joiner) bool {
	switch {
	case s.root == nil && o == nil:
		return false
	case s.root == nil:
		s.root = newNodeLike(o)
	case o != nil && s.root.kind() != o.kind():
		s.root, o = asMixed(s.root), asMixed(o)
	}
	changed := s.root.join(o, j)
	s.tidy()
	return changed
}

func newNodeLike(n node) node {
	if n.kind() == mixed {
		return &fields{typ: mixed}
	}
	return newNode(n.kind())
}

// asMixed puts n into a root of several types. n itself is shared, so the result
// may only be changed by who may change n.
func asMixed(n node) node {
	if n.kind() == mixed {
		return n
	}
	m := &fields{typ: mixed}
	m.keep(fieldKey(n.kind(), ""), n, field{})
	return m
}

// tidy brings the root into its only form: nil if empty, mixed only if there are
// several types.
func (s *State) tidy() {
	if m, ok := s.root.(*fields); ok && m.typ == mixed && m.n == 1 {
		s.root = m.chunks[0][0].val
	}
	if s.root != nil && s.root.empty() {
		s.root = nil
	}
}
