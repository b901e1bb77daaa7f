package crdt

// fragment is the making of a part of a state.
type fragment struct {
	have Context // what the receiver has seen
	left []Dot   // what is left out, for the receiver has it or has seen it go
}

func (f *fragment) wants(d Dot) bool {
	if f.have.Contains(d) {
		f.left = append(f.left, d)
		return false
	}
	return true
}

// Outside is what s has seen of its key and a holder of have has not: empty if
// s has nothing to tell it.
func (s *State) Outside(have Context) Context { return s.context().Minus(have) }

// Fragment is the part of s that a replica needs which has seen have of this key
// (or of all keys): joining it there has the same effect as joining s. Where the
// fragment would not be smaller it is s itself, so it may not be changed.
//
// It holds the dots that are not in have, and says of all that s has seen that it
// is gone, but of the dots that are left out. The context is therefore as long as
// there are gaps between those, some ten bytes each. It costs as much time as s
// is long.
func (s *State) Fragment(have Context) *State {
	if s.root == nil {
		return s
	}
	f := &fragment{have: have}
	out := &State{root: s.root.outside(f)}
	out.tidy()
	out.setContext(s.context().Minus(contextOf(f.left)))
	if out.Size() >= s.Size() {
		return s
	}
	return out
}
