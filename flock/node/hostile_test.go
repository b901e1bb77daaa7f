package node

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
	"fulcrum.example/flock/packet"
)

// tap hears what a node sends and is sent, and can send anything to it.
type tap struct {
	t    *testing.T
	sock crux.Datagrams
	in   []crux.Datagram
}

func newTap(t *testing.T, w *world, i int) *tap {
	t.Helper()
	c, err := udp.New(udp.Config{Addr: w.addr(i)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.ListenPacket(context.Background(), w.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &tap{t: t, sock: s, in: []crux.Datagram{{Data: make([]byte, 0, flock.MaxPacket)}}}
}

func (p *tap) send(to netip.AddrPort, b []byte) {
	p.t.Helper()
	if err := p.sock.WriteTo(b, to); err != nil {
		p.t.Fatal(err)
	}
}

// next waits for a packet.
func (p *tap) next() []byte {
	p.t.Helper()
	if _, err := p.sock.ReadBatch(p.in); err != nil {
		p.t.Fatalf("waiting for a packet: %v", err)
	}
	return append([]byte(nil), p.in[0].Data...)
}

// hear waits for a packet of a kind.
func (p *tap) hear(kind flock.Kind) []byte {
	p.t.Helper()
	stop := time.AfterFunc(patience, func() { p.sock.Close() })
	defer stop.Stop()
	for {
		if b := p.next(); flock.Kind(b[1]) == kind {
			return b
		}
	}
}

// counted waits until a node has counted so many of a verdict.
func counted(t *testing.T, n *Node, name string, want uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d packets counted as %s (%v)", want, name, n.Dropped()), func() bool { return n.Dropped()[name] >= want })
}

func TestBadPacketsAreDroppedCountedAndNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	n := w.start(1)[0]
	to := n.cfg.Confab.Addr()
	p := newTap(t, w, 7)

	hello := p.hear(flock.KindHello)
	p.send(to, hello) // reflected
	counted(t, n, "own", 1)
	until(t, n, "a hint about a twin", func(v *crux.View) bool {
		return len(v.Hints) == 1 && !v.Hints[0].Authenticated && strings.Contains(v.Hints[0].Text, "own name")
	})
	p.send(to, []byte("x"))
	p.send(to, nil)
	p.send(to, hello[:len(hello)-1])
	counted(t, n, "bad_length", 3)
	p.send(to, make([]byte, 800))
	counted(t, n, "bad_version", 1)
	p.send(to, make([]byte, flock.MaxPacket+1))
	counted(t, n, "oversized", 1)

	s := newSender(t, w, 2)
	if v := len(n.View().Hints); v != 1 {
		t.Errorf("%d hints after garbage", v)
	}
	good := s.seal(t, n.ID(), &flock.Hello{})
	p.send(to, good)
	p.send(to, good)
	counted(t, n, "replayed", 1)
	for at, name := range map[int]string{1: "bad_kind", 5: "unknown_key", 13: "bad_tag", 37: "not_for_us", 45: "bad_tag", 60: "bad_seal"} {
		before := n.Dropped()[name]
		b := s.seal(t, n.ID(), &flock.Hello{})
		b[at] ^= 0x80
		p.send(to, b)
		counted(t, n, name, before+1)
	}
	// Authentic, but no message; and one with another's record.
	b, err := s.sealer.Seal(append(make([]byte, packet.Headroom), 1, 2, 3), flock.KindHello, to, n.ID())
	if err != nil {
		t.Fatal(err)
	}
	p.send(to, b)
	counted(t, n, "bad_body", 1)
	forged := *s.rec
	forged.Seq = 99
	p.send(to, s.seal(t, n.ID(), &flock.Join{Record: &forged}))
	other := newSender(t, w, 1)
	p.send(to, s.seal(t, n.ID(), &flock.Join{Record: other.rec}))
	counted(t, n, "bad_record", 2)
	if len(n.View().Members) != 1 {
		t.Errorf("members: %+v", n.View().Members)
	}
}

// sender is a node of the bloc that is not run by a Node.
type sender struct {
	key    ed25519.PrivateKey
	rec    *flock.Record
	sealer *packet.Sealer
}

func newSender(t *testing.T, w *world, i int) *sender {
	t.Helper()
	return newSenderOf(t, w, w.keys[i-1], w.addr(i))
}

func newSenderOf(t testing.TB, w *world, key ed25519.PrivateKey, at netip.AddrPort) *sender {
	t.Helper()
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scope := seal.Scope{Bloc: "rack7", Name: "main"}
	r := &flock.Record{
		ID: crux.NodeIDOf(pub(key)), Key: [32]byte(pub(key)), Addr: at, Incarnation: 1, Seq: 1,
		Exchange: [32]byte(x.PublicKey().Bytes()),
	}
	r.Signature = [64]byte(ed25519.Sign(key, crux.Labelled(crux.LabelRecord, r.SignedBytes("rack7", "main"))))
	return &sender{key: key, rec: r, sealer: packet.NewSealer(r.ID, 1, packet.NewRing(scope, []bloc.Secondary{w.secret}))}
}

func (s *sender) seal(t testing.TB, to crux.NodeID, m flock.Message) []byte {
	t.Helper()
	b, err := s.sealer.Seal(packet.AppendBody(make([]byte, packet.Headroom, flock.MaxPacket), m), m.Kind(), netip.AddrPort{}, to)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnAnswerIsNeverLongerThanItsQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	n := w.start(1)[0]
	p := newTap(t, w, 2)
	s := newSender(t, w, 2)
	ask := s.seal(t, n.ID(), &flock.Join{Record: s.rec, Want: n.View().Flock, Nonce: 5, Own: flock.Summary{Bloc: fileOf(n.cfg.Policy)}})
	p.send(n.cfg.Confab.Addr(), ask)
	if answer := p.hear(flock.KindOffer); len(answer) > len(ask) {
		t.Errorf("a Join of %d bytes got an Offer of %d", len(ask), len(answer))
	}
	// What a payload names gets nothing: the answer came to where the packet
	// came from, though the record may say otherwise.
	elsewhere := newSenderOf(t, w, w.keys[2], w.addr(9))
	quiet := newTap(t, w, 9)
	p.send(n.cfg.Confab.Addr(), elsewhere.seal(t, n.ID(), &flock.Join{Record: elsewhere.rec, Want: n.View().Flock, Nonce: 6, Own: flock.Summary{Bloc: fileOf(n.cfg.Policy)}}))
	p.hear(flock.KindOffer)
	// Probes go to all candidates; nothing else came before one.
	if first := quiet.next(); flock.Kind(first[1]) != flock.KindHello {
		t.Errorf("an address from a payload was sent kind %d", first[1])
	}
}

func TestAFloodFromStrangersCostsConstantMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	n := w.start(1)[0]
	to := n.cfg.Confab.Addr()
	p := newTap(t, w, 7)
	flood := func(rounds int) {
		for i := range rounds {
			// With another key, with a right length and version but nothing
			// behind, and as Pair packets of nobody.
			b := make([]byte, 200)
			copy(b, []byte{seal.Version, byte(flock.KindHello), 0, 200})
			if i%2 == 1 {
				b[1] = byte(flock.KindBeat)
				id := n.ID()
				copy(b[36:], id[:])
			}
			if _, err := rand.Read(b[4:36]); err != nil {
				t.Fatal(err)
			}
			p.send(to, b)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	flood(2000)
	counted(t, n, "unknown_key", 1)
	before := heap()
	flood(60_000)
	counted(t, n, "no_peer", 1)
	if after := heap(); after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, after>>10)
	}
	v := until(t, n, "a hint", func(v *crux.View) bool { return len(v.Hints) > 0 })
	if len(v.Hints) != 1 || v.Hints[0].Authenticated {
		t.Errorf("hints: %+v", v.Hints)
	}
}
