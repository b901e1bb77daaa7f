package node

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/flock"
	"fulcrum.example/flock/packet"
	flockpb "fulcrum.example/protos/flock"
)

const (
	callTimeout  = 10 * time.Second
	upgradeRetry = 5 * time.Second
	shareSize    = 32
)

// upgrader is the core's part of making the keys with the leader safe from who
// records packets today and has a quantum computer tomorrow: once a member, a
// node calls its leader over a stream with a hybrid key exchange, and both mix
// what they agreed on there into the keys of their datagrams.
type upgrader struct {
	busy bool          // a call is under way
	next time.Duration // not before
}

// wantUpgrade begins an upgrade with the leader, if there is need and it is
// time. It is called after changes of the view and from time to time.
func (c *core) wantUpgrade() {
	u := &c.upgrade
	leader := c.machine.View().Leader
	if c.n.cfg.Dial == nil || u.busy || c.done || leader.IsZero() || leader == c.n.id || c.n.now() < u.next {
		return
	}
	peer := c.machine.Peer(leader)
	if peer == nil || c.pairs.Upgraded(peer) {
		return
	}
	own := c.machine.Record().Exchange
	u.busy = c.n.spawn(func() {
		secret, err := c.n.callUpgrade(peer, own)
		finish := func(c *core) {
			u.busy, u.next = false, c.n.now()+upgradeRetry
			if err == nil {
				err = c.finishUpgrade(peer, secret)
			}
			if err != nil {
				c.n.log.Debug("keys with the leader not upgraded yet", "leader", leader, "err", err)
			}
		}
		select {
		case c.n.calls <- finish:
		case <-c.n.left:
		}
	})
}

func (c *core) finishUpgrade(peer *flock.Record, secret [32]byte) error {
	now := c.machine.Peer(peer.ID)
	if now == nil || now.Incarnation != peer.Incarnation || now.Exchange != peer.Exchange {
		return crux.Errorf("upgrade keys", crux.Conflict, "node %s was restarted meanwhile", peer.ID)
	}
	return c.pairs.Upgrade(now, secret, true)
}

// callUpgrade asks a node for its part of the secret.
func (n *Node) callUpgrade(peer *flock.Record, exchange [32]byte) (secret [32]byte, err error) {
	ctx, cancel := n.callContext()
	defer cancel()
	share := make([]byte, shareSize)
	entropy(share)
	var reply *flockpb.UpgradeReply
	err = n.call(ctx, peer.ID, peer.Addr, func(c flockpb.FlockClient) (err error) {
		reply, err = c.Upgrade(ctx, &flockpb.UpgradeRequest{Incarnation: n.cfg.Incarnation, Exchange: exchange[:], Share: share})
		return err
	})
	switch {
	case err != nil:
		return secret, err
	case reply.GetIncarnation() != peer.Incarnation || subtle.ConstantTimeCompare(reply.GetExchange(), peer.Exchange[:]) != 1:
		return secret, crux.Errorf("upgrade keys", crux.Conflict, "another run of node %s answered", peer.ID)
	case len(reply.GetShare()) != shareSize:
		return secret, crux.Errorf("upgrade keys", crux.Invalid, "node %s sent a share of %d bytes", peer.ID, len(reply.GetShare()))
	}
	return packet.UpgradeSecret(share, reply.GetShare()), nil
}

// answerUpgrade is the callee's side, in the goroutine of the machine.
func (c *core) answerUpgrade(caller crux.NodeID, q *flockpb.UpgradeRequest) (*flockpb.UpgradeReply, error) {
	const op = "upgrade keys"
	peer := c.machine.Peer(caller)
	switch {
	case peer == nil:
		return nil, crux.Errorf(op, crux.Unavailable, "node %s is not known here yet", caller)
	case q.GetIncarnation() != peer.Incarnation || subtle.ConstantTimeCompare(q.GetExchange(), peer.Exchange[:]) != 1:
		return nil, crux.Errorf(op, crux.Conflict, "another run of node %s is known here", caller)
	case len(q.GetShare()) != shareSize:
		return nil, crux.Errorf(op, crux.Invalid, "a share of %d bytes; want %d", len(q.GetShare()), shareSize)
	}
	share := make([]byte, shareSize)
	entropy(share)
	if err := c.pairs.Upgrade(peer, packet.UpgradeSecret(q.GetShare(), share), false); err != nil {
		return nil, err
	}
	self := c.machine.Record()
	return &flockpb.UpgradeReply{Incarnation: self.Incarnation, Exchange: self.Exchange[:], Share: share}, nil
}

// callContext is for calls to other nodes: it ends when the node is closed.
func (n *Node) callContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	if !n.spawn(func() {
		select {
		case <-n.leave:
			cancel()
		case <-ctx.Done():
		}
	}) {
		cancel()
	}
	return ctx, cancel
}

// call dials a node and makes one call.
func (n *Node) call(ctx context.Context, id crux.NodeID, addr netip.AddrPort, f func(flockpb.FlockClient) error) error {
	conn, err := n.cfg.Dial(ctx, id, addr)
	if err != nil {
		return err
	}
	err = f(flockpb.NewFlockClient(conn))
	if cerr := conn.Close(); err == nil {
		err = cerr
	}
	return wire.FromStatus(err)
}
