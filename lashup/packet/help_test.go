package packet

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

var (
	scope  = seal.Scope{Bloc: "rack7", Name: "main"}
	anAddr = netip.MustParseAddrPort("10.0.0.1:7946")
)

// end is one process.
type end struct {
	card    *route.Card
	private *ecdh.PrivateKey
	*Pairs
}

func newEnd(t testing.TB, scope seal.Scope, id byte, epoch uint64) *end {
	t.Helper()
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &route.Card{
		Node: crux.NodeID{id}, Epoch: epoch, Seq: 1, Inst: "lashup1_0", Addr: anAddr, Link: anAddr,
		Exchange: [32]byte(x.PublicKey().Bytes()),
	}
	return &end{c, x, NewPairs(scope, c, x, 0)}
}

// meet lets all ends know one another.
func meet(all ...*end) {
	for _, a := range all {
		for _, b := range all {
			a.Learn(b.card)
		}
	}
}

func (e *end) word(t testing.TB, to *end, text string) []byte {
	t.Helper()
	p, addr, err := e.Seal(append(make([]byte, Headroom), text...), to.card.Node)
	if err != nil {
		t.Fatal(err)
	}
	if addr != to.card.Addr {
		t.Fatalf("sent to %s", addr)
	}
	return p
}

func (e *end) open(now time.Duration, p []byte) (string, seal.Verdict) {
	p = bytes.Clone(p)
	h, v := ParseHeader(p, e.card.Node)
	if v != seal.Accepted {
		return "", v
	}
	if h.Kind != Word {
		m, v := e.OpenHello(now, anAddr, &h, p)
		if v != seal.Accepted {
			return "", v
		}
		return m.Card.Node.String(), v
	}
	b, v := e.Open(now, &h, p)
	return string(b), v
}

func (e *end) wants(t *testing.T, want seal.Verdict, p []byte) {
	t.Helper()
	b, v := e.open(1, p)
	if v != want {
		t.Errorf("verdict %v, want %v", v, want)
	}
	if v != seal.Accepted && b != "" {
		t.Errorf("a packet of verdict %v gave a body", v)
	}
}

func (e *end) ask(t testing.TB, to *end) []byte {
	t.Helper()
	p, err := e.SealHello(Ask, to.card.Node, Nonce{7})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
