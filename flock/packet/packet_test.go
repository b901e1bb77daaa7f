package packet

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
)

var (
	scope  = seal.Scope{Bloc: "rack7", Name: "main"}
	secret = bloc.Secondary{1, 2, 3}
	older  = bloc.Secondary{4, 5, 6}
	anAddr = netip.MustParseAddrPort("10.0.0.1:7946")
	epochA = flock.Key{Flock: crux.FlockID{1}, Epoch: 7, Secret: [32]byte{9}}
)

// end is one node's whole packet machinery.
type end struct {
	rec    *flock.Record
	view   *crux.View
	ring   *Ring
	sealer *Sealer
	opener *Opener
	pairs  *Pairs
}

func newEnd(t testing.TB, scope seal.Scope, incarnation uint64, secrets ...bloc.Secondary) *end {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newEndOf(t, scope, pub, incarnation, secrets...)
}

func newEndOf(t testing.TB, scope seal.Scope, pub ed25519.PublicKey, incarnation uint64, secrets ...bloc.Secondary) *end {
	t.Helper()
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{ring: NewRing(scope, secrets), view: &crux.View{}}
	e.rec = &flock.Record{
		ID: crux.NodeIDOf(pub), Key: [32]byte(pub), Addr: anAddr,
		Incarnation: incarnation, Exchange: [32]byte(x.PublicKey().Bytes()),
	}
	e.sealer = NewSealer(e.rec.ID, incarnation, e.ring)
	e.opener = NewOpener(e.rec.ID, e.ring, func() *crux.View { return e.view })
	e.pairs = NewPairs(scope, e.rec.ID, incarnation, x, secrets)
	e.ring.Set(&flock.Keys{Seal: epochA, Open: []flock.Key{epochA}})
	return e
}

// knows makes the other a member of this one's view.
func (e *end) knows(o *end) {
	e.view = &crux.View{Members: []crux.Member{{ID: o.rec.ID, Incarnation: o.rec.Incarnation}}}
}

func body(b []byte) []byte { return append(make([]byte, Headroom, Headroom+len(b)+seal.Tail), b...) }

// seal makes a packet of kind for to.
func (e *end) seal(t testing.TB, kind flock.Kind, to *end, text string) []byte {
	t.Helper()
	var p []byte
	var err error
	if SealingOf(kind) == flock.Pair {
		p, err = e.pairs.Seal(body([]byte(text)), kind, to.rec, e.sealer.Secondary(anAddr))
	} else {
		p, err = e.sealer.Seal(body([]byte(text)), kind, anAddr, to.rec.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open opens a copy of a packet, which came from the node from.
func (e *end) open(now time.Duration, from *end, p []byte) (string, seal.Verdict) {
	p = bytes.Clone(p)
	h, v := ParseHeader(p, e.rec.ID)
	if v != seal.Accepted {
		return "", v
	}
	var b []byte
	if SealingOf(h.Kind) == flock.Pair {
		b, v = e.pairs.Open(now, &h, p, from.rec)
	} else {
		b, v = e.opener.Open(now, anAddr, &h, p)
	}
	return string(b), v
}

func (e *end) wants(t *testing.T, want seal.Verdict, from *end, p []byte) {
	t.Helper()
	b, v := e.open(1, from, p)
	if v != want {
		t.Errorf("verdict %d, want %d", v, want)
	}
	if v != seal.Accepted && b != "" {
		t.Errorf("a packet of verdict %d gave a body", v)
	}
}

// one kind for each sealing
var oneEach = []flock.Kind{flock.KindHello, flock.KindPage, flock.KindBeat}

func TestWhatOneSealsTheOtherOpensOnce(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		a, b := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret)
		if known {
			b.knows(a)
		}
		for _, kind := range oneEach {
			p := a.seal(t, kind, b, "hello")
			if got, v := b.open(1, a, p); v != seal.Accepted || got != "hello" {
				t.Fatalf("kind %d: %q, verdict %d", kind, got, v)
			}
			b.wants(t, seal.Replayed, a, p)
			q := a.seal(t, kind, b, "late")
			b.wants(t, seal.Accepted, a, a.seal(t, kind, b, "early"))
			b.wants(t, seal.Accepted, a, q)
			b.wants(t, seal.Replayed, a, q)
			a.wants(t, seal.Own, b, p) // reflected
		}
	}
}

func TestEveryBitOfAPacketIsAuthenticated(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret)
	for _, kind := range oneEach {
		p := a.seal(t, kind, b, "hello")
		for i := range len(p) * 8 {
			q := bytes.Clone(p)
			q[i/8] ^= 1 << (i % 8)
			if _, v := b.open(time.Duration(i)*time.Second, a, q); v == seal.Accepted {
				t.Errorf("kind %d: bit %d was changed and nobody noticed", kind, i)
			}
		}
		for n := range p {
			if _, v := b.open(1, a, p[:n]); v != seal.BadLength && v != seal.BadVersion {
				t.Errorf("kind %d: %d of %d bytes: verdict %d", kind, n, len(p), v)
			}
		}
		b.wants(t, seal.Accepted, a, p)
	}
}

