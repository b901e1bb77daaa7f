package replica

import (
	"encoding/binary"

	"fulcrum.example/lashup/codec"
	"fulcrum.example/lashup/crdt"
)

// Range is what comes after Lo in an actor's sequence, up to Hi and Hi included.
type Range struct{ Lo, Hi uint64 }

// addRange puts a range into a sorted list of ranges that do not touch.
func addRange(list []Range, x Range) []Range {
	i := len(list)
	for i > 0 && list[i-1].Hi >= x.Lo {
		i--
	}
	j := i
	for ; j < len(list) && list[j].Lo <= x.Hi; j++ {
		x.Lo, x.Hi = min(x.Lo, list[j].Lo), max(x.Hi, list[j].Hi)
	}
	if i == j {
		list = append(list, Range{})
		copy(list[i+1:], list[i:])
		list[i] = x
		return list
	}
	list[i] = x
	return append(list[:i+1], list[j:]...)
}

// Update is what a node tells all others of its own operations: a delta for each
// key that they touched. One without ranges says that the incarnation has begun.
type Update struct {
	Volatile    bool
	Incarnation uint64
	Clock       crdt.Timestamp // the sender's
	Ranges      []Range        // the operations whose deltas are here, all of them
	Bundle
}

const maxRanges = 1 << 14

// Size is the length of the encoding.
func (m *Update) Size() int {
	n := 1 + 1 + codec.UvarintSize(m.Incarnation) + 8 + codec.UvarintSize(uint64(len(m.Ranges))) + m.Bundle.size()
	at := uint64(0)
	for _, x := range m.Ranges {
		n += codec.UvarintSize(x.Lo-at) + codec.UvarintSize(x.Hi-x.Lo)
		at = x.Hi
	}
	return n
}

// Append appends the encoding. A range is two steps: from the end of the last one
// to its Lo, and from there to its Hi.
func (m *Update) Append(b []byte) []byte {
	b = append(b, kindUpdate, bit(m.Volatile, 1))
	b = binary.AppendUvarint(b, m.Incarnation)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Clock))
	b = binary.AppendUvarint(b, uint64(len(m.Ranges)))
	at := uint64(0)
	for _, x := range m.Ranges {
		b = binary.AppendUvarint(binary.AppendUvarint(b, x.Lo-at), x.Hi-x.Lo)
		at = x.Hi
	}
	return m.Bundle.append(b)
}

func (r *reader) update() *Update {
	m := &Update{Volatile: r.flags(1) == 1, Incarnation: r.Uvarint(), Clock: crdt.Timestamp(r.Uint64())}
	r.Check(m.Incarnation > 0 && m.Incarnation < 1<<63)
	if n := r.Count(maxRanges, 2); n > 0 {
		m.Ranges = make([]Range, n)
	}
	at := uint64(0)
	for i := range m.Ranges {
		lo := at + r.Uvarint()
		hi := lo + r.Uvarint()
		r.Check(lo >= at && hi > lo && hi < 1<<63 && (i == 0 || lo > at))
		m.Ranges[i] = Range{lo, hi}
		at = hi
	}
	m.Bundle = r.bundle()
	r.Check((len(m.Ranges) == 0) == (len(m.Items) == 0))
	return m
}
