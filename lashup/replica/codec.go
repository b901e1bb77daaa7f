package replica

import (
	"encoding/binary"

	"fulcrum.example/lashup/codec"
	"fulcrum.example/lashup/crdt"
)

// reader is a codec.Reader that knows what replicas speak of. Integers travel as
// unsigned varints, sums and hashes whole and big-endian, texts with their length
// before them, lists with their count.
type reader struct{ codec.Reader }

func newReader(b []byte) *reader { return &reader{codec.NewReader(b)} }

// flags reads a byte none of whose bits are outside of all.
func (r *reader) flags(all byte) byte {
	b := r.Byte()
	r.Check(b&^all == 0)
	return b
}

// bytes reads a text of at most limit bytes; it is part of what is read.
func (r *reader) bytes(limit int) []byte { return r.Take(r.Count(limit, 1)) }

// rest is all that is left.
func (r *reader) rest() []byte { return r.Take(r.Len()) }

func (r *reader) key() string {
	s := string(r.bytes(MaxKey))
	r.Check(validKey(s))
	return s
}

// context reads a causal context, which has its length before it.
func (r *reader) context() crdt.Context {
	b := r.bytes(maxContext)
	if r.Bad() {
		return crdt.Context{}
	}
	c, err := crdt.DecodeContext(b)
	r.Check(err == nil)
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
func textLen(n int) int { return codec.UvarintSize(uint64(n)) + n }

func bit(on bool, b byte) byte {
	if on {
		return b
	}
	return 0
}
