package packet

import (
	"crypto/ecdh"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
)

// maxPairs bounds how many nodes' pairwise keys are kept. Beyond it any one goes
// and is agreed on again when it is needed.
const maxPairs = 1 << 14

// upgradeGrace is how long packets under a pair's keys from before an upgrade
// are opened once the other side has been heard under the new ones: as long as a
// packet may be under way. Later they would let whoever breaks X25519 step
// behind the upgrade.
const upgradeGrace = 30 * time.Second

// Pairs seals and opens what only two nodes can read. A pair's keys come from
// the X25519 keys that both made at their start and certified in their records,
// from the bloc's secondary key, and, once Upgrade was called, from a secret that
// both agreed on over a stream that is safe from quantum computers. One goroutine
// owns it.
type Pairs struct {
	scope   seal.Scope
	self    flock.Record // ID, Incarnation and Exchange of this node
	private *ecdh.PrivateKey
	psks    []bloc.Secondary // the current one first
	pairs   map[crux.NodeID]*pair
	counter uint64 // greater than any that was used with any pair
	scratch seal.Scratch
}

// NewPairs makes the pairs of a node in one incarnation; private is the X25519
// key whose public half is in the node's records. There must be one only.
func NewPairs(scope seal.Scope, self crux.NodeID, incarnation uint64, private *ecdh.PrivateKey, secrets []bloc.Secondary) *Pairs {
	return &Pairs{
		scope:   scope,
		self:    flock.Record{ID: self, Incarnation: incarnation, Exchange: [32]byte(private.PublicKey().Bytes())},
		private: private,
		psks:    secrets,
		pairs:   make(map[crux.NodeID]*pair),
	}
}

// Seal makes a packet of p for the owner of the record to, as Sealer.Seal does.
// secondary is the index of the secondary key that the other is known to have
// (Sealer.Secondary). It fails with Invalid where the record's key is no key.
func (s *Pairs) Seal(p []byte, kind flock.Kind, to *flock.Record, secondary int) ([]byte, error) {
	q, err := s.pair(to)
	if err != nil {
		return nil, err
	}
	if q.send == nil {
		q.send = s.key(q, to, secondary, 0)
	}
	k := q.send
	if k.seals == nil {
		k.seals = k.out.AEAD(s.self.ID, s.self.Incarnation)
	}
	h := Header{Kind: kind, KeyID: k.out.ID, Sender: s.self.ID, Incarnation: s.self.Incarnation, Counter: q.counter, Receiver: to.ID}
	q.counter++
	s.counter = max(s.counter, q.counter)
	return seal.Seal(&s.scratch, p, &h, k.out, k.seals), nil
}

// Open authenticates and decrypts, in place, a packet whose header ParseHeader
// accepted and whose sealing is Pair; from is the newest record of its sender,
// nil if there is none.
func (s *Pairs) Open(now time.Duration, h *Header, p []byte, from *flock.Record) ([]byte, seal.Verdict) {
	switch {
	case from == nil || h.Incarnation > from.Incarnation:
		return nil, seal.NoPeer
	case h.Incarnation < from.Incarnation:
		return nil, seal.OldRun
	}
	q, err := s.pair(from)
	if err != nil {
		return nil, seal.NoPeer
	}
	k := s.incoming(q, from, h.KeyID)
	if k == nil || k.generation == 0 && q.strict != 0 && now > q.strict {
		return nil, seal.UnknownKey
	}
	if !s.scratch.Check(k.in, p) {
		return nil, seal.BadTag
	}
	if !q.window.Fresh(h.Counter) {
		return nil, seal.Replayed
	}
	if k.opens == nil {
		k.opens = k.in.AEAD(h.Sender, h.Incarnation)
	}
	body, ok := s.scratch.Open(k.opens, h.Counter, p)
	if !ok {
		return nil, seal.BadSeal
	}
	q.window.Mark(h.Counter)
	q.heard(now, k)
	return body, seal.Accepted
}

// Upgrade mixes a secret, which both sides have, into the keys of the pair with
// the owner of the record. With lead this side seals under the new keys at once:
// it is sure that the other can open them; without, it does from the first
// packet under them on.
func (s *Pairs) Upgrade(peer *flock.Record, secret [32]byte, lead bool) error {
	q, err := s.pair(peer)
	if err != nil {
		return err
	}
	psk := 0
	if q.send != nil {
		psk = q.send.psk
	}
	q.generation++
	q.upgrades = append(q.upgrades, upgrade{q.generation, secret})
	if len(q.upgrades) > maxUpgrades {
		gone := q.upgrades[0].generation
		q.upgrades = q.upgrades[1:]
		q.drop(gone)
	}
	if lead || q.send == nil {
		q.send = s.key(q, peer, psk, q.generation)
	}
	return nil
}

// UpgradeSecret makes the secret of an upgrade of what each side drew: neither
// chooses it alone.
func UpgradeSecret(caller, callee []byte) [32]byte {
	return [32]byte(seal.Derive(crux.AppendField(crux.AppendField(nil, caller), callee), "fulcrum flock upgrade v1", 32))
}

// Upgraded says whether the keys with a node's present incarnation rest on an
// upgrade.
func (s *Pairs) Upgraded(peer *flock.Record) bool {
	q := s.pairs[peer.ID]
	return q != nil && q.matches(peer) && q.generation > 0
}

// pair finds what this node shares with the incarnation that the record names,
// or agrees on it.
func (s *Pairs) pair(r *flock.Record) (*pair, error) {
	q := s.pairs[r.ID]
	if q != nil && q.matches(r) {
		return q, nil
	}
	shared, err := seal.Agree(s.private, r.Exchange)
	if err != nil {
		return nil, crux.Errorf("agree on a key", crux.Invalid, "with node %s: %w", r.ID, err)
	}
	if q == nil && len(s.pairs) >= maxPairs {
		for id := range s.pairs { // any one
			delete(s.pairs, id)
			break
		}
	}
	// The same node may come back with the same keys after its pair was dropped:
	// counters go on from the highest of all, so that no nonce is used twice.
	q = &pair{incarnation: r.Incarnation, exchange: r.Exchange, shared: shared, counter: s.counter}
	s.pairs[r.ID] = q
	return q, nil
}

// incoming finds the key that a packet names. A key that is not among those in
// use may be one that was not derived yet.
func (s *Pairs) incoming(q *pair, from *flock.Record, id uint64) *pairKey {
	for _, k := range q.keys {
		if k.in.ID == id {
			return k
		}
	}
	if len(q.keys) == len(s.psks)*(len(q.upgrades)+1) {
		return nil
	}
	for psk := range s.psks {
		s.key(q, from, psk, 0)
		for _, u := range q.upgrades {
			s.key(q, from, psk, u.generation)
		}
	}
	for _, k := range q.keys {
		if k.in.ID == id {
			return k
		}
	}
	return nil
}
