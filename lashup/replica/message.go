package replica

import (
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
)

// The kinds of messages: the first byte of each.
const (
	kindUpdate  = 0x50 // multicast
	kindRound   = 0x51 // multicast, and to neighbours
	kindDigest  = 0x52
	kindSums    = 0x53
	kindWant    = 0x54
	kindChunk   = 0x55
	kindPart    = 0x56
	kindStatus  = 0x57
	kindAsk     = 0x58
	kindVouch   = 0x59
	kindSettled = 0x5a
	kindTree    = 0x5b
	kindLeaves  = 0x5c
	kindFetch   = 0x5d
	kindRepair  = 0x5e
)

// maxMessage bounds a message, in bytes: what a value may be merged up to, and
// room for its key.
const maxMessage = 10 << 20

// partSize is the length of the pieces in which long messages travel.
const partSize = 256 << 10

// Message is what travels between replicas. It is immutable once sent.
type Message interface {
	Size() int              // the length of the encoding, in bytes
	Append(b []byte) []byte // appends the encoding
}

// Decode reads a message; there must be nothing left over. It keeps no part of
// b. Values inside are read, and refused one by one, where they are used. Errors
// are of kind Invalid.
func Decode(b []byte) (Message, error) {
	const op = "decode replica message"
	if len(b) == 0 || len(b) > maxMessage {
		return nil, crux.Errorf(op, crux.Invalid, "it has %d bytes", len(b))
	}
	r := newReader(append([]byte(nil), b[1:]...)) // values are slices of it
	m := r.message(b[0])
	if m == nil {
		return nil, crux.Errorf(op, crux.Invalid, "kind %#x is none that this version knows", b[0])
	}
	if !r.Done() {
		return nil, crux.Errorf(op, crux.Invalid, "%d bytes of kind %#x are malformed", len(b), b[0])
	}
	return m, nil
}

func (r *reader) message(kind byte) Message {
	switch kind {
	case kindUpdate:
		return r.update()
	case kindRound:
		return r.round()
	case kindDigest:
		return r.digest()
	case kindSums:
		return r.sumsMessage()
	case kindWant:
		return r.want()
	case kindChunk:
		return r.chunk()
	case kindPart:
		return r.part()
	case kindStatus:
		return r.status()
	case kindAsk:
		return r.ask()
	case kindVouch:
		return r.vouch()
	case kindSettled:
		return r.settled()
	case kindTree:
		return r.tree()
	case kindLeaves:
		return r.leaves()
	case kindFetch:
		return r.fetch()
	case kindRepair:
		return r.repair()
	}
	return nil
}

// Part is a piece of a message that is longer than partSize. Pieces follow one
// another; each but the last is full.
type Part struct {
	Left uint64 // bytes that are still to come after this piece
	Data []byte
}

// Size is the length of the encoding.
func (m *Part) Size() int { return 1 + codec.UvarintSize(m.Left) + textLen(len(m.Data)) }

// Append appends the encoding.
func (m *Part) Append(b []byte) []byte {
	return appendText(binary.AppendUvarint(append(b, kindPart), m.Left), m.Data)
}

func (r *reader) part() *Part {
	m := &Part{Left: r.Uvarint(), Data: r.bytes(partSize)}
	r.Check(m.Left <= maxMessage && len(m.Data) > 0)
	return m
}

// split cuts a message into pieces if it is long.
func split(m Message) []Message {
	if m.Size() <= partSize {
		return []Message{m}
	}
	b := m.Append(make([]byte, 0, m.Size()))
	var out []Message
	for len(b) > 0 {
		n := min(len(b), partSize)
		out = append(out, &Part{uint64(len(b) - n), b[:n]})
		b = b[n:]
	}
	return out
}

// gather puts pieces together: a whole message, or nil while there is more to
// come. buf is the receiver's of that neighbour.
func (m *Part) gather(buf *[]byte) (Message, error) {
	if uint64(len(*buf))+uint64(len(m.Data))+m.Left > maxMessage {
		*buf = nil
		return nil, crux.Errorf("gather a message", crux.Exhausted, "it is longer than %d bytes", maxMessage)
	}
	*buf = append(*buf, m.Data...)
	if m.Left > 0 {
		return nil, nil
	}
	b := *buf
	*buf = nil
	if len(b) <= partSize || b[0] == kindPart {
		return nil, crux.Errorf("gather a message", crux.Invalid, "its %d bytes of kind %#x should not have come in pieces", len(b), b[0])
	}
	return Decode(b)
}
