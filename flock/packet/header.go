package packet

import (
	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// Headroom is where a packet's body begins, in bytes.
const Headroom = seal.Headroom

// Header is the clear part of a packet.
type Header = seal.Header[flock.Kind]

// ParseHeader reads the header of a packet that came to self. It checks what
// needs no key; a verdict other than Accepted says why the packet is to be
// dropped.
func ParseHeader(p []byte, self crux.NodeID) (Header, seal.Verdict) {
	h, v := seal.Parse[flock.Kind](p, flock.MaxPacket)
	switch {
	case v != seal.Accepted:
		return h, v
	case SealingOf(h.Kind) == 0:
		return h, seal.BadKind
	case h.Sender == self || h.Sender.IsZero():
		return h, seal.Own
	case h.Receiver.IsZero() && SealingOf(h.Kind) == flock.Discovery:
		return h, seal.Accepted
	case h.Receiver != self:
		return h, seal.NotForUs
	}
	return h, seal.Accepted
}
