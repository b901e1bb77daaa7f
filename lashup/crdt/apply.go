package crdt

import "fulcrum.example/crux"

// Limits bound what Apply and Fits accept. Zero is no bound.
type Limits struct {
	Value int // bytes of the encoded state
}

// Apply carries out op on s, which must be the whole state of its key at the
// replica of dot's actor, and returns the delta for the other replicas. s is
// changed in place; it shares only immutable bytes with the delta.
//
// The operation takes the dots dot, dot+1 … dot+op.Dots()-1; none of them, and
// nothing later of the same actor, may have been used for this key. at is the
// time of what op assigns.
//
// seen, if not nil, is the context of the state that the writer has read: if it
// is not that of s now, the operation is refused with Conflict. With nil it works
// on what is here.
//
// Errors: Invalid if op is not valid or the key has another type; Conflict;
// Exhausted if the result is larger than the limits or a counter overflows;
// Internal if a dot was used before. After an error s is as it was.
func (s *State) Apply(op Op, dot Dot, at Timestamp, seen *Context, lim Limits) (*State, error) {
	const what = "apply an operation"
	if err := op.Check(); err != nil {
		return nil, crux.Wrap(what, err)
	}
	if t := s.Type(); op.typ != 0 && t != 0 && t != op.typ {
		return nil, crux.Errorf(what, crux.Invalid,
			"the key holds %s, but the operation is for %s: delete the key first, or use another one", article(t), article(op.typ))
	}
	if err := s.current(seen); err != nil {
		return nil, crux.Wrap(what, err)
	}
	delta, err := s.delta(&op, dot, at)
	if err != nil {
		return nil, crux.Wrap(what, err)
	}
	if err := s.Fits(delta, lim); err != nil {
		return nil, crux.Wrap(what, err)
	}
	s.Join(delta)
	return delta, nil
}

// current says whether seen is the context of s.
func (s *State) current(seen *Context) error {
	switch {
	case seen == nil || seen.Equal(s.context()):
		return nil
	case seen.Covers(s.context()):
		return crux.Errorf("", crux.Conflict, "the context tells of changes that have not come here yet: try again, or read here first")
	}
	return crux.Errorf("", crux.Conflict, "the value has changed since the context was read: read it again")
}

// delta is what op makes of s.
func (s *State) delta(op *Op, dot Dot, at Timestamp) (*State, error) {
	have := s.context()
	last := dot.Seq + op.Dots() - 1
	top := have.Top(dot.Actor)
	if dot.Incarnation == 0 || dot.Incarnation == ^uint64(0) || dot.Seq <= top || last < dot.Seq || last == ^uint64(0) {
		return nil, crux.Errorf("", crux.Internal, "%v cannot be used: the key has seen its actor's first %d", dot, top)
	}
	e := &edit{dot: dot, at: at}
	out := &State{}
	ctx := Context{}
	var err error
	switch {
	case op.kind != opReset:
		out.root, err = s.part(op.typ).apply(op, e)
		ctx = contextOf(e.seen)
	case s.root != nil:
		out.root = s.root.reset(e)
		fallthrough
	default:
		ctx = have.Clone() // all that was seen goes: no need to name it dot by dot
	}
	if err != nil {
		return nil, err
	}
	out.tidy()
	ctx.AddRange(dot.Actor, top, last)
	out.setContext(ctx)
	return out, nil
}

// Fits says whether s joined with delta is within the limits: nil, or Exhausted.
// Neither is changed. It costs as much as the delta, but when the limit is near,
// as much as s.
func (s *State) Fits(delta *State, lim Limits) error {
	if lim.Value <= 0 || s.Size()+delta.Size() <= lim.Value {
		return nil
	}
	whole := s.Clone()
	whole.Join(delta)
	if n := whole.Size(); n > lim.Value {
		return crux.Errorf("", crux.Exhausted,
			"the value would take %d bytes, and %d are allowed: remove something first, or use several keys", n, lim.Value)
	}
	return nil
}
