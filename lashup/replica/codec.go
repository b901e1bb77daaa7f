package replica

import (
	"encoding/binary"
	"math/bits"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// Integers travel as unsigned varints in their shortest form, sums and hashes
// whole and big-endian, texts with their length before them, lists with their
// count.

// reader reads an encoding strictly. After the first fault it reads zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) check(ok bool) {
	if !ok {
		r.bad, r.b = true, nil
	}
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.check(false)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// flags reads a byte none of whose bits are outside of all.
func (r *reader) flags(all byte) byte {
	b := r.byte()
	r.check(b&^all == 0)
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n != uvarintLen(v) {
		r.check(false)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// count reads the length of a list of at most limit items of at least size bytes.
func (r *reader) count(limit, size int) int {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.b)/size) {
		r.check(false)
		return 0
	}
	return int(n)
}

// bytes reads a text of at most limit bytes; it is part of what is read.
func (r *reader) bytes(limit int) []byte { return r.take(r.count(limit, 1)) }

func (r *reader) node() (id crux.NodeID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) key() string {
	s := string(r.bytes(MaxKey))
	r.check(validKey(s))
	return s
}

// context reads a causal context, which has its length before it.
func (r *reader) context() crdt.Context {
	b := r.bytes(maxContext)
	if r.bad {
		return crdt.Context{}
	}
	c, err := crdt.DecodeContext(b)
	r.check(err == nil)
	return c
}

// maxContext bounds the encoding of a context, in bytes: some 10^5 nodes.
const maxContext = 2 << 20

func appendContext(b []byte, c crdt.Context) []byte {
	return c.Append(binary.AppendUvarint(b, uint64(c.Size())))
}

func contextLen(c crdt.Context) int { return textLen(c.Size()) }

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// textLen is the length of the encoding of a text of n bytes.
func textLen(n int) int { return uvarintLen(uint64(n)) + n }

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func bit(on bool, b byte) byte {
	if on {
		return b
	}
	return 0
}
