package node

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/netip"
	"testing"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

// rogue is an enrolled node whose process does what the test says.
type rogue struct {
	*host
	session ed25519.PrivateKey
	pairs   *packet.Pairs
	udp     crux.Datagrams
}

// corrupt makes a rogue of a host that does not run.
func corrupt(h *host) *rogue {
	h.w.t.Helper()
	_, session, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		h.w.t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		h.w.t.Fatal(err)
	}
	r := &rogue{host: h, session: session}
	if r.udp, err = h.net.ListenPacket(soon(h.w.t), 0); err != nil {
		h.w.t.Fatal(err)
	}
	h.w.t.Cleanup(func() { r.udp.Close() })
	c := &route.Card{
		Node: h.member.ID, Epoch: 1, Seq: 1, Inst: inst, Addr: r.udp.LocalAddr(), Link: r.udp.LocalAddr(),
		Session: [32]byte(session.Public().(ed25519.PublicKey)), Exchange: [32]byte(x.PublicKey().Bytes()),
	}
	h.sign(c)
	r.pairs = packet.NewPairs(seal.Scope{Bloc: "test"}, c, x, 0)
	return r
}

// sign signs a card with the host's node key, whoever the card is of.
func (h *host) sign(c *route.Card) {
	c.Sig = [64]byte(ed25519.Sign(h.key, crux.Labelled(route.CardLabel, c.SignedBytes())))
}

// dial makes a stream to another host's process and shows a card.
func (r *rogue) dial(to *host, show *route.Card) *rpc.PinnedConn {
	t := r.w.t
	t.Helper()
	c := to.Card(to.member.ID)
	conn, err := rpc.DialPinned(soon(t), r.net, crux.Endpoint{Node: c.Node, Horde: crux.DefaultHorde, Inst: c.Inst, NetID: crux.NetIDOf(c.Link)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Abort)
	r.say(conn, show)
	r.say(conn, welcome{})
	return conn
}

// say writes a message as a frame; the other side may have closed the stream.
func (r *rogue) say(conn net.Conn, m packet.Message) {
	b, err := packet.AppendFrame(nil, m)
	if err != nil {
		r.w.t.Fatal(err)
	}
	_, _ = conn.Write(b)
}

// hears reads the other side's card, and that it takes this one's.
func (r *rogue) hears(t *testing.T, conn net.Conn) *route.Card {
	t.Helper()
	b, err := packet.ReadFrame(conn, maxCard)
	if err != nil {
		t.Fatal(err)
	}
	c, err := route.DecodeCard(b)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := packet.ReadFrame(conn, maxCard); err != nil || len(b) != 1 || b[0] != 1 {
		t.Fatalf("it says %x, %v", b, err)
	}
	return c
}

// ended waits until the other side closes the stream.
func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	for {
		if _, err := packet.ReadFrame(conn, packet.MaxFrame); err != nil {
			return
		}
	}
}

// send sends a datagram.
func (r *rogue) send(to netip.AddrPort, p []byte) {
	r.w.t.Helper()
	if err := r.udp.WriteTo(p, to); err != nil {
		r.w.t.Fatal(err)
	}
}

// dropped is how many datagrams a host has dropped for a reason.
func (h *host) dropped(why seal.Verdict) uint64 {
	s := h.counters.Snapshot()
	return s.By[why]
}

// awayKeys are those of a node whose fulcrum is away for a while.
type awayKeys struct {
	crux.Keys
	fails int
}

func (k *awayKeys) Sign(ctx context.Context, label string, msg []byte) ([]byte, error) {
	if k.fails > 0 {
		k.fails--
		return nil, crux.Errorf("sign", crux.Unavailable, "the node is away")
	}
	return k.Keys.Sign(ctx, label, msg)
}
