package replica

import "sort"

// order is a sorted list in little memory whose changes stay cheap when it is
// long: a list of chunks. The zero order is empty.
type order[T any] struct {
	chunks [][]T // none is empty
	n      int
}

// orderChunk is the length at which a chunk is split.
const orderChunk = 256

// place in an order; good until the next change.
type spot struct{ chunk, i int }

// seek finds the first item that is not before; before must be true for some items
// and then false for the rest.
func (o *order[T]) seek(before func(*T) bool) spot {
	c := sort.Search(len(o.chunks), func(i int) bool {
		last := o.chunks[i]
		return !before(&last[len(last)-1])
	})
	if c == len(o.chunks) {
		return spot{c, 0}
	}
	chunk := o.chunks[c]
	return spot{c, sort.Search(len(chunk), func(i int) bool { return !before(&chunk[i]) })}
}

// at gives the item at s, or nil at the end.
func (o *order[T]) at(s spot) *T {
	if s.chunk >= len(o.chunks) {
		return nil
	}
	return &o.chunks[s.chunk][s.i]
}

func (o *order[T]) next(s spot) spot {
	if s.i++; s.i == len(o.chunks[s.chunk]) {
		return spot{s.chunk + 1, 0}
	}
	return s
}

// prev gives the spot before s; ok is false at the beginning.
func (o *order[T]) prev(s spot) (spot, bool) {
	if s.i > 0 {
		return spot{s.chunk, s.i - 1}, true
	}
	if s.chunk == 0 {
		return s, false
	}
	return spot{s.chunk - 1, len(o.chunks[s.chunk-1]) - 1}, true
}

// insert puts x before the item at s.
func (o *order[T]) insert(s spot, x T) {
	o.n++
	if len(o.chunks) == 0 {
		o.chunks = [][]T{{x}}
		return
	}
	end := s.chunk == len(o.chunks)
	if end { // behind the last item
		s = spot{s.chunk - 1, len(o.chunks[s.chunk-1])}
	}
	c := append(o.chunks[s.chunk], x)
	copy(c[s.i+1:], c[s.i:])
	c[s.i] = x
	o.chunks[s.chunk] = c
	if len(c) > orderChunk {
		o.split(s.chunk, end)
	}
}

// split makes two of a chunk. What comes in order fills chunks to the end.
func (o *order[T]) split(chunk int, end bool) {
	c := o.chunks[chunk]
	cut := len(c) / 2
	if end {
		cut = len(c) - 1
	}
	rest := append([]T(nil), c[cut:]...)
	clear(c[cut:])
	o.chunks[chunk] = c[:cut]
	o.chunks = append(o.chunks, nil)
	copy(o.chunks[chunk+2:], o.chunks[chunk+1:])
	o.chunks[chunk+1] = rest
}

// remove takes the item at s out.
func (o *order[T]) remove(s spot) {
	o.n--
	c := o.chunks[s.chunk]
	copy(c[s.i:], c[s.i+1:])
	clear(c[len(c)-1:])
	if len(c) == 1 {
		o.chunks = append(o.chunks[:s.chunk], o.chunks[s.chunk+1:]...)
		return
	}
	o.chunks[s.chunk] = c[:len(c)-1]
}

// fill makes the list of items, which are sorted.
func (o *order[T]) fill(list []T) {
	o.chunks, o.n = nil, len(list)
	for len(list) > 0 {
		n := min(len(list), orderChunk)
		o.chunks = append(o.chunks, append([]T(nil), list[:n]...))
		list = list[n:]
	}
}
