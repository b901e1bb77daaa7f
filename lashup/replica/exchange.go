package replica

import (
	"encoding/binary"

	"fulcrum.example/lashup/crdt"
)

// maxGroups is into how many groups nodes are divided at most, by the first bits
// of their IDs.
const maxGroups = 256

// Digest says what the sender holds, in 30 bytes. A neighbour that holds the same
// does not answer.
type Digest struct {
	Fresh    bool // the link is new: answer in any case
	Answer   bool
	Values   uint64 // hash of the keys and their values
	Vector   uint64 // hash of what was received
	Volatile uint32 // the same of the volatile plane
	Settled  uint32 // hash of the ID of the last round that ended
	Round    uint32 // hash of the ID of the latest round
}

// Size is the length of the encoding.
func (m *Digest) Size() int { return 1 + 1 + 8 + 8 + 4 + 4 + 4 }

// Append appends the encoding.
func (m *Digest) Append(b []byte) []byte {
	b = append(b, kindDigest, bit(m.Fresh, 1)|bit(m.Answer, 2))
	b = binary.BigEndian.AppendUint64(b, m.Values)
	b = binary.BigEndian.AppendUint64(b, m.Vector)
	b = binary.BigEndian.AppendUint32(b, m.Volatile)
	b = binary.BigEndian.AppendUint32(b, m.Settled)
	return binary.BigEndian.AppendUint32(b, m.Round)
}

func (r *reader) digest() *Digest {
	f := r.flags(3)
	return &Digest{f&1 != 0, f&2 != 0, r.Uint64(), r.Uint64(), r.Uint32(), r.Uint32(), r.Uint32()}
}

// Sums are hashes of what the sender has received, by groups of nodes: a power of
// two of them, at most maxGroups.
type Sums struct {
	Volatile bool
	Answer   bool
	Sums     []uint64
}

// Size is the length of the encoding.
func (m *Sums) Size() int { return 1 + 1 + sumsLen(m.Sums) }

// Append appends the encoding.
func (m *Sums) Append(b []byte) []byte {
	return appendSums(append(b, kindSums, bit(m.Volatile, 1)|bit(m.Answer, 2)), m.Sums)
}

func (r *reader) sumsMessage() *Sums {
	f := r.flags(3)
	return &Sums{f&1 != 0, f&2 != 0, r.sums()}
}

func sumsLen(sums []uint64) int { return 1 + 8*len(sums) }

func appendSums(b []byte, sums []uint64) []byte {
	b = append(b, byte(log2(len(sums))))
	for _, s := range sums {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

func (r *reader) sums() []uint64 {
	k := r.Byte()
	r.Check(k <= 8 && r.Len() >= 8<<k) // maxGroups is 1<<8
	if r.Bad() {
		return []uint64{0}
	}
	out := make([]uint64, 1<<k)
	for i := range out {
		out[i] = r.Uint64()
	}
	return out
}

// log2 is the number of bits below n, a power of two.
func log2(n int) int {
	k := 0
	for ; n > 1; n >>= 1 {
		k++
	}
	return k
}

// Want asks for what the sender lacks.
type Want struct {
	Nonce    uint32 // repeated by the Chunk
	Volatile bool
	First    bool   // of a pull: what was sent before may be lost
	Settled  uint32 // as in Digest: if the receiver's is another, it does not answer
	// Sums are the sender's now. Groups marks those that it asks about, and Have
	// is what it has received of their nodes. Of nodes in other groups it has
	// what the receiver has, if the sums say so.
	Sums   []uint64
	Groups groupSet
	Have   crdt.Context
}

// groupSet is a set of groups.
type groupSet [maxGroups / 64]uint64

func (s *groupSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *groupSet) has(i int) bool { return s[i/64]>>(i%64)&1 == 1 }

// Size is the length of the encoding.
func (m *Want) Size() int {
	return 1 + 4 + 1 + 4 + sumsLen(m.Sums) + (len(m.Sums)+7)/8 + contextLen(m.Have)
}

// Append appends the encoding.
func (m *Want) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, kindWant), m.Nonce)
	b = append(b, bit(m.Volatile, 1)|bit(m.First, 2))
	b = appendSums(binary.BigEndian.AppendUint32(b, m.Settled), m.Sums)
	for i := 0; i < len(m.Sums); i += 8 {
		b = append(b, byte(m.Groups[i/64]>>(i%64)))
	}
	return appendContext(b, m.Have)
}

func (r *reader) want() *Want {
	m := &Want{Nonce: r.Uint32()}
	f := r.flags(3)
	m.Volatile, m.First = f&1 != 0, f&2 != 0
	m.Settled, m.Sums = r.Uint32(), r.sums()
	for i := 0; i < len(m.Sums); i += 8 {
		x := r.Byte()
		r.Check(len(m.Sums) >= 8 || x>>len(m.Sums) == 0)
		m.Groups[i/64] |= uint64(x) << (i % 64)
	}
	m.Have = r.context()
	return m
}

// Chunk answers a Want. With its items the receiver has everything in Covered.
type Chunk struct {
	Nonce    uint32
	Volatile bool
	More     bool // ask again, with what you have then
	Bundle
	Cards   []Card // by node and incarnation
	Covered crdt.Context
}

// Size is the length of the encoding.
func (m *Chunk) Size() int {
	return 1 + 4 + 1 + m.Bundle.size() + cardsLen(m.Cards) + contextLen(m.Covered)
}

// Append appends the encoding.
func (m *Chunk) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, kindChunk), m.Nonce)
	b = m.Bundle.append(append(b, bit(m.Volatile, 1)|bit(m.More, 2)))
	return appendContext(appendCards(b, m.Cards), m.Covered)
}

func (r *reader) chunk() *Chunk {
	m := &Chunk{Nonce: r.Uint32()}
	f := r.flags(3)
	m.Volatile, m.More = f&1 != 0, f&2 != 0
	m.Bundle, m.Cards, m.Covered = r.bundle(), r.cards(), r.context()
	return m
}
