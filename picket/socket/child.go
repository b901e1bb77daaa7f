package socket

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
)

// ChildConfig is the one process that a socket is for.
type ChildConfig struct {
	Unit  crux.Unit
	Dir   string // its own folder
	Token string // 64 hex digits
	// Beats takes its heartbeats; it must not block for long.
	Beats func([]crux.Fservice)
	Log   *slog.Logger // nil: none
}

// Child is the socket of one child process. Close it.
type Child struct {
	cfg    ChildConfig
	server *grpc.Server
	group  sync.WaitGroup

	once     sync.Once
	attached chan struct{}
	bad      atomic.Uint64

	mu      sync.Mutex
	quit    time.Time     // the deadline, once it is asked to quit
	quitted chan struct{} // closed then
}

// Serve serves a child's socket until Close, which also closes l.
func Serve(l net.Listener, cfg Config, child ChildConfig) *Child {
	if child.Log == nil {
		child.Log = slog.New(slog.DiscardHandler)
	}
	c := &Child{cfg: child, server: newServer(child.Log, ownUser{}), attached: make(chan struct{}), quitted: make(chan struct{})}
	u := child.Unit
	s := &session{
		caller: string(u.Inst), horde: u.Horde, dir: child.Dir, function: u.Func,
		keys: cfg.KeysFor(string(u.Inst), u.Horde), child: c,
	}
	node.RegisterNodeServer(c.server, &handlers{cfg: &cfg, who: byToken(child.Token, s)})
	c.group.Go(func() {
		if err := c.server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			c.cfg.Log.Error("a child's socket broke", "inst", u.Inst, "why", err)
		}
	})
	return c
}

// Attached is closed when the child has attached with its token.
func (c *Child) Attached() <-chan struct{} { return c.attached }

// Quit asks the child to finish what it has and end before the deadline: at
// once if it is attached, otherwise when it attaches.
func (c *Child) Quit(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quit.IsZero() {
		c.quit = deadline
		close(c.quitted)
	}
}

// Close ends the socket and waits for its handlers. The child lives on and
// dials again.
func (c *Child) Close() {
	c.server.Stop()
	c.group.Wait()
}

// Attach is the life line of a process; see protos/node.
func (h *handlers) Attach(s grpc.BidiStreamingServer[node.FromChild, node.FromNode]) error {
	who, err := h.who(s.Context())
	if err != nil {
		return err
	}
	if who.child == nil && who.dir != "" {
		if err := os.MkdirAll(who.dir, 0o700); err != nil {
			return crux.Errorf("attach", crux.Unavailable, "%w", err)
		}
	}
	if err := s.Send(&node.FromNode{Msg: &node.FromNode_Info{Info: h.cfg.info(who)}}); err != nil {
		return err
	}
	if who.child == nil {
		return refuseBeats(s)
	}
	return who.child.attach(s)
}

// refuseBeats keeps the life line of a client, which serves nothing.
func refuseBeats(s grpc.BidiStreamingServer[node.FromChild, node.FromNode]) error {
	for {
		m, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(m.GetBeats()) > 0:
			return crux.Errorf("take beat", crux.Denied, "an attached client serves no endpoints: publish it, and let the node run it")
		}
	}
}

// attach receives beats until the stream ends, and sends Quit when it is time.
func (c *Child) attach(s grpc.BidiStreamingServer[node.FromChild, node.FromNode]) error {
	c.once.Do(func() { close(c.attached) })
	ctx, cancel := context.WithCancel(s.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { c.sendQuit(ctx, s) })
	for {
		m, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		beats := make([]crux.Fservice, 0, len(m.GetBeats()))
		for _, b := range m.GetBeats() {
			f, err := wire.FserviceFrom(b)
			if err != nil {
				c.malformed(err)
				continue
			}
			beats = append(beats, f)
		}
		if len(beats) > 0 {
			c.cfg.Beats(beats)
		}
	}
}

// malformed counts a beat that does not decode, and logs the first.
func (c *Child) malformed(err error) {
	if c.bad.Add(1) == 1 {
		c.cfg.Log.Warn("a heartbeat does not decode and is refused", "inst", c.cfg.Unit.Inst, "why", err)
	}
}

// Malformed counts the beats that did not decode.
func (c *Child) Malformed() uint64 { return c.bad.Load() }

func (c *Child) sendQuit(ctx context.Context, s grpc.BidiStreamingServer[node.FromChild, node.FromNode]) {
	select {
	case <-c.quitted:
	case <-ctx.Done():
		return
	}
	c.mu.Lock()
	left := time.Until(c.quit)
	c.mu.Unlock()
	m := &node.Quit{DeadlineMs: max(1, left.Milliseconds())}
	if err := s.Send(&node.FromNode{Msg: &node.FromNode_Quit{Quit: m}}); err != nil {
		c.cfg.Log.Warn("a child does not hear that it is to quit", "inst", c.cfg.Unit.Inst, "why", err)
	}
}
