package packet

import (
	"crypto/cipher"
	"net/netip"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// maxOldPeers bounds how many addresses are remembered as holding only an older
// secondary key.
const maxOldPeers = 4096

// Sealer seals under the shared keys. One goroutine owns it.
type Sealer struct {
	self        crux.NodeID
	incarnation uint64
	ring        *Ring
	counter     uint64 // the next one, for all shared keys
	aeads       map[uint64]cipher.AEAD
	ringSeen    *ringState
	old         map[netip.AddrPort]uint64 // key id of the older secondary key that an address uses
	scratch     seal.Scratch
}

// NewSealer makes the Sealer of a node in one incarnation. There must be one
// only: its counter makes nonces unique.
func NewSealer(self crux.NodeID, incarnation uint64, ring *Ring) *Sealer {
	return &Sealer{
		self: self, incarnation: incarnation, ring: ring,
		aeads: make(map[uint64]cipher.AEAD),
		old:   make(map[netip.AddrPort]uint64),
	}
}

// Heard notes under which secondary key an address sent a discovery packet that
// was accepted: while keys are changed, the answer must use the same.
func (s *Sealer) Heard(from netip.AddrPort, keyID uint64) {
	if s.current(keyID) {
		delete(s.old, from)
	} else if len(s.old) < maxOldPeers {
		s.old[from] = keyID
	}
}

func (s *Sealer) current(keyID uint64) bool {
	st := s.ring.now.Load()
	return len(st.secondary) > 0 && st.secondary[0].ID == keyID
}

// Secondary is the index of the secondary key that an address is known to have.
func (s *Sealer) Secondary(to netip.AddrPort) int {
	id, ok := s.old[to]
	if !ok {
		return 0
	}
	for i, k := range s.ring.now.Load().secondary {
		if k.ID == id {
			return i
		}
	}
	return 0
}

// Seal makes a packet of p, whose first Headroom bytes are free and whose rest
// is the body: it is encrypted in place and grows by the AEAD's tag. It fails
// with Unavailable while there is no key for the message's sealing.
func (s *Sealer) Seal(p []byte, kind flock.Kind, to netip.AddrPort, receiver crux.NodeID) ([]byte, error) {
	k := s.key(SealingOf(kind), to)
	if k == nil {
		return nil, crux.Errorf("seal packet", crux.Unavailable, "there is no key for it")
	}
	h := Header{Kind: kind, KeyID: k.ID, Sender: s.self, Incarnation: s.incarnation, Counter: s.counter, Receiver: receiver}
	s.counter++
	return seal.Seal(&s.scratch, p, &h, k, s.aead(k)), nil
}

func (s *Sealer) key(sealing flock.Sealing, to netip.AddrPort) *seal.Key {
	st := s.ring.now.Load()
	if sealing == flock.Group {
		return st.seal
	}
	if len(st.secondary) == 0 {
		return nil
	}
	return st.secondary[s.Secondary(to)]
}

// aead finds or derives this node's own AEAD of a shared key. When the keys have
// changed it starts anew, so that nothing of an old epoch stays.
func (s *Sealer) aead(k *seal.Key) cipher.AEAD {
	if st := s.ring.now.Load(); st != s.ringSeen {
		s.ringSeen = st
		clear(s.aeads)
	}
	a := s.aeads[k.ID]
	if a == nil {
		a = k.AEAD(s.self, s.incarnation)
		s.aeads[k.ID] = a
	}
	return a
}