func TestAPacketIsForItsReceiverOnly(t *testing.T) {
	t.Parallel()
	a, b, c := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret), newEnd(t, scope, 7, secret)
	for _, kind := range oneEach {
		p := a.seal(t, kind, b, "hello")
		c.wants(t, seal.NotForUs, a, p)
		copy(p[36:], c.rec.ID[:]) // readdressed
		if v := func() seal.Verdict { _, v := c.open(1, a, p); return v }(); v != seal.BadTag && v != seal.UnknownKey {
			t.Errorf("kind %d readdressed: verdict %d", kind, v)
		}
	}
	// A member that holds the group keys readdresses with a right header tag.
	for _, kind := range oneEach[:2] {
		p := a.seal(t, kind, b, "hello")
		copy(p[36:], c.rec.ID[:])
		var tg seal.Scratch
		h, _ := ParseHeader(p, c.rec.ID)
		copy(p[Headroom-8:], tg.Tag(c.ring.lookup(SealingOf(kind), h.KeyID), p))
		c.wants(t, seal.BadSeal, a, p)
	}
	all, err := a.sealer.Seal(body(nil), flock.KindHello, anAddr, crux.NodeID{})
	if err != nil {
		t.Fatal(err)
	}
	b.wants(t, seal.Accepted, a, all)
	c.wants(t, seal.Accepted, a, all)
	all, err = a.sealer.Seal(body(nil), flock.KindPage, anAddr, crux.NodeID{})
	if err != nil {
		t.Fatal(err)
	}
	b.wants(t, seal.NotForUs, a, all) // anybody's: for discovery only
}

func TestOtherKeysBlocsAndNamesOpenNothing(t *testing.T) {
	t.Parallel()
	a := newEnd(t, scope, 5, secret)
	for name, b := range map[string]*end{
		"bloc":   newEnd(t, seal.Scope{Bloc: "rack8", Name: "main"}, 6, secret),
		"name":   newEnd(t, seal.Scope{Bloc: "rack7", Name: "mai"}, 6, secret),
		"secret": newEnd(t, scope, 6, older),
	} {
		for _, kind := range oneEach {
			p := a.seal(t, kind, b, "hello")
			want := seal.UnknownKey
			if name == "secret" && kind == flock.KindPage {
				want = seal.Accepted // the epoch's key does not depend on the bloc's
			}
			b.wants(t, want, a, p)
		}
	}
	b := newEnd(t, scope, 6, secret)
	b.ring.Set(&flock.Keys{Seal: flock.Key{Flock: epochA.Flock, Epoch: 8, Secret: epochA.Secret}})
	b.wants(t, seal.UnknownKey, a, a.seal(t, flock.KindPage, b, "hello"))
}

