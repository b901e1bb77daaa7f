package node

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

const (
	// dialMost bounds a dial in all; the machine is told by then.
	dialMost = 3 * time.Second
	// dialCard bounds a dial to where the known card says, while there is a row
	// of the registry to try, too.
	dialCard = 2 * time.Second
	// whereMost is how long a dial waits to learn where the node is: its neighbours
	// may name it before the registry does.
	whereMost = time.Second
	// prefaceMost bounds the exchange of cards on a new stream.
	prefaceMost = 2 * time.Second
	// maxCard bounds the first frame.
	maxCard = 1 << 10
	// maxWelcomes bounds the streams that have not shown a card yet, peerWelcomes
	// those of one member.
	maxWelcomes  = 32
	peerWelcomes = 2
)

// connect makes a link to a node: by its card, or by the one that it shows at the
// address of its row in the registry.
func (n *Node) connect(ctx context.Context, id crux.NodeID) (*link, error) {
	known, rows, err := n.where(ctx, id)
	if err != nil {
		return nil, err
	}
	var failed error
	if known != nil {
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

// where gives the card of a node, or where to ask for it, or both. If nothing of
// it is known yet it waits for that.
func (n *Node) where(ctx context.Context, id crux.NodeID) (*route.Card, []netip.AddrPort, error) {
	const op = "dial"
	var late <-chan time.Time
	for {
		news := n.news.wait()
		p := n.people.Load()
		known, rows := n.pairs.Card(id), p.rows[id]
		switch {
		case p.keys[id] == nil:
			return nil, nil, crux.Errorf(op, crux.NotFound, "node %s is no member", id)
		case known != nil || len(rows) > 0:
			return known, rows, nil
		case late == nil:
			late = n.cfg.Clock.After(whereMost)
		}
		select {
		case <-news:
		case <-late:
			return nil, nil, crux.Errorf(op, crux.NotFound, "it is not known where node %s is", id)
		case <-ctx.Done():
			return nil, nil, crux.Wrap(op, ctx.Err())
		}
	}
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

// preface makes a link of a stream: each side shows its card, and says that it
// takes the other's. The stream is closed if it fails.
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
	if err := writeFrame(conn, n.pairs.Own()); err != nil {
		return nil, crux.Wrap(op, err)
	}
	if err := n.judge(conn, peer.Node); err != nil {
		return nil, crux.Wrap(op, err)
	}
	if err := n.judged(conn, peer.Node); err != nil {
		return nil, crux.Wrap(op, err)
	}
	return newLink(n, conn, dialled), nil
}

// judge reads the other side's card and says whether it is taken: it is shown the
// newer one that is known here, if there is one.
func (n *Node) judge(conn net.Conn, peer crux.NodeID) error {
	b, err := packet.ReadFrame(conn, maxCard)
	if err != nil {
		return crux.Errorf("", crux.Unavailable, "node %s shows no card: %w", peer, err)
	}
	c, err := route.DecodeCard(b)
	switch {
	case err != nil:
		return err
	case c.Node != peer || !n.VerifyCard(c):
		return crux.Errorf("", crux.Corrupt, "node %s shows a card that is not its own", peer)
	case n.learn(c):
		return writeFrame(conn, welcome{})
	}
	if newer := n.pairs.Card(peer); newer != nil {
		// It has no more to say, so this is not cut off by what it did not read.
		_ = writeFrame(conn, newer)
	}
	return crux.Errorf("", crux.Conflict, "node %s shows a card that a newer one has replaced", peer)
}

// judged reads what the other side makes of this one's card.
func (n *Node) judged(conn net.Conn, peer crux.NodeID) error {
	b, err := packet.ReadFrame(conn, maxCard)
	if err != nil {
		return crux.Errorf("", crux.Unavailable, "node %s does not take the link: %w", peer, err)
	}
	if string(b) == string(welcome{}.Append(nil)) {
		return nil
	}
	c, err := route.DecodeCard(b)
	if err == nil && c.Node == n.id && c.Epoch > n.pairs.Own().Epoch && n.VerifyCard(c) {
		n.supersede(c.Epoch)
	}
	return crux.Errorf("", crux.Conflict, "node %s knows a newer card of this node", peer)
}

// welcome is the frame that takes the other side's card.
type welcome struct{}

func (welcome) Size() int              { return 1 }
func (welcome) Append(b []byte) []byte { return append(b, 1) }

func writeFrame(conn net.Conn, m packet.Message) error {
	b, err := packet.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return crux.Errorf("write frame", crux.Unavailable, "%w", err)
	}
	return nil
}

// accept is the goroutine that takes streams in from a listener.
func (n *Node) accept(l *rpc.PinnedListener) {
	slots := make(chan struct{}, maxWelcomes)
	var hall hall
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed or retired
		}
		peer := conn.(*rpc.PinnedConn).Peer().Node
		if !hall.enter(peer) {
			conn.Close()
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-n.left:
			conn.Close()
			return
		}
		if !n.spawn(func() {
			defer func() { hall.leave(peer); <-slots }()
			n.welcome(conn)
		}) {
			conn.Close()
		}
	}
}

// hall counts the streams of each member that have not shown a card yet: one that
// makes many keeps nobody else out.
type hall struct {
	mu sync.Mutex
	by map[crux.NodeID]int
}

func (h *hall) enter(peer crux.NodeID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = make(map[crux.NodeID]int)
	}
	if h.by[peer] >= peerWelcomes {
		return false
	}
	h.by[peer]++
	return true
}

func (h *hall) leave(peer crux.NodeID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[peer]--; h.by[peer] == 0 {
		delete(h.by, peer)
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
	if !n.core.enter(func(c *core) { c.linked(l) }) {
		l.conn.Abort()
	}
}
