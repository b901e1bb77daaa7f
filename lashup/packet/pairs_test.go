package packet

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

func TestWhatOneSealsTheOtherOpensOnce(t *testing.T) {
	t.Parallel()
	a, b, c := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6), newEnd(t, scope, 3, 7)
	meet(a, b, c)
	p := a.word(t, b, "hello")
	if got, v := b.open(1, p); v != seal.Accepted || got != "hello" {
		t.Fatalf("%q, %v", got, v)
	}
	b.wants(t, seal.Replayed, p)
	late := a.word(t, b, "late")
	b.wants(t, seal.Accepted, a.word(t, b, "early"))
	b.wants(t, seal.Accepted, late)
	b.wants(t, seal.Replayed, late)
	a.wants(t, seal.Own, p) // reflected
	c.wants(t, seal.NotForUs, p)
	copy(p[36:], c.card.Node[:]) // readdressed
	c.wants(t, seal.UnknownKey, p)
}

func TestAPingIsSmall(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	p := a.word(t, b, string((&detect.Ping{Seq: 1}).Append(nil)))
	if n := len(p) + 28; n > 112 {
		t.Errorf("a ping takes %d bytes with the headers of UDP and IPv4", n)
	}
}

func TestEveryBitOfADatagramIsAuthenticated(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	for name, p := range map[string][]byte{"word": a.word(t, b, "hello"), "ask": a.ask(t, b)} {
		for i := range len(p) * 8 {
			q := bytes.Clone(p)
			q[i/8] ^= 1 << (i % 8)
			if _, v := b.open(time.Duration(i)*time.Second, q); v == seal.Accepted {
				t.Errorf("%s: bit %d was changed and nobody noticed", name, i)
			}
		}
		for n := range p {
			if _, v := b.open(1, p[:n]); v != seal.BadLength {
				t.Errorf("%s: %d of %d bytes: %v", name, n, len(p), v)
			}
		}
		b.wants(t, seal.Accepted, p)
	}
}

func TestOnlyTheNewestEpochCounts(t *testing.T) {
	t.Parallel()
	old, a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 1, 6), newEnd(t, scope, 2, 1)
	meet(old, b)
	meet(a, b)
	b.wants(t, seal.OldRun, old.word(t, b, "x"))
	b.wants(t, seal.Accepted, a.word(t, b, "x"))
	if b.Learn(old.card) {
		t.Error("an older card was learnt")
	}
	b.Forget(a.card.Node)
	b.wants(t, seal.NoPeer, a.word(t, b, "x"))
	meet(old, b)
	b.wants(t, seal.NoPeer, a.word(t, b, "x"))
}

func TestACardWithANewAddressKeepsTheKeys(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	p := a.word(t, b, "x")
	b.wants(t, seal.Accepted, p)
	moved := *a.card
	moved.Seq++
	if !b.Learn(&moved) || b.Card(a.card.Node) != &moved {
		t.Fatal("the newer card was not learnt")
	}
	b.wants(t, seal.Replayed, p)
	b.wants(t, seal.Accepted, a.word(t, b, "x"))
}

func TestOtherBlocsNamesAndKeysOpenNothing(t *testing.T) {
	t.Parallel()
	a := newEnd(t, scope, 1, 5)
	for name, b := range map[string]*end{
		"bloc": newEnd(t, seal.Scope{Bloc: "rack8", Name: "main"}, 2, 6),
		"name": newEnd(t, seal.Scope{Bloc: "rack7", Name: "mai"}, 2, 6),
	} {
		meet(a, b)
		t.Run(name, func(t *testing.T) {
			b.wants(t, seal.UnknownKey, a.word(t, b, "x"))
			b.wants(t, seal.UnknownKey, a.ask(t, b))
		})
		a.Forget(b.card.Node)
	}
	// Somebody who poses as a, with another exchange key.
	forger, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	forger.Learn(b.card)
	b.wants(t, seal.UnknownKey, forger.word(t, b, "x"))
}

func TestAForgedPacketDoesNotMoveTheWindow(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	b.wants(t, seal.Accepted, a.word(t, b, "first"))
	p := a.word(t, b, "hello")
	forged := bytes.Clone(p)
	forged[28] = 0x7f // the counter, far ahead, with a right tag
	copy(forged[Headroom-8:], new(seal.Scratch).Tag(b.peers[a.card.Node].keys.in, forged))
	b.wants(t, seal.BadSeal, forged)
	b.wants(t, seal.Accepted, p)
}

func TestUnusableExchangeKeysAreRefused(t *testing.T) {
	t.Parallel()
	a := newEnd(t, scope, 1, 5)
	a.Learn(&route.Card{Node: crux.NodeID{2}, Epoch: 1})
	if _, _, err := a.Seal(make([]byte, Headroom), crux.NodeID{2}); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a key of low order: %v", err)
	}
	if _, _, err := a.Seal(make([]byte, Headroom), crux.NodeID{3}); crux.KindOf(err) != crux.NotFound {
		t.Errorf("to nobody: %v", err)
	}
	if _, _, err := a.Seal(make([]byte, Headroom+MaxWord+1), crux.NodeID{2}); crux.KindOf(err) != crux.Invalid {
		t.Errorf("too much: %v", err)
	}
}