func TestOnlyTheNewestIncarnationCounts(t *testing.T) {
	t.Parallel()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, a, b := newEndOf(t, scope, pub, 5, secret), newEndOf(t, scope, pub, 6, secret), newEnd(t, scope, 1, secret)
	b.knows(a)
	for _, kind := range oneEach {
		b.wants(t, seal.OldRun, a, old.seal(t, kind, b, "hello"))
		b.wants(t, seal.Accepted, a, a.seal(t, kind, b, "hello"))
	}
	// A restarted node is heard in discovery before its record is known, and
	// pairwise only after.
	b.knows(old)
	b.wants(t, seal.Accepted, old, a.seal(t, flock.KindHello, b, "hello"))
	b.wants(t, seal.NoPeer, old, a.seal(t, flock.KindBeat, b, "hello"))
	if _, v := b.open(1, &end{}, a.seal(t, flock.KindBeat, b, "hello")); v != seal.NoPeer {
		t.Errorf("pairwise from nobody known: verdict %d", v)
	}
	b.wants(t, seal.Accepted, a, a.seal(t, flock.KindBeat, b, "hello"))
}

func TestAForgedPacketDoesNotMoveTheWindow(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret)
	b.knows(a)
	for _, kind := range oneEach[:2] {
		p := a.seal(t, kind, b, "hello")
		forged := bytes.Clone(p)
		forged[28] = 0x7f // the counter, far ahead
		h, _ := ParseHeader(forged, b.rec.ID)
		var tg seal.Scratch // by somebody who has the group's key but not the sender's
		copy(forged[Headroom-8:], tg.Tag(b.ring.lookup(SealingOf(kind), h.KeyID), forged))
		b.wants(t, seal.BadSeal, a, forged)
		b.wants(t, seal.Accepted, a, p)
	}
}

func TestAnEpochsKeyGoesWithItsEpoch(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret)
	b.wants(t, seal.Accepted, a, a.seal(t, flock.KindPage, b, "x"))
	next := flock.Key{Flock: epochA.Flock, Epoch: 8, Secret: [32]byte{10}}
	b.ring.Set(&flock.Keys{Seal: next, Open: []flock.Key{next, epochA}})
	b.wants(t, seal.Accepted, a, a.seal(t, flock.KindPage, b, "x"))
	late := a.seal(t, flock.KindPage, b, "x")
	b.ring.Set(&flock.Keys{Seal: next, Open: []flock.Key{next}})
	b.wants(t, seal.UnknownKey, a, late)
	a.ring.Set(&flock.Keys{Seal: next})
	b.wants(t, seal.Accepted, a, a.seal(t, flock.KindPage, b, "x"))
	if len(b.opener.aeads) != 1 || len(a.sealer.aeads) != 1 {
		t.Errorf("%d and %d derived keys are left; those of the old epoch must go", len(b.opener.aeads), len(a.sealer.aeads))
	}
	var many []flock.Key
	for i := range 20 {
		many = append(many, flock.Key{Epoch: 1, Secret: [32]byte{byte(i + 1)}})
	}
	b.ring.Set(&flock.Keys{Seal: many[0], Open: many})
	if n := len(b.ring.now.Load().open); n != MaxShared {
		t.Errorf("%d transient keys are live, want at most %d", n, MaxShared)
	}
}

func TestASecretOfZerosIsNoKey(t *testing.T) {
	t.Parallel()
	a := newEnd(t, scope, 5, secret)
	a.ring.Set(&flock.Keys{Open: []flock.Key{{Epoch: 3}, epochA}})
	if n := len(a.ring.now.Load().open); n != 1 {
		t.Errorf("%d keys are live, want the one that is secret", n)
	}
	if _, err := a.sealer.Seal(body(nil), flock.KindPage, anAddr, crux.NodeID{2}); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("sealed without a key: %v", err)
	}
}

func TestNodesTalkWhileTheSecondaryKeyIsChanged(t *testing.T) {
	t.Parallel()
	changed, not := newEnd(t, scope, 5, secret, older), newEnd(t, scope, 6, older)
	hello := not.seal(t, flock.KindHello, changed, "hello")
	changed.wants(t, seal.Accepted, not, hello)
	h, _ := ParseHeader(hello, changed.rec.ID)
	changed.sealer.Heard(anAddr, h.KeyID)
	for _, kind := range oneEach {
		not.wants(t, seal.Accepted, changed, changed.seal(t, kind, not, "back"))
		changed.wants(t, seal.Accepted, not, not.seal(t, kind, changed, "again"))
	}
	changed.sealer.Heard(anAddr, changed.ring.now.Load().secondary[0].ID)
	not.wants(t, seal.UnknownKey, changed, changed.seal(t, flock.KindHello, not, "current again"))
}

