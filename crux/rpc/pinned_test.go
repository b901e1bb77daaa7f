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
