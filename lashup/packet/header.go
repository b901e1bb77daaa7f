package packet

import (
	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
)

// Kind says what a datagram holds.
type Kind uint8

// The kinds of datagrams.
const (
	Ask    Kind = iota + 1 // a Hello that asks for the receiver's card
	Answer                 // the Hello that answers
	Word                   // a message between two that know each other's cards
)

// Sizes in bytes.
const (
	MaxPacket = 1232                      // UDP payload: what IPv6 always carries
	MaxWord   = MaxPacket - seal.Overhead // the longest message
	Headroom  = seal.Headroom             // where a packet's body begins
)

// Header is the clear part of a datagram.
type Header = seal.Header[Kind]

// ParseHeader reads the header of a datagram that came to self. It checks what
// needs no key; a verdict other than Accepted says why the datagram is to be
// dropped.
func ParseHeader(p []byte, self crux.NodeID) (Header, seal.Verdict) {
	h, v := seal.Parse[Kind](p, MaxPacket)
	switch {
	case v != seal.Accepted:
		return h, v
	case h.Kind < Ask || h.Kind > Word:
		return h, seal.BadKind
	case h.Kind != Word && len(p) != seal.Overhead+HelloSize:
		return h, seal.BadLength
	case h.Sender == self || h.Sender.IsZero():
		return h, seal.Own
	case h.Receiver != self:
		return h, seal.NotForUs
	}
	return h, seal.Accepted
}
