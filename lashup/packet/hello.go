package packet

import (
	"encoding/binary"
	"net/netip"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// Nonce ties an Answer to its Ask.
type Nonce [16]byte

// Hello is the body of an Ask or an Answer.
type Hello struct {
	Nonce Nonce
	Card  *route.Card
}

// HelloSize is the length of every Hello, in bytes: room for the longest card.
const HelloSize = 344

// Bounds of what strangers may cause.
const (
	helloSources = 1024    // buckets of addresses
	helloRate    = 20.0    // Hellos a second and address
	helloBurst   = 100.0   // a machine may carry many nodes
	helloAllRate = 1000.0  // and in all
	helloAllMost = 10000.0 // ten thousand nodes may start at once
)

// AppendHello appends nonce, the card's length in 2 bytes, the card, and zeros.
// It fails with Invalid for a card that is too long.
func AppendHello(b []byte, h *Hello) ([]byte, error) {
	n := h.Card.Size()
	if len(h.Nonce)+2+n > HelloSize {
		return nil, crux.Errorf("write hello", crux.Invalid, "the card of %s takes %d bytes", h.Card.Node, n)
	}
	end := len(b) + HelloSize
	b = append(b, h.Nonce[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = h.Card.Append(b)
	for len(b) < end {
		b = append(b, 0)
	}
	return b, nil
}

// DecodeHello reads what AppendHello wrote. The card's signature is not checked.
// Errors are of kind Invalid.
func DecodeHello(b []byte) (*Hello, error) {
	const op = "read hello"
	if len(b) != HelloSize {
		return nil, crux.Errorf(op, crux.Invalid, "it has %d bytes, not %d", len(b), HelloSize)
	}
	h := &Hello{Nonce: Nonce(b[:16])}
	n, rest := int(binary.BigEndian.Uint16(b[16:])), b[18:]
	if n > len(rest) {
		return nil, crux.Errorf(op, crux.Invalid, "it is too short for its card")
	}
	for _, x := range rest[n:] {
		if x != 0 {
			return nil, crux.Errorf(op, crux.Invalid, "its padding is not zero")
		}
	}
	var err error
	if h.Card, err = route.DecodeCard(rest[:n]); err != nil {
		return nil, crux.Wrap(op, err)
	}
	return h, nil
}

// SealHello makes an Ask or an Answer to a node, with this process's own card.
func (s *Pairs) SealHello(kind Kind, to crux.NodeID, nonce Nonce) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.count()
	if err != nil {
		return nil, err
	}
	b := make([]byte, Headroom, Headroom+HelloSize+seal.Tail)
	b, err = AppendHello(b, &Hello{nonce, s.own})
	if err != nil {
		return nil, err
	}
	h := Header{Kind: kind, KeyID: s.hello.ID, Sender: s.own.Node, Incarnation: s.own.Epoch, Counter: n, Receiver: to}
	return seal.Seal(&s.scratch, b, &h, s.hello, s.helloOwn), nil
}

// OpenHello opens, in place, a datagram whose header ParseHeader accepted and
// whose kind is Ask or Answer. The Hello is from somebody who says that it is the
// header's sender: its card is the sender's by name, and not verified.
func (s *Pairs) OpenHello(now time.Duration, from netip.AddrPort, h *Header, p []byte) (*Hello, seal.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case h.KeyID != s.hello.ID:
		return nil, seal.UnknownKey
	case !s.scratch.Check(s.hello, p):
		return nil, seal.BadTag
	case !s.sources.Take(now, from) || !s.hellos.Take(now, helloAllRate, helloAllMost):
		return nil, seal.OverBudget
	}
	body, ok := s.scratch.Open(s.hello.AEAD(h.Sender, h.Incarnation), h.Counter, p)
	if !ok {
		return nil, seal.BadSeal
	}
	m, err := DecodeHello(body)
	switch {
	case err != nil:
		return nil, seal.BadBody
	case m.Card.Node != h.Sender || m.Card.Epoch != h.Incarnation:
		return nil, seal.BadRecord
	}
	return m, seal.Accepted
}