func TestPairsGoOnUnderAnUpgrade(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret)
	exchange := func(now time.Duration) {
		t.Helper()
		for _, e := range [][2]*end{{a, b}, {b, a}} {
			if _, v := e[1].open(now, e[0], e[0].seal(t, flock.KindBeat, e[1], "x")); v != seal.Accepted {
				t.Fatalf("verdict %d", v)
			}
		}
	}
	exchange(1)
	classical := a.seal(t, flock.KindBeat, b, "x")
	later := a.seal(t, flock.KindBeat, b, "x")
	upgrade := func(client, server *end, secret [32]byte) {
		t.Helper()
		if err := server.pairs.Upgrade(client.rec, secret, false); err != nil {
			t.Fatal(err)
		}
		if err := client.pairs.Upgrade(server.rec, secret, true); err != nil {
			t.Fatal(err)
		}
	}
	upgrade(a, b, [32]byte{1})
	if !a.pairs.Upgraded(b.rec) || !b.pairs.Upgraded(a.rec) {
		t.Error("the pair does not know of its upgrade")
	}
	// Before b has heard a it still seals as before, and is understood.
	if _, v := a.open(2, b, b.seal(t, flock.KindBeat, a, "x")); v != seal.Accepted {
		t.Errorf("before the switch: verdict %d", v)
	}
	exchange(3)
	if k := b.pairs.pairs[a.rec.ID].send; k.generation == 0 {
		t.Error("the pair did not move to the upgraded key")
	}
	if _, v := b.open(4, a, classical); v != seal.Accepted {
		t.Errorf("a packet that was under way: verdict %d", v)
	}
	if _, v := b.open(4+2*upgradeGrace, a, later); v != seal.UnknownKey {
		t.Errorf("the old key after the grace: verdict %d, want %d", v, seal.UnknownKey)
	}
	// Both sides ask at once, again and again.
	for i := range 10 {
		upgrade(a, b, [32]byte{2, byte(i)})
		upgrade(b, a, [32]byte{3, byte(i)})
		for j := range 3 {
			exchange(time.Duration(i*3+j+1) * 10 * upgradeGrace)
		}
	}
}

func TestNoNonceIsUsedTwiceWithAPairThatWasForgotten(t *testing.T) {
	t.Parallel()
	a, b, c := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret), newEnd(t, scope, 7, secret)
	seen := map[[2]uint64]bool{}
	for range 50 {
		for _, to := range []*end{b, c} {
			h, _ := ParseHeader(a.seal(t, flock.KindBeat, to, "x"), to.rec.ID)
			if seen[[2]uint64{h.KeyID, h.Counter}] {
				t.Fatalf("key %x was used twice with nonce %d", h.KeyID, h.Counter)
			}
			seen[[2]uint64{h.KeyID, h.Counter}] = true
			delete(a.pairs.pairs, b.rec.ID)
		}
	}
}

func TestUnusableExchangeKeysAreRefused(t *testing.T) {
	t.Parallel()
	a := newEnd(t, scope, 5, secret)
	zero := &flock.Record{ID: crux.NodeID{1}, Incarnation: 1}
	if _, err := a.pairs.Seal(body(nil), flock.KindBeat, zero, 0); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a key of low order: %v", err)
	}
	if len(a.pairs.pairs) != 0 {
		t.Error("a pair was kept")
	}
}

