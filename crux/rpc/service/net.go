package service

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/sock"
)

// The networking of a process beside its node: sockets on the node's address.

// Addr is the node's address.
func (n *Node) Addr() netip.AddrPort { return n.info.addr }

// Candidates are the addresses of the flock's members: a service does not look
// for nodes, it knows them.
func (n *Node) Candidates() crux.Candidates {
	v := n.Members().View()
	out := make(candidates, len(v.Members))
	for i, m := range v.Members {
		out[i] = m.Addr
	}
	return out
}

type candidates []netip.AddrPort

func (c candidates) Len() int                { return len(c) }
func (c candidates) At(i int) netip.AddrPort { return c[i] }

func (n *Node) hostPort(port uint16) string {
	return net.JoinHostPort(n.info.addr.Addr().String(), strconv.Itoa(int(port)))
}

// Dial opens a stream to a node, from this node's address.
func (n *Node) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if own := n.info.addr.Addr(); own.Is4() == to.Addr().Unmap().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(own, 0))
	}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil && ctx.Err() != nil {
		return nil, crux.Errorf("dial "+to.String(), crux.KindOf(ctx.Err()), "%w", err)
	}
	if err != nil {
		return nil, crux.Errorf("dial "+to.String(), crux.Unavailable, "%w", err)
	}
	return c, nil
}

// Listen accepts streams on this node's address.
func (n *Node) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", n.hostPort(port))
	if err != nil {
		return nil, crux.Errorf("listen", crux.Unavailable, "%w", err)
	}
	return l, nil
}

// ListenPacket opens a datagram socket on this node's address.
func (n *Node) ListenPacket(ctx context.Context, port uint16) (crux.Datagrams, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, "udp", n.hostPort(port))
	if err != nil {
		return nil, crux.Errorf("listen for packets", crux.Unavailable, "%w", err)
	}
	return sock.NewDatagrams(c.(*net.UDPConn))
}
