package bed

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/crux"
)

// udpOverhead is what IPv4 and UDP add to each datagram.
const udpOverhead = 28

// Confab is a node's networking that counts what the node sends, and that can
// be cut off as if the node's process had been killed (Cut), or made silent as if
// it had been stopped (Hang).
type Confab struct {
	crux.Confab
	sent atomic.Int64
	hung atomic.Bool

	mu    sync.Mutex
	dead  bool
	parts map[io.Closer]bool
}

func newConfab(c crux.Confab) *Confab {
	return &Confab{Confab: c, parts: map[io.Closer]bool{}}
}

// Sent is how many bytes the node has sent: datagrams with their UDP and IPv4
// headers, and the bytes written to streams.
func (c *Confab) Sent() int64 { return c.sent.Load() }

// Cut closes all of the node's sockets, and lets it open no more. What it
// sends after that is lost; nobody is told.
func (c *Confab) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for p := range c.parts {
		_ = p.Close() // a killed process hears of no errors either
	}
	c.parts = nil
}

// keep notes a socket that Cut is to close. A node that is cut off already
// gets none.
func (c *Confab) keep(p io.Closer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		_ = p.Close()
		return net.ErrClosed
	}
	c.parts[p] = true
	return nil
}

func (c *Confab) forget(p io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.parts, p)
}

// Hang makes the node, to the others, one whose process is stopped: its sockets
// stay open and its kernel takes connections, but nothing is sent any more, and
// nothing is read. Only Cut ends that.
func (c *Confab) Hang() { c.hung.Store(true) }

func (c *Confab) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// ListenPacket implements crux.Confab.
func (c *Confab) ListenPacket(ctx context.Context, port uint16) (crux.Datagrams, error) {
	d, err := c.Confab.ListenPacket(ctx, port)
	if err != nil {
		return nil, err
	}
	return &socket{d, c}, c.keep(d)
}

// Dial implements crux.Confab.
func (c *Confab) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if c.isDead() {
		return nil, net.ErrClosed
	}
	if c.hung.Load() {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	conn, err := c.Confab.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return &stream{conn, c}, c.keep(conn)
}

// Listen implements crux.Confab.
func (c *Confab) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	l, err := c.Confab.Listen(ctx, port)
	if err != nil {
		return nil, err
	}
	return &listener{l, c}, c.keep(l)
}

type socket struct {
	crux.Datagrams
	c *Confab
}

func (s *socket) WriteTo(b []byte, to netip.AddrPort) error {
	if s.c.hung.Load() {
		return nil
	}
	s.c.sent.Add(int64(len(b) + udpOverhead))
	if err := s.Datagrams.WriteTo(b, to); err != nil && !s.c.isDead() {
		return err
	}
	return nil
}

// ReadBatch drops what comes to a node that hangs.
func (s *socket) ReadBatch(into []crux.Datagram) (int, error) {
	for {
		n, err := s.Datagrams.ReadBatch(into)
		if err != nil || !s.c.hung.Load() {
			return n, err
		}
	}
}

func (s *socket) Close() error {
	if s.c.isDead() {
		return nil // Cut closed it
	}
	s.c.forget(s.Datagrams)
	return s.Datagrams.Close()
}

type listener struct {
	net.Listener
	c *Confab
}

// Accept leaves those who call on a node that hangs where the kernel has them.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := l.c.keep(conn); err != nil || !l.c.hung.Load() {
			return &stream{conn, l.c}, err
		}
	}
}

type stream struct {
	net.Conn
	c *Confab
}

func (s *stream) Write(b []byte) (int, error) {
	if s.c.hung.Load() {
		return len(b), nil
	}
	n, err := s.Conn.Write(b)
	s.c.sent.Add(int64(n))
	return n, err
}

// Read drops what comes to a node that hangs.
func (s *stream) Read(b []byte) (int, error) {
	for {
		n, err := s.Conn.Read(b)
		if err != nil || !s.c.hung.Load() {
			return n, err
		}
	}
}

// Close of a node that hangs leaves the stream open: Cut closes it.
func (s *stream) Close() error {
	if s.c.hung.Load() {
		return s.Conn.SetReadDeadline(time.Unix(1, 0)) // ends Read
	}
	s.c.forget(s.Conn)
	return s.Conn.Close()
}