func TestAFloodCostsConstantMemory(t *testing.T) {
	t.Parallel()
	b := newEnd(t, scope, 6, secret)
	for i := range 30_000 {
		// Each is a new sender that holds the bloc's key.
		id := crux.NodeID{1, byte(i >> 16), byte(i >> 8), byte(i)}
		s := NewSealer(id, uint64(i), b.ring)
		p, err := s.Seal(body(nil), flock.KindHello, anAddr, crux.NodeID{})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := ParseHeader(p, b.rec.ID)
		b.opener.Open(time.Duration(i)*time.Second, anAddr, &h, p)
	}
	if n := len(b.opener.aeads); n > maxAEADs {
		t.Errorf("%d derived keys are kept", n)
	}
	if len(b.opener.known) != 0 {
		t.Errorf("%d windows for strangers", len(b.opener.known))
	}
	// One source alone is held to its rate.
	over := 0
	s := NewSealer(crux.NodeID{9}, 1, b.ring)
	for range 2000 {
		p, err := s.Seal(body(nil), flock.KindHello, anAddr, crux.NodeID{})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := ParseHeader(p, b.rec.ID)
		if _, v := b.opener.Open(time.Hour*100, anAddr, &h, p); v == seal.OverBudget {
			over++
		}
	}
	if over != 2000-discoveryBurst {
		t.Errorf("%d of 2000 packets at once were over budget", over)
	}
}

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	a, b := newEnd(t, scope, 5, secret), newEnd(t, scope, 6, secret)
	b.knows(a)
	buf := make([]byte, Headroom, flock.MaxPacket)
	now := time.Duration(0)
	for _, kind := range oneEach {
		n := testing.AllocsPerRun(100, func() {
			now += time.Second
			p := buf[:Headroom+100]
			var err error
			if SealingOf(kind) == flock.Pair {
				p, err = a.pairs.Seal(p, kind, b.rec, 0)
			} else {
				p, err = a.sealer.Seal(p, kind, anAddr, b.rec.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			h, _ := ParseHeader(p, b.rec.ID)
			var v seal.Verdict
			if SealingOf(kind) == flock.Pair {
				_, v = b.pairs.Open(now, &h, p, a.rec)
			} else {
				_, v = b.opener.Open(now, anAddr, &h, p)
			}
			if v != seal.Accepted {
				t.Fatalf("verdict %d", v)
			}
		})
		if n > 0 {
			t.Errorf("kind %d: %v allocations to seal and open a packet", kind, n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	a, b := newEnd(f, scope, 5, secret), newEnd(f, scope, 6, secret)
	b.knows(a)
	for _, kind := range oneEach {
		f.Add(a.seal(f, kind, b, "hello"), false)
		f.Add(a.seal(f, kind, b, "hello"), true)
	}
	f.Add([]byte{}, false)
	f.Add(make([]byte, flock.MaxPacket), true)
	now := time.Duration(0)
	f.Fuzz(func(t *testing.T, p []byte, tag bool) {
		now += time.Second
		h, v := ParseHeader(p, b.rec.ID)
		if v != seal.Accepted {
			return
		}
		// With a right header tag more of the way is walked.
		if k := b.ring.lookup(SealingOf(h.Kind), h.KeyID); k != nil && tag {
			p = bytes.Clone(p)
			copy(p[Headroom-8:], new(seal.Scratch).Tag(k, p))
		}
		b.open(now, a, p)
	})
}

func BenchmarkDropForged(bm *testing.B) {
	a, b := newEnd(bm, scope, 5, secret), newEnd(bm, scope, 6, secret)
	p := a.seal(bm, flock.KindHello, b, "hello")
	p[Headroom-8] ^= 1
	bm.ReportAllocs()
	for bm.Loop() {
		h, _ := ParseHeader(p, b.rec.ID)
		if _, v := b.opener.Open(1, anAddr, &h, p); v != seal.BadTag {
			bm.Fatal(v)
		}
	}
}

func BenchmarkSealOpenPair(bm *testing.B) {
	a, b := newEnd(bm, scope, 5, secret), newEnd(bm, scope, 6, secret)
	buf := make([]byte, Headroom, flock.MaxPacket)
	bm.ReportAllocs()
	for bm.Loop() {
		p, err := a.pairs.Seal(buf[:Headroom+62], flock.KindBeat, b.rec, 0)
		if err != nil {
			bm.Fatal(err)
		}
		h, _ := ParseHeader(p, b.rec.ID)
		if _, v := b.pairs.Open(1, &h, p, a.rec); v != seal.Accepted {
			bm.Fatal(v)
		}
	}
}
