package seal

import (
	"encoding/binary"

	"fulcrum.example/crux"
)

// Version is the first byte of every packet.
const Version = 1

// Sizes of a packet's parts, in bytes.
const (
	headerSize = 44                   // what the header tag is made over
	tagSize    = 8                    // the header tag
	Tail       = 16                   // the AEAD's tag
	Headroom   = headerSize + tagSize // where the body begins
	Overhead   = Headroom + Tail      // what a packet has beside its body
)

// Header is the clear part of a packet. K is the protocol's type for the kinds
// of its messages.
type Header[K ~uint8] struct {
	Kind        K
	KeyID       uint64
	Sender      crux.NodeID
	Incarnation uint64 // of the sender
	Counter     uint64 // the nonce
	Receiver    crux.NodeID
}

// put writes the header of a packet of len(p) bytes, without its tag.
func (h *Header[K]) put(p []byte) {
	p[0], p[1] = Version, byte(h.Kind)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint64(p[4:], h.KeyID)
	copy(p[12:20], h.Sender[:])
	binary.BigEndian.PutUint64(p[20:], h.Incarnation)
	binary.BigEndian.PutUint64(p[28:], h.Counter)
	copy(p[36:44], h.Receiver[:])
}

// Parse reads a packet's header and checks that the packet is of this version
// and as long as it says, and no longer than most bytes. A verdict other than
// Accepted says why it is to be dropped.
func Parse[K ~uint8](p []byte, most int) (Header[K], Verdict) {
	if len(p) < Overhead || len(p) > most {
		return Header[K]{}, BadLength
	}
	if p[0] != Version {
		return Header[K]{}, BadVersion
	}
	if int(binary.BigEndian.Uint16(p[2:])) != len(p) {
		return Header[K]{}, BadLength
	}
	return Header[K]{
		Kind:        K(p[1]),
		KeyID:       binary.BigEndian.Uint64(p[4:]),
		Sender:      crux.NodeID(p[12:20]),
		Incarnation: binary.BigEndian.Uint64(p[20:]),
		Counter:     binary.BigEndian.Uint64(p[28:]),
		Receiver:    crux.NodeID(p[36:44]),
	}, Accepted
}
