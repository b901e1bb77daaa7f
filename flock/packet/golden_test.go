package packet

import (
	"bytes"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
)

// The sums below change only with Version: nodes of one version must
// understand one another, whenever they were built.
func TestTheWireFormatOfThisVersionHasNotChanged(t *testing.T) {
	t.Parallel()
	x, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{5}, 32))
	if err != nil {
		t.Fatal(err)
	}
	y, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{6}, 32))
	if err != nil {
		t.Fatal(err)
	}
	self, peer := crux.NodeID{1}, &flock.Record{ID: crux.NodeID{2}, Incarnation: 3, Exchange: [32]byte(y.PublicKey().Bytes())}
	ring := NewRing(scope, []bloc.Secondary{secret})
	ring.Set(&flock.Keys{Seal: epochA})
	sealer := NewSealer(self, 4, ring)
	classical, upgraded := NewPairs(scope, self, 4, x, []bloc.Secondary{secret}), NewPairs(scope, self, 4, x, []bloc.Secondary{secret})
	if err := upgraded.Upgrade(peer, UpgradeSecret([]byte("one"), []byte("other")), true); err != nil {
		t.Fatal(err)
	}

	r := rand.New(rand.NewPCG(7, 8))
	bodies := sha256.New()
	for _, k := range kinds() {
		bodies.Write(AppendBody(nil, random(r, k)))
	}
	pair := func(s *Pairs) ([]byte, error) { return s.Seal(body([]byte("beat")), flock.KindBeat, peer, 0) }
	for name, c := range map[string]struct {
		want string
		seal func() ([]byte, error)
	}{
		"bodies":    {goldenBodies, func() ([]byte, error) { return bodies.Sum(nil), nil }},
		"classical": {goldenClassical, func() ([]byte, error) { return pair(classical) }},
		"upgraded":  {goldenUpgraded, func() ([]byte, error) { return pair(upgraded) }},
		"discovery": {goldenDiscovery, func() ([]byte, error) {
			s := *sealer
			return s.Seal(body([]byte("hello")), flock.KindHello, anAddr, crux.NodeID{})
		}},
		"group": {goldenGroup, func() ([]byte, error) {
			s := *sealer
			return s.Seal(body([]byte("page")), flock.KindPage, anAddr, peer.ID)
		}},
	} {
		b, err := c.seal()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:8]); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

const (
	goldenBodies    = "4cd517ac1ea41b8d"
	goldenClassical = "dd0160458470d0cc"
	goldenUpgraded  = "ee43645b1b930fdc"
	goldenDiscovery = "ba5411ee5adaeed7"
	goldenGroup     = "c101464781502696"
)
