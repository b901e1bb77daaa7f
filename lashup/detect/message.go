package detect

import (
	"encoding/binary"
	"time"

	"fulcrum.example/crux"
)

// The kinds of messages: the first byte of each.
const (
	kindPing    = 0x20
	kindAck     = 0x21
	kindRequest = 0x22
	kindReport  = 0x23
)

// Message is what travels between detectors, each in a datagram of its own.
// Messages are immutable once sent.
//
// Integers are big-endian and of their Go width; a node ID is its 8 bytes.
type Message interface {
	// Size is the exact length in bytes of what Append appends.
	Size() int
	Append(b []byte) []byte
}

// Ping asks for an Ack. 9 bytes.
type Ping struct{ Seq uint64 }

// Ack answers a Ping at once. 9 bytes, as a Ping: nobody can use it to amplify.
type Ack struct{ Seq uint64 }

// WitnessRequest asks the receiver to ping a node at once, and to say by
// WitnessReport whether it was heard. 19 bytes.
type WitnessRequest struct {
	Seq    uint64
	Target crux.NodeID
	Within time.Duration // for the report; whole milliseconds, 1 to 65535
}

// WitnessReport answers a WitnessRequest: as soon as the target is heard, or
// when the time is over. 10 bytes.
type WitnessReport struct {
	Seq   uint64 // of the request
	Heard bool
}

// Size is 9.
func (*Ping) Size() int { return 9 }

// Size is 9.
func (*Ack) Size() int { return 9 }

// Size is 19.
func (*WitnessRequest) Size() int { return 19 }

// Size is 10.
func (*WitnessReport) Size() int { return 10 }

// Append appends kind and Seq.
func (m *Ping) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindPing), m.Seq)
}

// Append appends kind and Seq.
func (m *Ack) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindAck), m.Seq)
}

// Append appends kind, Seq, Target and the milliseconds of Within.
func (m *WitnessRequest) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, kindRequest), m.Seq)
	b = append(b, m.Target[:]...)
	return binary.BigEndian.AppendUint16(b, uint16(m.Within/time.Millisecond))
}

// Append appends kind, Seq, and 1 for heard or 0.
func (m *WitnessReport) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, kindReport), m.Seq)
	if m.Heard {
		return append(b, 1)
	}
	return append(b, 0)
}

// Decode reads one message, and nothing but that. It fails with Invalid.
func Decode(b []byte) (Message, error) {
	if len(b) < 9 {
		return nil, malformed(b)
	}
	seq, rest := binary.BigEndian.Uint64(b[1:]), b[9:]
	switch {
	case b[0] == kindPing && len(rest) == 0:
		return &Ping{seq}, nil
	case b[0] == kindAck && len(rest) == 0:
		return &Ack{seq}, nil
	case b[0] == kindRequest && len(rest) == 10:
		m := &WitnessRequest{Seq: seq, Target: crux.NodeID(rest[:8])}
		m.Within = time.Duration(binary.BigEndian.Uint16(rest[8:])) * time.Millisecond
		if m.Within > 0 && !m.Target.IsZero() {
			return m, nil
		}
	case b[0] == kindReport && len(rest) == 1 && rest[0] <= 1:
		return &WitnessReport{seq, rest[0] == 1}, nil
	}
	return nil, malformed(b)
}

func malformed(b []byte) error {
	return crux.Errorf("decode ping message", crux.Invalid, "the %d bytes are no message of the failure detector", len(b))
}
