package rpc_test

import (
	"net"
	"net/netip"
	"testing"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
	pb "fulcrum.example/protos/galumph"
	"fulcrum.example/reeve/keys"
)

// nodePort serves node 1's node port and gives its member.
func nodePort(t *testing.T, w *world) crux.Member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := w.all[1]
	m.Addr = netip.MustParseAddrPort(l.Addr().String())
	p, err := rpc.ServeNodePort(l, w.rings[1].For(keys.NodeCaller, crux.DefaultHorde), rpc.NodeEndpoint(m), nil,
		func(s grpc.ServiceRegistrar) { pb.RegisterGalumphServer(s, &galumph{inst: "node"}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestNodesReachTheNodePortAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	m := nodePort(t, w)
	table := func(r *keys.Ring, caller string, m crux.Member) error {
		cc, err := rpc.DialNode(r.For(caller, crux.DefaultHorde), w.node(0, "x"), m)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		_, err = pb.NewGalumphClient(cc).Table(soon(t), &pb.TableReq{})
		return err
	}
	if err := table(w.rings[0], keys.NodeCaller, m); err != nil {
		t.Fatal(err)
	}
	if err := table(w.rings[0], "client", m); err == nil {
		t.Fatal("a service reached the node port")
	}
	if err := table(w.ring(rpctest.NodeKey(55), w.policy), keys.NodeCaller, m); err == nil {
		t.Fatal("a node that is not enrolled reached the node port")
	}
	other := m
	other.ID, other.Key = w.all[0].ID, w.all[0].Key
	if err := table(w.rings[0], keys.NodeCaller, other); err == nil {
		t.Fatal("a node passed for another")
	}
}

func TestNodePortConnectionFollowsARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := w.all[1]
	m.Addr = netip.MustParseAddrPort(l.Addr().String())
	serve := func(l net.Listener) *rpc.NodePort {
		p, err := rpc.ServeNodePort(l, w.rings[1].For(keys.NodeCaller, crux.DefaultHorde), rpc.NodeEndpoint(m), nil,
			func(s grpc.ServiceRegistrar) { pb.RegisterGalumphServer(s, &galumph{}) })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := serve(l)
	cc, err := rpc.DialNode(w.rings[0].For(keys.NodeCaller, crux.DefaultHorde), w.node(0, "x"), m)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	c := pb.NewGalumphClient(cc)
	if _, err := c.Table(soon(t), &pb.TableReq{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Table(soon(t), &pb.TableReq{}); crux.KindOf(err) != crux.Unavailable {
		t.Fatalf("while the node is away: %v", err)
	}
	l, err = net.Listen("tcp", m.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	p = serve(l)
	defer p.Close()
	if _, err := c.Table(soon(t), &pb.TableReq{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}
