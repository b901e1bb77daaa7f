package flock

import "slices"

// span is a range of versions (from, to].
type span struct{ from, to uint64 }

// spans is a set of versions as sorted, disjoint ranges that do not touch.
type spans []span

// maxSpans bounds the set: what does not fit is forgotten, and pulled again.
const maxSpans = 128

// add puts (from, to] into the set and says whether any of it is new.
func (s *spans) add(from, to uint64) bool {
	if from >= to || s.covers(from, to) {
		return false
	}
	// All ranges in [i, j) touch the new one and become part of it.
	i := 0
	for i < len(*s) && (*s)[i].to < from {
		i++
	}
	j := i
	for j < len(*s) && (*s)[j].from <= to {
		from, to = min(from, (*s)[j].from), max(to, (*s)[j].to)
		j++
	}
	*s = slices.Replace(*s, i, j, span{from, to})
	if len(*s) > maxSpans {
		*s = (*s)[:maxSpans]
	}
	return true
}

// covers says whether all of (from, to] is in the set.
func (s spans) covers(from, to uint64) bool {
	for _, r := range s {
		if r.from <= from && to <= r.to {
			return true
		}
	}
	return from >= to
}

// end is the end of the range that holds what comes after from, or from.
func (s spans) end(from uint64) uint64 {
	for _, r := range s {
		if r.from <= from && from < r.to {
			return r.to
		}
	}
	return from
}

// whole is the version up to which nothing is missing.
func (s spans) whole() uint64 { return s.end(0) }

// gaps calls yield for each range up to head that is missing, in order, until
// yield returns false.
func (s spans) gaps(head uint64, yield func(span) bool) {
	at := uint64(0)
	for _, r := range s {
		if at >= head {
			return
		}
		if at < r.from && !yield(span{at, min(r.from, head)}) {
			return
		}
		at = r.to
	}
	if at < head {
		yield(span{at, head})
	}
}
