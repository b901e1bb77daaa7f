package packet

import (
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// Version is the first byte of every packet.
const Version = 1

// Sizes of a packet's parts, in bytes.
const (
	headerSize = 44                   // what the header tag is made over
	tagSize    = 8                    // the header tag
	sealSize   = 16                   // the AEAD's tag
	Headroom   = headerSize + tagSize // where the body begins
	minPacket  = Headroom + sealSize
)

// Header is the clear part of a packet.
//
//	 0  version 1 | kind 1 | length 2 | key id 8
//	12  sender 8 | incarnation 8 | counter 8
//	36  receiver 8
//	44  header tag 8
//	52  ciphertext, AEAD tag 16
type Header struct {
	Kind        flock.Kind
	KeyID       uint64
	Sender      crux.NodeID
	Incarnation uint64 // of the sender
	Counter     uint64 // the nonce
	Receiver    crux.NodeID
}

// put writes the header of a packet of len(p) bytes, without its tag.
func (h *Header) put(p []byte) {
	p[0], p[1] = Version, byte(h.Kind)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint64(p[4:], h.KeyID)
	copy(p[12:20], h.Sender[:])
	binary.BigEndian.PutUint64(p[20:], h.Incarnation)
	binary.BigEndian.PutUint64(p[28:], h.Counter)
	copy(p[36:44], h.Receiver[:])
}

// ParseHeader reads the header of a packet that came to self. It checks what
// needs no key; a verdict other than Accepted says why the packet is to be
// dropped.
func ParseHeader(p []byte, self crux.NodeID) (Header, Verdict) {
	if len(p) < minPacket || len(p) > flock.MaxPacket {
		return Header{}, BadLength
	}
	if p[0] != Version {
		return Header{}, BadVersion
	}
	if int(binary.BigEndian.Uint16(p[2:])) != len(p) {
		return Header{}, BadLength
	}
	h := Header{
		Kind:        flock.Kind(p[1]),
		KeyID:       binary.BigEndian.Uint64(p[4:]),
		Sender:      crux.NodeID(p[12:20]),
		Incarnation: binary.BigEndian.Uint64(p[20:]),
		Counter:     binary.BigEndian.Uint64(p[28:]),
		Receiver:    crux.NodeID(p[36:44]),
	}
	switch {
	case SealingOf(h.Kind) == 0:
		return h, BadKind
	case h.Sender == self || h.Sender.IsZero():
		return h, Own
	case h.Receiver.IsZero() && SealingOf(h.Kind) == flock.Discovery:
		return h, Accepted
	case h.Receiver != self:
		return h, NotForUs
	}
	return h, Accepted
}

// nonce writes the AEAD's nonce for a counter.
func nonce(b *[12]byte, counter uint64) []byte {
	binary.BigEndian.PutUint64(b[4:], counter)
	return b[:]
}
