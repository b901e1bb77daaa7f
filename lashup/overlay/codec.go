package overlay

import (
	"encoding/binary"

	"fulcrum.example/crux"
)

// The kinds of messages: the first byte of each. Integers are big-endian, bools
// one byte, and a list of nodes is preceded by one byte, its length.
const (
	kindJoin = 0x10 + iota
	kindNeighbour
	kindAccept
	kindRefuse
	kindDisconnect
	kindForwardJoin
	kindShuffle
	kindShuffleReply
)

// Bounds of fields; longer ones are not made, and refused.
const (
	maxOthers = 8
	maxWalks  = 6
	maxHops   = 32
)

// Size is 2.
func (*Join) Size() int { return 2 }

// Size is 2.
func (*Neighbour) Size() int { return 2 }

// Size is 3 and 8 for each of Others.
func (m *Accept) Size() int { return 2 + listSize(m.Others) }

// Size is 3 and 8 for each of Others.
func (m *Refuse) Size() int { return 2 + listSize(m.Others) }

// Size is 10.
func (*Disconnect) Size() int { return 10 }

// Size is 12.
func (*ForwardJoin) Size() int { return 12 }

// Size is 15 and 8 for each of Nodes.
func (m *Shuffle) Size() int { return 14 + listSize(m.Nodes) }

// Size is 14 and 8 for each of Nodes.
func (m *ShuffleReply) Size() int { return 13 + listSize(m.Nodes) }

// Append appends kind and Walks.
func (m *Join) Append(b []byte) []byte { return append(b, kindJoin, m.Walks) }

// Append appends kind and High.
func (m *Neighbour) Append(b []byte) []byte { return append(b, kindNeighbour, flag(m.High)) }

// Append appends kind and the fields in their order.
func (m *Accept) Append(b []byte) []byte { return appendList(append(b, kindAccept, m.Room), m.Others) }

// Append appends kind and the fields in their order.
func (m *Refuse) Append(b []byte) []byte {
	return appendList(append(b, kindRefuse, flag(m.Busy)), m.Others)
}

// Append appends kind and the fields in their order.
func (m *Disconnect) Append(b []byte) []byte {
	return append(append(b, kindDisconnect, flag(m.Leaving)), m.Try[:]...)
}

// Append appends kind and the fields in their order.
func (m *ForwardJoin) Append(b []byte) []byte {
	return append(append(append(b, kindForwardJoin), m.Node[:]...), m.Room, m.TTL, m.Over)
}

// Append appends kind and the fields in their order.
func (m *Shuffle) Append(b []byte) []byte {
	b = append(append(b, kindShuffle), m.Origin[:]...)
	b = append(binary.BigEndian.AppendUint32(b, m.Seq), m.TTL)
	return appendList(b, m.Nodes)
}

// Append appends kind and the fields in their order.
func (m *ShuffleReply) Append(b []byte) []byte {
	b = append(append(b, kindShuffleReply), m.Origin[:]...)
	return appendList(binary.BigEndian.AppendUint32(b, m.Seq), m.Nodes)
}

// Decode reads one message, and nothing but that. It fails with Invalid.
func Decode(b []byte) (Message, error) {
	r := reader{b: b}
	var m Message
	switch r.byte() {
	case kindJoin:
		m = &Join{Walks: r.upTo(maxWalks)}
	case kindNeighbour:
		m = &Neighbour{High: r.flag()}
	case kindAccept:
		m = &Accept{Room: r.byte(), Others: r.list()}
	case kindRefuse:
		m = &Refuse{Busy: r.flag(), Others: r.list()}
	case kindDisconnect:
		m = &Disconnect{Leaving: r.flag(), Try: r.node()}
	case kindForwardJoin:
		m = &ForwardJoin{Node: r.node(), Room: r.byte(), TTL: r.upTo(maxHops), Over: r.upTo(maxHops)}
	case kindShuffle:
		m = &Shuffle{Origin: r.node(), Seq: r.uint32(), TTL: r.upTo(maxHops), Nodes: r.list()}
	case kindShuffleReply:
		m = &ShuffleReply{Origin: r.node(), Seq: r.uint32(), Nodes: r.list()}
	default:
		r.bad = true
	}
	if r.bad || len(r.b) > 0 {
		return nil, crux.Errorf("decode overlay message", crux.Invalid, "the %d bytes are no message of the overlay", len(b))
	}
	return m, nil
}

func listSize(ids []crux.NodeID) int { return 1 + 8*len(ids) }

func appendList(b []byte, ids []crux.NodeID) []byte {
	b = append(b, byte(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// reader walks over bytes from outside. After the first fault it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	f := r.b[:n]
	r.b = r.b[n:]
	return f
}

func (r *reader) byte() byte {
	if f := r.take(1); f != nil {
		return f[0]
	}
	return 0
}

func (r *reader) upTo(most byte) byte {
	x := r.byte()
	r.bad = r.bad || x > most
	return x
}

func (r *reader) flag() bool { return r.upTo(1) == 1 }

func (r *reader) uint32() uint32 {
	if f := r.take(4); f != nil {
		return binary.BigEndian.Uint32(f)
	}
	return 0
}

func (r *reader) node() (id crux.NodeID) {
	copy(id[:], r.take(len(id)))
	return id
}

// list reads at most maxOthers nodes; none is nil.
func (r *reader) list() []crux.NodeID {
	n := int(r.upTo(maxOthers))
	if n == 0 || r.bad || 8*n > len(r.b) {
		r.bad = r.bad || n > 0
		return nil
	}
	ids := make([]crux.NodeID, n)
	for i := range ids {
		ids[i] = r.node()
	}
	return ids
}
