package rpc_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/galumph"
)

func TestPinnedStreamKnowsBothEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	l, err := rpc.ListenPinned(w.node(1, "galumph2_3"), "galumph2_3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		p := c.(*rpc.PinnedConn).Peer()
		_, _ = io.WriteString(c, p.Caller+"@"+p.Node.String())
	}()
	c, err := rpc.DialPinned(soon(t), w.node(0, "client"), l.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	said, err := io.ReadAll(c)
	if err != nil || string(said) != "client@"+w.all[0].ID.String() {
		t.Fatalf("the server saw %q, error %v", said, err)
	}
	if p := c.Peer(); p.Node != w.all[1].ID || p.Caller != "galumph2_3" {
		t.Fatalf("the client saw %+v", p)
	}
}

func TestPinnedStreamIsRefusedAndRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	l, err := rpc.ListenPinned(w.node(1, "galumph2_3"), "galumph2_3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if _, err := rpc.DialPinned(soon(t), w.node(0, "somebody"), l.Endpoint()); crux.KindOf(err) != crux.Denied {
		t.Fatalf("got %v", err)
	}
	c, err := rpc.DialPinned(soon(t), w.node(0, "client"), l.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.policy.Allow("client", "galumph2", false)
	w.rings[1].PolicyChanged()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("the stream outlived the right to it")
	}
}

func TestSilentDiallerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	l, err := rpc.ListenPinned(w.node(1, "galumph2_3"), "galumph2_3")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		idle, err := net.Dial("tcp", string(l.Endpoint().NetID))
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	c, err := rpc.DialPinned(soon(t), w.node(0, "client"), l.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("idle handshakes hold up Close")
	}
	if _, err := l.Accept(); err == nil {
		t.Fatal("it accepts after Close")
	}
}

func TestPinnedAndGRPCDoNotMix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	r := w.start(1, "galumph2_3")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if c, err := rpc.DialPinned(ctx, w.node(0, "client"), r.Endpoint()); err == nil {
		c.Close()
		t.Fatal("a gRPC server took a pinned stream")
	}
	if _, err := w.connect(w.node(0, "client"), "galumph2").Table(soon(t), &pb.TableReq{}); err != nil {
		t.Fatal(err)
	}
}

func TestARetiredPinnedListenerLeavesItsStreamsAndItsSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	n := w.node(1, "galumph2_3")
	raw, err := n.Listen(soon(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := raw.(*net.TCPListener).File() // as another process would have it
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	accept := func(l *rpc.PinnedListener) (net.Conn, *rpc.PinnedConn) {
		t.Helper()
		c, err := rpc.DialPinned(soon(t), w.node(0, "client"), l.Endpoint())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return s, c
	}
	l, err := rpc.ServePinned(n, "galumph2_3", raw)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s, c := accept(l)
	if err := l.Retire(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Fatal("it accepts after Retire")
	}
	say(t, s, c)
	again, err := net.FileListener(second)
	if err != nil {
		t.Fatal(err)
	}
	l2, err := rpc.ServePinned(n, "galumph2_3", again)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l2.Close() })
	if l2.Endpoint() != l.Endpoint() {
		t.Fatalf("it is at %v, was at %v", l2.Endpoint(), l.Endpoint())
	}
	s2, c2 := accept(l2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("a stream outlived its listener")
	}
	say(t, s2, c2)
	c2.Abort()
	if _, err := s2.Read(make([]byte, 1)); err == nil {
		t.Fatal("a stream outlived Abort")
	}
}

// say checks that what one end writes the other reads.
func say(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := io.WriteString(from, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
