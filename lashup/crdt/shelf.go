package crdt

// shelf is a table of the children of a set or a map, with what makes joins of
// small deltas cheap: the encoded length is kept up to date, and an index finds
// what a delta removes.
type shelf[V any] struct {
	table[V]
	bytes int    // encoded length of all children
	idx   *index // nil until it is needed
}

// kin is what a shelf must know of its children.
type kin[V any] interface {
	fresh(like *V) V                 // an empty child of the same type
	join(mine, o *V, j *joiner) bool // as node.join; o may be nil
	empty(v *V) bool
	each(v *V, yield func(Dot))
	bytes(key string, v *V) int // encoded length with the key
}

// scanMax is how many encoded bytes of children are looked through rather than
// indexed.
const scanMax = 2 << 10

// join takes in o, which may be nil.
func (s *shelf[V]) join(o *shelf[V], j *joiner, k kin[V]) bool {
	if o == nil {
		o = &shelf[V]{}
	}
	changed := s.forget(o, j, k)
	for key, v := range o.all() {
		if s.update(key, v, j, k) {
			changed = true
		}
	}
	return changed
}

// forget removes what the other side has seen and o does not hold, from the
// children that o does not name.
func (s *shelf[V]) forget(o *shelf[V], j *joiner, k kin[V]) bool {
	if j.common.Empty() || s.n == 0 {
		return false
	}
	var keys []string
	if s.bytes <= scanMax || s.bytes/8 < o.bytes {
		for key := range s.all() {
			keys = append(keys, key)
		}
	} else {
		s.indexed(k).within(j.common, func(key string) { keys = append(keys, key) })
	}
	changed := false
	for _, key := range keys {
		if o.find(key) == nil && s.update(key, nil, j, k) {
			changed = true
		}
	}
	return changed
}

// update joins theirs, which may be nil, into the child at key.
func (s *shelf[V]) update(key string, theirs *V, j *joiner, k kin[V]) bool {
	if s.idx != nil && theirs != nil {
		k.each(theirs, func(d Dot) { s.idx.add(d, key) })
	}
	mine := s.find(key)
	if mine == nil {
		if theirs == nil {
			return false
		}
		v := k.fresh(theirs)
		k.join(&v, theirs, j)
		return s.keep(key, v, k)
	}
	was := k.bytes(key, mine)
	if !k.join(mine, theirs, j) {
		return false
	}
	s.bytes -= was
	if k.empty(mine) {
		s.drop(key)
	} else {
		s.bytes += k.bytes(key, mine)
	}
	return true
}

// keep puts a new child, unless it is empty.
func (s *shelf[V]) keep(key string, v V, k kin[V]) bool {
	if k.empty(&v) {
		return false
	}
	s.put(key, v)
	s.bytes += k.bytes(key, &v)
	return true
}

// indexed makes the index if there is none, or if it names too much that is
// gone.
func (s *shelf[V]) indexed(k kin[V]) *index {
	if s.idx == nil || s.idx.n > s.idx.made*2+1024 {
		s.idx = newIndex()
		for key, v := range s.all() {
			k.each(v, func(d Dot) { s.idx.collect(d, key) })
		}
		s.idx.sort()
	}
	return s.idx
}

func (s *shelf[V]) size() int { return uvarintLen(uint64(s.n)) + s.bytes }
