package crdt

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"fulcrum.example/crux"
)

// The encoding of a state, as of an operation, is canonical: equal states have
// equal bytes, and the decoder accepts no others. Integers are unsigned varints
// in their shortest form (zigzag where signed), texts have their length before
// them, lists their count, and all lists are sorted.
//
//	state    version(1) context type(1) node   type 0: no node
//	context  count of nodes: node(8), count of spans: span
//	span     incarnations from the last end to lo; lo.seq, counted from the last
//	         end if that is of the same incarnation; then hi from lo likewise
//	dot      index of the node in the context (3 bytes), incarnation, seq
//	cells    count: dot, payload
//	payload  nothing; 1 byte; timestamp(8) and text; text
//	set      count: text, cells
//	map      count: type(1), name, node
//	counter  count: flags(1), dot, top-first unless it is a floor, amount
//
// The index is of fixed length so that the size of a large state can be kept up
// to date: what changes in one place does not change the size of another.

// version is the first byte of a state.
const version = 1

// dotIndex is the length of a node's index.
const dotIndex = 3

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func varintLen(v int64) int { return uvarintLen(uint64(v)<<1 ^ uint64(v>>63)) }

func stringLen(s string) int { return uvarintLen(uint64(len(s))) + len(s) }

func dotLen(d Dot) int { return dotIndex + uvarintLen(d.Incarnation) + uvarintLen(d.Seq) }

func appendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

func appendString(b []byte, s string) []byte { return append(appendUvarint(b, uint64(len(s))), s...) }

func bit(on bool, b byte) byte {
	if on {
		return b
	}
	return 0
}

// encoder knows the nodes of the context.
type encoder struct{ nodes []crux.NodeID }

func (e *encoder) appendDot(b []byte, d Dot) []byte {
	i, _ := slices.BinarySearchFunc(e.nodes, d.Node, crux.NodeID.Compare)
	b = append(b, byte(i>>16), byte(i>>8), byte(i))
	return appendUvarint(appendUvarint(b, d.Incarnation), d.Seq)
}

func (none) bytes(Type) int                     { return 0 }
func (none) appendTo(b []byte, _ Type) []byte   { return b }
func (mark) bytes(Type) int                     { return 1 }
func (m mark) appendTo(b []byte, _ Type) []byte { return append(b, bit(bool(m), 1)) }

func (t text) bytes(typ Type) int {
	if typ == LastWriter {
		return 8 + stringLen(t.value)
	}
	return stringLen(t.value)
}

func (t text) appendTo(b []byte, typ Type) []byte {
	if typ == LastWriter {
		b = binary.BigEndian.AppendUint64(b, uint64(t.at))
	}
	return appendString(b, t.value)
}

// Size is the exact length of the encoding. For sets and maps it does not go
// through the elements.
func (s *State) Size() int {
	n := 1 + s.context().Size() + 1
	if s.root != nil {
		n += s.root.bytes()
	}
	return n
}

// Append appends the canonical encoding to b.
func (s *State) Append(b []byte) []byte {
	ctx := s.context()
	b = ctx.Append(append(b, version))
	if s.root == nil {
		return append(b, 0)
	}
	e := &encoder{make([]crux.NodeID, 0, len(ctx.spans))}
	for i, x := range ctx.spans {
		if i == 0 || ctx.spans[i-1].Node != x.Node {
			e.nodes = append(e.nodes, x.Node)
		}
	}
	return s.root.appendTo(append(b, byte(s.root.kind())), e)
}

// Equal says whether s and o are the same state: what they read as, and what
// they have seen.
func (s *State) Equal(o *State) bool {
	return s.context().Equal(o.context()) && s.Size() == o.Size() && string(s.Append(nil)) == string(o.Append(nil))
}
