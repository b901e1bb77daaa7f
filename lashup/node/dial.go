package node

import (
	"context"
	"net"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

const (
	// dialMost bounds a dial in all; the machine is told by then.
	dialMost = 2 * time.Second
	// dialCard bounds a dial to where the known card says, while there is a row
	// of the registry to try, too.
	dialCard = time.Second
	// prefaceMost bounds the exchange of cards on a new stream.
	prefaceMost = 2 * time.Second
	// maxCard bounds the first frame.
	maxCard = 1 << 10
	// maxWelcomes bounds the streams that have not shown a card yet.
	maxWelcomes = 32
)

// connect makes a link to a node: by its card, or by the one that it shows at the
// address of its row in the registry.
func (n *Node) connect(ctx context.Context, id crux.NodeID) (*link, error) {
	p := n.people.Load()
	known, rows := n.pairs.Card(id), p.rows[id]
	var failed error
	switch {
	case p.keys[id] == nil:
		return nil, crux.Errorf("dial", crux.NotFound, "node %s is no member", id)
	case known == nil && len(rows) == 0:
		return nil, crux.Errorf("dial", crux.NotFound, "it is not known where node %s is", id)
	case known != nil:
		bounded, cancel := context.WithTimeout(ctx, dialCard)
		defer cancel()
		l, err := n.dialCard(bounded, known)
		if err == nil || len(rows) == 0 {
			return l, err
		}
		failed = err
	}
	for _, at := range rows {
		c, err := n.greet(ctx, id, at)
		switch {
		case err != nil:
			failed = err
		case known != nil && *c == *known:
			return nil, failed // it is there, and does not take the link
		default:
			return n.dialCard(ctx, c)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// dialCard makes a link to where a card says.
func (n *Node) dialCard(ctx context.Context, c *route.Card) (*link, error) {
	conn, err := rpc.DialPinned(ctx, n.cfg.Network, crux.Endpoint{
		Node: c.Node, Horde: n.cfg.Network.Horde(), Inst: c.Inst, NetID: crux.NetIDOf(c.Link),
	})
	if err != nil {
		return nil, err
	}
	return n.preface(ctx, conn, true)
}

// preface makes a link of a stream: each side shows its card. The stream is
// closed if it fails.
func (n *Node) preface(ctx context.Context, conn *rpc.PinnedConn, dialled bool) (_ *link, err error) {
	const op = "make link"
	stop := context.AfterFunc(ctx, conn.Abort)
	defer func() {
		if !stop() && err == nil {
			err = crux.Wrap(op, ctx.Err())
		}
		if err != nil {
			conn.Abort()
		}
	}()
	peer := conn.Peer()
	switch {
	case peer.Node == n.id || n.people.Load().keys[peer.Node] == nil:
		return nil, crux.Errorf(op, crux.Denied, "node %s is no other member", peer.Node)
	case crux.Inst(peer.Caller).API() != n.cfg.Inst.API():
		return nil, crux.Errorf(op, crux.Denied, "%s of node %s is no %s", peer.Caller, peer.Node, n.cfg.Inst.API())
	}
	own, err := packet.AppendFrame(nil, n.pairs.Own())
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	if _, err := conn.Write(own); err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	b, err := packet.ReadFrame(conn, maxCard)
	if err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "node %s shows no card: %w", peer.Node, err)
	}
	c, err := route.DecodeCard(b)
	switch {
	case err != nil:
		return nil, crux.Wrap(op, err)
	case c.Node != peer.Node || !n.VerifyCard(c):
		return nil, crux.Errorf(op, crux.Corrupt, "node %s shows a card that is not its own", peer.Node)
	case !n.learn(c):
		return nil, crux.Errorf(op, crux.Conflict, "node %s shows a card that a newer one has replaced", peer.Node)
	}
	return newLink(n, conn, dialled), nil
}

// accept is the goroutine that takes streams in from a listener.
func (n *Node) accept(l *rpc.PinnedListener) {
	slots := make(chan struct{}, maxWelcomes)
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed or retired
		}
		select {
		case slots <- struct{}{}:
		case <-n.left:
			conn.Close()
			return
		}
		if !n.spawn(func() {
			defer func() { <-slots }()
			n.welcome(conn)
		}) {
			conn.Close()
		}
	}
}

func (n *Node) welcome(conn net.Conn) {
	ctx, cancel := n.within(prefaceMost)
	defer cancel()
	l, err := n.preface(ctx, conn.(*rpc.PinnedConn), false)
	if err != nil {
		n.log.Debug("a stream was refused", "from", conn.RemoteAddr().String(), "why", err)
		return
	}
	if !n.post(func(c *core) { c.linked(l) }) {
		l.conn.Abort()
	}
}
