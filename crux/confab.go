package crux

import (
	"context"
	"net"
	"net/netip"
)

// Confab is a node's networking: it knows its own address, can guess those of
// its neighbours (addresses are taken to be reasonably dense), and opens
// datagram sockets and streams. All methods may be called from any goroutine.
type Confab interface {
	// Addr is this node's own address; the port is the flock's UDP port and
	// the node's TCP port.
	Addr() netip.AddrPort
	// Candidates are the addresses where other nodes of the bloc may be, in a
	// fixed order that is the same for equal configurations; the node's own
	// address may be among them.
	Candidates() Candidates
	// ListenPacket opens a datagram socket on this node's address; port 0 lets
	// the kernel choose. The caller closes it.
	ListenPacket(ctx context.Context, port uint16) (Datagrams, error)
	// Dial opens a stream to a node.
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Listen accepts streams on this node's address; port 0 lets the kernel
	// choose. The caller closes it.
	Listen(ctx context.Context, port uint16) (net.Listener, error)
}

// Candidates is an indexed set of addresses. A /16 is 65,534 of them, so it is
// computed, not stored. It is immutable.
type Candidates interface {
	Len() int
	At(i int) netip.AddrPort // 0 <= i < Len
}

// Datagram is one received packet.
type Datagram struct {
	From netip.AddrPort
	Data []byte // valid until the next ReadBatch into the same slice
}

// Datagrams is a datagram socket. One goroutine may read while others write.
type Datagrams interface {
	LocalAddr() netip.AddrPort
	// ReadBatch blocks until at least one packet is there and fills up to
	// len(into) of them, reusing the capacity of each Data. It returns
	// net.ErrClosed after Close. A packet longer than the buffer is dropped
	// and counted, never given truncated.
	ReadBatch(into []Datagram) (int, error)
	// WriteTo sends one packet. A full buffer or an unreachable address is not
	// an error of the socket: the packet is lost, as packets are.
	WriteTo(b []byte, to netip.AddrPort) error
	Close() error
}