func TestAProcessThatTakesOverNeverUsesANonceTwice(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	seen := map[uint64]bool{}
	sent := func(p []byte) {
		t.Helper()
		h, _ := ParseHeader(p, b.card.Node)
		if seen[h.Counter] {
			t.Fatalf("nonce %d was used twice", h.Counter)
		}
		seen[h.Counter] = true
		b.wants(t, seal.Accepted, p)
	}
	back := b.word(t, a, "before")
	a.wants(t, seal.Accepted, back)
	sent(a.word(t, b, "1"))
	counter, windows := a.Freeze()
	next := &end{a.card, a.private, NewPairs(scope, a.card, a.private, counter)}
	if err := next.Resume(windows); err != nil {
		t.Fatal(err)
	}
	next.wants(t, seal.Replayed, back)
	next.wants(t, seal.Accepted, b.word(t, a, "after"))
	for range 10 {
		sent(a.word(t, b, "an answer to a ping"))
		sent(next.word(t, b, "2"))
	}
	a.Thaw()
	for range 10 {
		sent(a.word(t, b, "3"))
	}
	a.Freeze()
	a.counter = a.limit
	if _, _, err := a.Seal(make([]byte, Headroom), b.card.Node); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("beyond the gap: %v", err)
	}
	if err := next.Resume([]Seen{{Card: []byte{1}}}); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("garbage: %v", err)
	}
}

func TestAFloodCostsConstantMemory(t *testing.T) {
	t.Parallel()
	b := newEnd(t, scope, 255, 6)
	// A flock of more nodes than keys are kept of, each of them posed as.
	var all []*route.Card
	one := newEnd(t, scope, 1, 5)
	for i := range maxKeyed + 500 {
		c := *one.card
		c.Node = crux.NodeID{1, byte(i >> 8), byte(i)}
		all = append(all, &c)
		b.Learn(&c)
	}
	good := newEnd(t, scope, 2, 5)
	meet(good, b)
	b.wants(t, seal.Accepted, good.word(t, b, "x"))
	for i, c := range slices.Concat(all, all[:100]) {
		p := seal.Seal(new(seal.Scratch), make([]byte, Headroom+20), &Header{
			Kind: Word, Sender: c.Node, Incarnation: c.Epoch, Receiver: b.card.Node,
		}, b.hello, b.helloOwn)
		if _, v := b.open(time.Duration(i)*time.Second, p); v != seal.UnknownKey {
			t.Fatal(v)
		}
	}
	if b.keyed > maxKeyed {
		t.Errorf("keys of %d peers are kept", b.keyed)
	}
	if b.peers[good.card.Node].keys == nil {
		t.Error("those who pose as others had the keys of a real peer dropped")
	}
	for id, p := range b.peers {
		if p.window != nil && id != good.card.Node {
			t.Fatal("a window for one of whom nothing was opened")
		}
	}
	// At one time, only so many are derived.
	b = newEnd(t, scope, 255, 6)
	over := 0
	for i, c := range all[:deriveBurst+100] {
		b.Learn(c)
		p := seal.Seal(new(seal.Scratch), make([]byte, Headroom+20), &Header{
			Kind: Word, Sender: c.Node, Incarnation: c.Epoch, Counter: uint64(i), Receiver: b.card.Node,
		}, b.hello, b.helloOwn)
		if _, v := b.open(0, p); v == seal.OverBudget {
			over++
		}
	}
	if over != 100 {
		t.Errorf("%d were over budget, want 100", over)
	}
}

func TestOnePeerIsHeldToItsRate(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	over := 0
	for range int(wordBurst) + 50 {
		if _, v := b.open(time.Hour, a.word(t, b, "x")); v == seal.OverBudget {
			over++
		}
	}
	if over != 50 {
		t.Errorf("%d words were over budget, want 50", over)
	}
}

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	meet(a, b)
	buf := make([]byte, Headroom, MaxPacket)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(100, func() {
		now += time.Second
		p, _, err := a.Seal(buf[:Headroom+9], b.card.Node)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := ParseHeader(p, b.card.Node)
		if _, v := b.Open(now, &h, p); v != seal.Accepted {
			t.Fatal(v)
		}
	}); n > 0 {
		t.Errorf("%v allocations to seal and open a packet", n)
	}
}

func FuzzOpen(f *testing.F) {
	a, b := newEnd(f, scope, 1, 5), newEnd(f, scope, 2, 6)
	meet(a, b)
	f.Add(a.word(f, b, "hello"), false)
	f.Add(a.word(f, b, "hello"), true)
	f.Add(a.ask(f, b), true)
	f.Add(make([]byte, MaxPacket), false)
	b.word(f, a, "now the keys are there")
	now := time.Duration(0)
	f.Fuzz(func(t *testing.T, p []byte, tag bool) {
		now += time.Second
		h, v := ParseHeader(p, b.card.Node)
		if v != seal.Accepted {
			return
		}
		p = bytes.Clone(p)
		if tag { // with a right header tag more of the way is walked
			k := b.hello
			if h.Kind == Word {
				k = b.peers[a.card.Node].keys.in
			}
			copy(p[Headroom-8:], new(seal.Scratch).Tag(k, p))
		}
		b.open(now, p)
	})
}

func BenchmarkSealOpen(bm *testing.B) {
	a, b := newEnd(bm, scope, 1, 5), newEnd(bm, scope, 2, 6)
	meet(a, b)
	buf := make([]byte, Headroom, MaxPacket)
	now := time.Duration(0)
	bm.ReportAllocs()
	for bm.Loop() {
		now += time.Millisecond
		p, _, err := a.Seal(buf[:Headroom+9], b.card.Node)
		if err != nil {
			bm.Fatal(err)
		}
		h, _ := ParseHeader(p, b.card.Node)
		if _, v := b.Open(now, &h, p); v != seal.Accepted {
			bm.Fatal(v)
		}
	}
}
