package packet

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

func TestTwoProcessesExchangeCards(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	ask := a.ask(t, b)
	h, v := ParseHeader(ask, b.card.Node)
	if v != seal.Accepted {
		t.Fatal(v)
	}
	m, v := b.OpenHello(1, anAddr, &h, bytes.Clone(ask))
	if v != seal.Accepted || *m.Card != *a.card || m.Nonce != (Nonce{7}) {
		t.Fatalf("%v, %+v", v, m)
	}
	answer, err := b.SealHello(Answer, a.card.Node, m.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) > len(ask) {
		t.Errorf("%d bytes are answered with %d", len(ask), len(answer))
	}
	h, _ = ParseHeader(answer, a.card.Node)
	if m, v = a.OpenHello(1, anAddr, &h, answer); v != seal.Accepted || *m.Card != *b.card {
		t.Fatalf("%v, %+v", v, m)
	}
}

func TestAHelloIsItsSenders(t *testing.T) {
	t.Parallel()
	a, b, c := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6), newEnd(t, scope, 3, 6)
	c.wants(t, seal.NotForUs, a.ask(t, b))
	// In its own packet, with another's card.
	n, err := AppendHello(make([]byte, Headroom), &Hello{Card: c.card})
	if err != nil {
		t.Fatal(err)
	}
	h := Header{Kind: Ask, KeyID: a.hello.ID, Sender: a.card.Node, Incarnation: a.card.Epoch, Receiver: b.card.Node}
	b.wants(t, seal.BadRecord, seal.Seal(new(seal.Scratch), n, &h, a.hello, a.helloOwn))
}

func TestHellosAreHeldToARate(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, scope, 1, 5), newEnd(t, scope, 2, 6)
	over := 0
	for range int(helloBurst) + 20 {
		if _, v := b.open(time.Hour, a.ask(t, b)); v == seal.OverBudget {
			over++
		}
	}
	if over != 20 {
		t.Errorf("%d of a source were over budget, want 20", over)
	}
}

func TestTheLongestCardFitsAHello(t *testing.T) {
	t.Parallel()
	six := netip.MustParseAddrPort("[fd00::1]:65535")
	c := &route.Card{Node: crux.NodeID{1}, Epoch: 1<<64 - 1, Seq: 1<<32 - 1, Inst: crux.Inst(strings.Repeat("a", 128)), Addr: six, Link: six}
	b, err := AppendHello(nil, &Hello{Card: c})
	if err != nil || len(b) != HelloSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if got, err := DecodeHello(b); err != nil || *got.Card != *c {
		t.Fatalf("%+v, %v", got, err)
	}
	c.Inst = crux.Inst(strings.Repeat("a", 200))
	if _, err := AppendHello(nil, &Hello{Card: c}); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a card that is too long: %v", err)
	}
}

func TestOnlyExactHellosAreRead(t *testing.T) {
	t.Parallel()
	good, err := AppendHello(nil, &Hello{Card: newEnd(t, scope, 1, 5).card})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"short":   func(b []byte) []byte { return b[:len(b)-1] },
		"long":    func(b []byte) []byte { return append(b, 0) },
		"padding": func(b []byte) []byte { b[len(b)-1] = 1; return b },
		"length":  func(b []byte) []byte { b[16] = 2; return b },
		"no card": func(b []byte) []byte { b[16], b[17] = 0, 0; return b },
	} {
		if _, err := DecodeHello(change(bytes.Clone(good))); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeHello(f *testing.F) {
	good, err := AppendHello(nil, &Hello{Nonce{1}, newEnd(f, scope, 1, 5).card})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeHello(b)
		if err != nil {
			return
		}
		if again, err := AppendHello(nil, h); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x (%v)", b, again, err)
		}
	})
}
