package packet

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"slices"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// maxUpgrades is how many upgrades of one pair are kept: two nodes may ask for
// one at the same time, each as the other's client.
const maxUpgrades = 4

// pair is what this node shares with one incarnation of another.
type pair struct {
	incarnation uint64
	exchange    [32]byte
	shared      []byte // of X25519
	upgrades    []upgrade
	generation  int           // of the newest upgrade
	strict      time.Duration // when keys without an upgrade are refused; 0: never yet
	keys        []*pairKey    // derived so far: one for each secondary key and generation
	send        *pairKey      // nil before the first packet
	counter     uint64        // the next one
	window      seal.Window
}

// upgrade is a secret that was mixed in; generations count from 1.
type upgrade struct {
	generation int
	secret     [32]byte
}

// pairKey is one agreed key, in both directions.
type pairKey struct {
	psk, generation int
	out, in         *seal.Key
	seals, opens    cipher.AEAD // made when first needed
}

func (q *pair) matches(r *flock.Record) bool {
	return q.incarnation == r.Incarnation && q.exchange == r.Exchange
}

// heard notes that the other side has sealed under k: from now on it is answered
// under k, unless that were a step back to what no upgrade protects.
func (q *pair) heard(now time.Duration, k *pairKey) {
	if q.send == nil || k.generation > 0 || q.send.generation == 0 {
		q.send = k
	}
	if k.generation > 0 && q.strict == 0 {
		q.strict = now + upgradeGrace
	}
}

// drop forgets the keys of a generation.
func (q *pair) drop(generation int) {
	q.keys = slices.DeleteFunc(q.keys, func(k *pairKey) bool { return k.generation == generation })
}

// key finds or derives the pair's key for a secondary key and an upgrade
// (generation 0: none).
func (s *Pairs) key(q *pair, peer *flock.Record, psk, generation int) *pairKey {
	psk = min(psk, len(s.psks)-1)
	for _, k := range q.keys {
		if k.psk == psk && k.generation == generation {
			return k
		}
	}
	var mixed []byte
	for _, u := range q.upgrades {
		if u.generation == generation {
			mixed = u.secret[:]
		}
	}
	// Fields with their lengths: no upgrade is not the same as an empty one.
	secret := crux.AppendField(crux.AppendField(nil, q.shared), mixed)
	root, err := hkdf.Extract(sha256.New, secret, s.psks[psk][:])
	if err != nil {
		panic("packet: HKDF takes any secret: " + err.Error())
	}
	k := &pairKey{
		psk: psk, generation: generation,
		out: direction(s.scope, root, &s.self, peer),
		in:  direction(s.scope, root, peer, &s.self),
	}
	q.keys = append(q.keys, k)
	return k
}
