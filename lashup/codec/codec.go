// Package codec reads what lashup's fabric says on the wire (docs/lashup.md):
// integers of fixed width big-endian, unsigned varints in their shortest form,
// node IDs as their eight bytes, lists with their count before them. Package
// encoding/binary writes it; here is what it lacks for that.
//
// A Reader is strict: what is cut short, longer than its bound, or written in
// another form than its only one is a fault. After the first fault a Reader gives
// zeros, so that a decoder need ask only at its end (Done), and wherever it would
// otherwise loop or make something large. No bytes make it panic, and what it
// makes is bounded by the bytes that are there.
//
// The package is pure; a Reader has one owner.
package codec

import (
	"encoding/binary"

	"fulcrum.example/crux"
)

// Reader walks over bytes from outside.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader makes a reader of b. What Take gives shares b; nothing else does.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Check notes a fault unless ok.
func (r *Reader) Check(ok bool) { r.bad = r.bad || !ok }

// Bad says whether there was a fault.
func (r *Reader) Bad() bool { return r.bad }

// Done says whether all was read, without a fault.
func (r *Reader) Done() bool { return !r.bad && len(r.b) == 0 }

// Len is the number of bytes that are left.
func (r *Reader) Len() int { return len(r.b) }

// Take gives the next n bytes, or nil.
func (r *Reader) Take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	f := r.b[:n:n]
	r.b = r.b[n:]
	return f
}

// Copy fills to with the next bytes.
func (r *Reader) Copy(to []byte) { copy(to, r.Take(len(to))) }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if f := r.Take(1); f != nil {
		return f[0]
	}
	return 0
}

// UpTo reads one byte that is at most most.
func (r *Reader) UpTo(most byte) byte {
	x := r.Byte()
	r.Check(x <= most)
	return x
}

// Flag reads a byte that is 0 or 1.
func (r *Reader) Flag() bool { return r.UpTo(1) == 1 }

// Uint32 reads 4 bytes.
func (r *Reader) Uint32() uint32 {
	if f := r.Take(4); f != nil {
		return binary.BigEndian.Uint32(f)
	}
	return 0
}

// Uint64 reads 8 bytes.
func (r *Reader) Uint64() uint64 {
	if f := r.Take(8); f != nil {
		return binary.BigEndian.Uint64(f)
	}
	return 0
}

// Uvarint reads a varint in its shortest form.
func (r *Reader) Uvarint() uint64 {
	if r.bad {
		return 0
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

// Uvarint32 reads a varint of 32 bits.
func (r *Reader) Uvarint32() uint32 {
	x := r.Uvarint()
	if r.Check(x <= 1<<32-1); r.bad {
		return 0
	}
	return uint32(x)
}

// Count reads the varint before a list: of at most most items, of at least size
// bytes each (1 or more).
func (r *Reader) Count(most, size int) int {
	n := r.Uvarint()
	if n > uint64(most) || n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

// Node reads a node ID.
func (r *Reader) Node() (id crux.NodeID) {
	r.Copy(id[:])
	return id
}

// Nodes reads n node IDs; none are nil.
func (r *Reader) Nodes(n int) []crux.NodeID {
	if r.bad || n == 0 || n > len(r.b)/len(crux.NodeID{}) {
		r.Check(n == 0)
		return nil
	}
	ids := make([]crux.NodeID, n)
	for i := range ids {
		ids[i] = r.Node()
	}
	return ids
}

// AppendNodes appends node IDs, without their count.
func AppendNodes(b []byte, ids []crux.NodeID) []byte {
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// AppendFlag appends 0 or 1.
func AppendFlag(b []byte, x bool) []byte {
	if x {
		return append(b, 1)
	}
	return append(b, 0)
}

// UvarintSize is the length of a varint, in bytes.
func UvarintSize(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}
