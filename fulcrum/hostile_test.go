package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/fulcrum/local"
)

// TestHostilePackets: what is not a packet of the flock, or was one already, is
// dropped and counted, and the nodes go on.
func TestHostilePackets(t *testing.T) {
	ctx := whole(t)
	b := makeBloc(t, local.Options{Nodes: 2})
	n := b.Nodes[0]
	// The attacker is a neighbour of the nodes: they say hello to it first, so
	// that it has real packets to play with.
	attacker := listen(t, netip.AddrPortFrom(hostOf(netip.PrefixFrom(n.Addr.Addr(), 24).Masked(), 3), n.Addr.Port()))
	startAll(t, b)
	before := ready(ctx, t, b)
	hello := overhear(ctx, t, attacker, b.Nodes[1].Addr)
	rnd := rand.New(rand.NewPCG(1, 2))
	garbage := func(size int) []byte {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		return p
	}
	flipped := bytes.Clone(hello)
	flipped[len(flipped)-1] ^= 1
	for _, x := range []struct {
		name    string
		packets [][]byte
	}{
		{"garbage", [][]byte{garbage(100), garbage(600), garbage(1200), garbage(200)}},
		{"tiny", [][]byte{{}, {0}, garbage(10), garbage(20)}},
		{"oversized", [][]byte{garbage(2000), garbage(9000), garbage(60000), garbage(2000)}},
		{"truncated", [][]byte{hello[:len(hello)/2], hello[:40], hello[:len(hello)-1], hello[:20]}},
		{"grown", [][]byte{append(bytes.Clone(hello), 0), append(bytes.Clone(hello), garbage(500)...), append(bytes.Clone(hello), garbage(40)...)}},
		{"forged", [][]byte{flipped, flipped, flipped}},
		{"replayed", [][]byte{hello, hello, hello, hello}},
	} {
		start := dropped(ctx, t, n.Dir)
		for _, p := range x.packets {
			if _, err := attacker.WriteToUDPAddrPort(p, n.Addr); err != nil {
				t.Fatal(err)
			}
		}
		// Of the replayed ones, the first may be the first that this node sees.
		want := uint64(len(x.packets) - 1)
		eventually(ctx, t, func(ctx context.Context) string {
			if now := dropped(ctx, t, n.Dir); now < start+want {
				return fmt.Sprintf("%s: the node to count %d dropped packets, it counts %d", x.name, want, now-start)
			}
			return ""
		})
	}
	if after := ready(ctx, t, b); after.Flock != before.Flock || after.Leader != before.Leader || after.Members != 2 {
		t.Errorf("the flock was disturbed: %+v, before %+v", after, before)
	}
	commands(t, n).ok("status", "-o", "json")
}

// overhear waits for a packet from an address.
func overhear(ctx context.Context, t *testing.T, c *net.UDPConn, from netip.AddrPort) (packet []byte) {
	t.Helper()
	buf := make([]byte, 2048)
	eventually(ctx, t, func(context.Context) string {
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, at, err := c.ReadFromUDPAddrPort(buf)
		if err != nil || at != from {
			return fmt.Sprintf("a packet from %v (one from %v: %v)", from, at, err)
		}
		packet = bytes.Clone(buf[:n])
		return ""
	})
	return packet
}

// dropped is how many packets a node has dropped.
func dropped(ctx context.Context, t *testing.T, at string) (sum uint64) {
	t.Helper()
	s, err := status(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Dropped {
		sum += n
	}
	return sum
}

func listen(t *testing.T, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
