package overlay

import (
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
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
func (m *Neighbour) Append(b []byte) []byte {
	return codec.AppendFlag(append(b, kindNeighbour), m.High)
}

// Append appends kind and the fields in their order.
func (m *Accept) Append(b []byte) []byte { return appendList(append(b, kindAccept, m.Room), m.Others) }

// Append appends kind and the fields in their order.
func (m *Refuse) Append(b []byte) []byte {
	return appendList(codec.AppendFlag(append(b, kindRefuse), m.Busy), m.Others)
}

// Append appends kind and the fields in their order.
func (m *Disconnect) Append(b []byte) []byte {
	return append(codec.AppendFlag(append(b, kindDisconnect), m.Leaving), m.Try[:]...)
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
	r := reader{codec.NewReader(b)}
	var m Message
	switch r.Byte() {
	case kindJoin:
		m = &Join{Walks: r.UpTo(maxWalks)}
	case kindNeighbour:
		m = &Neighbour{High: r.Flag()}
	case kindAccept:
		m = &Accept{Room: r.Byte(), Others: r.list()}
	case kindRefuse:
		m = &Refuse{Busy: r.Flag(), Others: r.list()}
	case kindDisconnect:
		m = &Disconnect{Leaving: r.Flag(), Try: r.Node()}
	case kindForwardJoin:
		m = &ForwardJoin{Node: r.Node(), Room: r.Byte(), TTL: r.UpTo(maxHops), Over: r.UpTo(maxHops)}
	case kindShuffle:
		m = &Shuffle{Origin: r.Node(), Seq: r.Uint32(), TTL: r.UpTo(maxHops), Nodes: r.list()}
	case kindShuffleReply:
		m = &ShuffleReply{Origin: r.Node(), Seq: r.Uint32(), Nodes: r.list()}
	default:
		r.Check(false)
	}
	if !r.Done() {
		return nil, crux.Errorf("decode overlay message", crux.Invalid, "the %d bytes are no message of the overlay", len(b))
	}
	return m, nil
}

func listSize(ids []crux.NodeID) int { return 1 + 8*len(ids) }

func appendList(b []byte, ids []crux.NodeID) []byte {
	return codec.AppendNodes(append(b, byte(len(ids))), ids)
}

// reader walks over bytes from outside.
type reader struct{ codec.Reader }

// list reads at most maxOthers nodes; none is nil.
func (r *reader) list() []crux.NodeID { return r.Nodes(int(r.UpTo(maxOthers))) }
