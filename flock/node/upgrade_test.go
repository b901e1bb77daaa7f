package node

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/reeve/keys"
)

// portNode is a node whose flock has a node port, as in the product.
type portNode struct {
	*Node
	policy *bloc.Policy
}

// openWithPort opens node i and its node port.
func (w *world) openWithPort(i int, d *bloc.Document) portNode {
	w.t.Helper()
	policy := w.policy(d)
	cfg := w.config(i, policy)
	ready := make(chan struct{})
	var ring *keys.Ring
	cfg.Dial = func(ctx context.Context, id crux.NodeID, addr netip.AddrPort) (*grpc.ClientConn, error) {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return rpc.DialNode(ring.For(keys.NodeCaller, crux.DefaultHorde), cfg.Confab, crux.Member{ID: id, Addr: addr})
	}
	n := w.open(cfg)
	var err error
	if ring, err = keys.New(keys.Config{NodeKey: cfg.Key, Policy: policy, Members: n}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ring.Close() })
	l, err := cfg.Confab.Listen(context.Background(), w.port)
	if err != nil {
		w.t.Fatal(err)
	}
	self := rpc.NodeEndpoint(crux.Member{ID: n.ID(), Addr: cfg.Confab.Addr()})
	port, err := rpc.ServeNodePort(l, ring.For(keys.NodeCaller, crux.DefaultHorde), self, nil, n.Register)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { port.Close() })
	close(ready)
	return portNode{n, policy}
}

func TestKeysWithTheLeaderAreUpgradedOverTheNodePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	d := w.file(1, 1, 2, 3)
	var all []*Node
	for i := range 3 {
		all = append(all, w.openWithPort(i+1, d).Node)
	}
	leader := together(t, all...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, n := range all {
		if n.ID() == leader {
			continue
		}
		for _, side := range [][2]crux.NodeID{{n.ID(), leader}, {leader, n.ID()}} {
			waitUpgraded(ctx, t, all, side[0], side[1])
		}
	}
	// And the flock goes on under the new keys.
	before := all[0].Counts().By[seal.Accepted]
	eventually(t, "packets after the upgrade", func() bool { return all[0].Counts().By[seal.Accepted] >= before+5 })
	for _, n := range all {
		if v := n.View(); v.Leader != leader || !whole(v, 3) {
			t.Errorf("after the upgrade: %+v", v)
		}
	}
}

// waitUpgraded waits until the node at has upgraded keys with peer.
func waitUpgraded(ctx context.Context, t *testing.T, all []*Node, at, peer crux.NodeID) {
	t.Helper()
	for _, n := range all {
		if n.ID() != at {
			continue
		}
		done := false
		for !done {
			err := n.do(ctx, func(c *core) error {
				p := c.machine.Peer(peer)
				done = p != nil && c.pairs.Upgraded(p)
				return nil
			})
			if err != nil {
				t.Fatalf("keys of %s with %s were not upgraded: %v", at, peer, err)
			}
		}
	}
}

func TestANewerBlocFileTravelsThroughTheFlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	old := w.file(1, 1, 2, 3)
	var all []portNode
	var nodes []*Node
	for i := range 3 {
		n := w.openWithPort(i+1, old)
		all, nodes = append(all, n), append(nodes, n.Node)
	}
	together(t, nodes...)
	if ok, err := all[1].policy.Replace(w.file(2, 1, 2, 3, 4)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, n := range all {
		for n.policy.Version() != 2 {
			select {
			case <-n.policy.Changed():
			case <-time.After(patience):
				t.Fatalf("%s has version %d still", n.cfg.Confab.Addr(), n.policy.Version())
			}
		}
	}
	together(t, append(nodes, w.openWithPort(4, w.file(2, 1, 2, 3, 4)).Node)...)
}
