package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"fulcrum.example/crux"
)

// Config says where a node is and where its neighbours may be.
type Config struct {
	// Addr is this node's address and port; both are wanted.
	Addr netip.AddrPort
	// Candidates says where other nodes may be: addresses (10.0.0.7, with
	// Addr's port), addresses with ports (10.0.0.7:7946, [fd00::7]:7946),
	// networks (10.0.0.0/24; IPv6 up to /112), or @FILE for a file with one of
	// these a line. None: the subnet of the interface that has Addr.
	Candidates []string
}

// Confab is the networking of one node.
type Confab struct {
	addr       netip.AddrPort
	candidates *candidates
}

var _ crux.Confab = (*Confab)(nil)

// New checks the configuration and works out the candidates. It opens nothing.
func New(c Config) (*Confab, error) {
	const op = "set up network"
	addr := unmap(c.Addr)
	switch {
	case !addr.IsValid() || addr.Port() == 0:
		return nil, crux.Errorf(op, crux.Invalid, "%q is not the address of a node: want ip:port, as 10.0.0.7:7946", c.Addr)
	case addr.Addr().Zone() != "":
		return nil, crux.Errorf(op, crux.Invalid, "%s is good on one link only, and nobody else could use it; give the node a routable address", addr.Addr())
	case addr.Addr().IsUnspecified() || addr.Addr().IsMulticast():
		return nil, crux.Errorf(op, crux.Invalid, "%s is not one machine's address, and other nodes need one to answer to; give one of this machine's own", addr.Addr())
	}
	cand, err := newCandidates(addr, c.Candidates)
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	return &Confab{addr: addr, candidates: cand}, nil
}

// Addr implements crux.Confab.
func (c *Confab) Addr() netip.AddrPort { return c.addr }

// Candidates implements crux.Confab.
func (c *Confab) Candidates() crux.Candidates { return c.candidates }

// ListenPacket implements crux.Confab. What it returns is a *Socket.
func (c *Confab) ListenPacket(ctx context.Context, port uint16) (crux.Datagrams, error) {
	at := netip.AddrPortFrom(c.addr.Addr(), port)
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", at.String())
	if err != nil {
		return nil, listenError("open UDP socket", at, err)
	}
	return newSocket(pc.(*net.UDPConn)), nil
}

// Listen implements crux.Confab.
func (c *Confab) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	at := netip.AddrPortFrom(c.addr.Addr(), port)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, listenError("listen for streams", at, err)
	}
	return l, nil
}

// Dial implements crux.Confab. The stream leaves from the node's own address,
// so that the other side sees which node it is also where a machine carries
// several.
func (c *Confab) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if unmap(to).Addr().Is4() == c.addr.Addr().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.addr.Addr(), 0))
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, crux.Errorf("dial "+to.String(), crux.KindOf(ctx.Err()), "%w", err)
	}
	return nil, crux.Errorf("dial "+to.String(), crux.Unavailable, "%w", err)
}

// listenError says what to do about an address that cannot be had.
func listenError(op string, at netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return crux.Errorf(op, crux.Exists, "address in use: another process has %s; end it, or give this node another address or port (--addr)", at)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return crux.Errorf(op, crux.Invalid, "%s is not an address of this machine; give one that is (--addr)", at.Addr())
	case errors.Is(err, syscall.EACCES):
		return crux.Errorf(op, crux.Denied, "not allowed to use %s; choose a port from 1024 up (--addr)", at)
	}
	return crux.Errorf(op, crux.KindOf(err), "%s: %w", at, err)
}

// unmap turns an IPv4 address in IPv6 clothes into itself, so that addresses
// compare equal.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
