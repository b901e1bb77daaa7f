package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"fulcrum.example/crux"
)

const (
	// maxHandshakes bounds the handshakes that a pinned listener does at a time.
	maxHandshakes = 64
	// acceptPause is the rest after an accept that failed.
	acceptPause = 50 * time.Millisecond
)

// PinnedConn is a stream between two endpoints that know each other. It is
// closed when a revocation ends the right to it.
type PinnedConn struct {
	net.Conn
	peer crux.Peer
	own  *guard // of a dialled stream; a listener's streams share one
}

// Peer is who is at the other end.
func (c *PinnedConn) Peer() crux.Peer { return c.peer }

// Close ends the stream.
func (c *PinnedConn) Close() error {
	err := c.Conn.Close()
	if c.own != nil {
		c.own.close()
	}
	return err
}

// DialPinned opens a stream to an endpoint that a PinnedListener serves. Errors:
// Denied or Unknown when the server refuses, Unavailable when it is not there.
func DialPinned(ctx context.Context, n crux.Node, to crux.Endpoint) (*PinnedConn, error) {
	addr, err := to.NetID.AddrPort()
	if err != nil {
		return nil, crux.Wrap("dial pinned", err)
	}
	raw, err := n.Dial(ctx, addr)
	if err != nil {
		return nil, crux.Wrap("dial pinned", err)
	}
	revoked := n.Keys().Revoked()
	s, err := dialTLS(ctx, raw, n.Keys(), to, alpnPinned)
	if err != nil {
		raw.Close()
		return nil, err
	}
	g := newGuard(n.Keys(), false, logger(n.Log()))
	return &PinnedConn{g.add(ctx, s, to, revoked), s.peer, g}, nil
}

// Abort ends the stream without a goodbye that a stuck peer could hold up.
func (c *PinnedConn) Abort() {
	c.Conn.(*guarded).abort()
	if c.own != nil {
		c.own.close()
	}
}

// PinnedListener accepts pinned streams for one endpoint. It is a net.Listener
// whose connections are *PinnedConn.
type PinnedListener struct {
	net.Listener
	keys  crux.Keys
	self  crux.Endpoint
	log   *slog.Logger
	guard *guard

	ready   chan *PinnedConn
	failed  chan error
	stop    chan struct{}
	retired sync.Once
	retErr  error // of Retire; read after retired
	once    sync.Once
	work    sync.WaitGroup
}

// ListenPinned listens on a port of the node that the kernel chooses, for
// callers that n's keys admit to inst.
func ListenPinned(n crux.Node, inst crux.Inst) (*PinnedListener, error) {
	l, err := n.Listen(context.Background(), 0)
	if err != nil {
		return nil, crux.Wrap("listen pinned", err)
	}
	return ServePinned(n, inst, l)
}

// ServePinned is ListenPinned on a listener that there is already, as one that
// the process before handed over. It must be at the node's own address;
// PinnedListener closes it, also when ServePinned fails.
func ServePinned(n crux.Node, inst crux.Inst, l net.Listener) (*PinnedListener, error) {
	ctx := context.Background()
	self := crux.Endpoint{Node: n.ID(), Horde: n.Horde(), Inst: inst, NetID: crux.NetID(l.Addr().String())}
	if _, err := n.Keys().Server(ctx, self); err != nil {
		l.Close()
		return nil, crux.Wrap("listen pinned", err)
	}
	log := logger(n.Log())
	p := &PinnedListener{
		Listener: l, keys: n.Keys(), self: self, log: log, guard: newGuard(n.Keys(), true, log),
		ready: make(chan *PinnedConn), failed: make(chan error, 1), stop: make(chan struct{}),
	}
	p.work.Add(1)
	go p.run()
	return p, nil
}

// Endpoint is where and what the listener is: what a row about it names.
func (p *PinnedListener) Endpoint() crux.Endpoint { return p.self }

// run accepts and shakes hands, several at a time, so that a slow peer holds up
// nobody else.
func (p *PinnedListener) run() {
	defer p.work.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	slots := make(chan struct{}, maxHandshakes)
	for {
		raw, err := p.Listener.Accept() // Close ends it
		if errors.Is(err, net.ErrClosed) {
			p.failed <- err
			return
		}
		if err != nil { // such as too many open files: it may pass
			p.log.Warn("cannot accept a pinned stream", "inst", p.self.Inst, "why", err)
			p.rest(acceptPause)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-p.stop:
			raw.Close()
			continue // the next Accept ends the loop
		}
		p.work.Add(1)
		go func() {
			defer p.work.Done()
			defer func() { <-slots }()
			p.welcome(ctx, raw)
		}()
	}
}

// rest waits, or until Close.
func (p *PinnedListener) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.stop:
	}
}

func (p *PinnedListener) welcome(ctx context.Context, raw net.Conn) {
	revoked := p.keys.Revoked()
	s, err := acceptTLS(ctx, raw, p.keys, p.self, alpnPinned)
	if err != nil {
		raw.Close()
		p.log.Debug("refused a pinned stream", "inst", p.self.Inst, "from", raw.RemoteAddr().String(), "why", err)
		return
	}
	c := &PinnedConn{p.guard.add(ctx, s, p.self, revoked), s.peer, nil}
	select {
	case p.ready <- c:
	case <-p.stop:
		c.Close()
	}
}

// Accept gives the next admitted stream, a *PinnedConn. After Close it returns
// net.ErrClosed.
func (p *PinnedListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.ready:
		return c, nil
	case <-p.stop:
		return nil, net.ErrClosed
	case err := <-p.failed:
		p.failed <- err // for the next caller
		return nil, err
	}
}

// Retire stops listening and waits for the handshakes under way; the streams that
// were accepted go on. Where another descriptor of the socket is open, callers
// wait there. Close ends the rest.
func (p *PinnedListener) Retire() error {
	p.retired.Do(func() {
		close(p.stop)
		p.retErr = p.Listener.Close()
		p.work.Wait()
	})
	return p.retErr
}

// Close stops listening, ends the streams that were accepted (nobody would watch
// over them any more), and waits for the handshakes under way.
func (p *PinnedListener) Close() error {
	err := p.Retire()
	p.once.Do(func() {
		p.guard.close()
		for _, c := range p.guard.list() {
			c.abort()
		}
	})
	return err
}
