package rpc

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"fulcrum.example/crux"
)

const (
	defaultEvery = 5 * time.Second
	defaultDrain = 10 * time.Second
	// linger is how long a draining server goes on as if nothing were: its row
	// says Draining by then, and clients move by themselves.
	linger = 200 * time.Millisecond
	// lastWord bounds how long an unread alive channel can hold up the end.
	lastWord = 250 * time.Millisecond
)

// Options say what Serve serves and how it lives.
type Options struct {
	Inst  crux.Inst              // which instance version this is
	Horde crux.Horde             // empty: the routine's own
	Quit  <-chan bool            // when it closes, the server drains and ends; nil: Close alone ends it
	Alive chan<- []crux.Fservice // where heartbeats go; nil: none are sent
	Every time.Duration          // between heartbeats; 0: 5 s. A beat holds for three of them.
	Drain time.Duration          // how long calls may go on after Quit; 0: 10 s
	// Listener is where to accept instead of at a port that the kernel chooses,
	// as one that the process before handed over. It must be at the node's own
	// address; the server closes it, also when Serve fails.
	Listener net.Listener
	// ServerOptions come after the package's own, as grpc.MaxRecvMsgSize.
	ServerOptions []grpc.ServerOption
}

// Server is one serving endpoint.
type Server struct {
	opts   Options
	self   crux.Endpoint
	log    *slog.Logger
	grpc   *grpc.Server
	health *health.Server
	guard  *guard

	closing sync.Once
	closed  chan struct{} // Close or Retire was called
	retired atomic.Bool   // Retire was
	failed  chan error    // what ended the accept loop
	done    chan struct{}
	err     error // valid once done is closed
}

// Serve listens on a port of the node that the kernel chooses, or accepts from
// opts.Listener, and serves what register registers, over mTLS, to those callers
// that n's keys admit. It returns once calls are accepted; the server then lives
// until opts.Quit closes or Close is called: it says Draining, finishes the
// calls it has, for opts.Drain at most, says Gone, and ends.
//
// Errors: Invalid for an instance that is none, Denied if the routine may not
// serve it, Unavailable if the node's address cannot be listened on.
func Serve(n crux.Node, opts Options, register func(grpc.ServiceRegistrar)) (_ *Server, err error) {
	l := opts.Listener
	defer func() {
		if err != nil && l != nil {
			l.Close()
		}
	}()
	inst, err := crux.ParseInst(string(opts.Inst))
	if err != nil {
		return nil, crux.Wrap("serve", err)
	}
	opts.Inst = inst
	if opts.Horde == "" {
		opts.Horde = n.Horde()
	}
	if opts.Every <= 0 {
		opts.Every = defaultEvery
	}
	if opts.Drain <= 0 {
		opts.Drain = defaultDrain
	}
	ctx := context.Background()
	if l == nil {
		if l, err = n.Listen(ctx, 0); err != nil {
			return nil, crux.Wrap("serve "+string(inst), err)
		}
	}
	self := crux.Endpoint{Node: n.ID(), Horde: opts.Horde, Inst: inst, NetID: crux.NetID(l.Addr().String())}
	// A key that will not be had is an error now, not at the first call.
	if _, err := n.Keys().Server(ctx, self); err != nil {
		return nil, crux.Wrap("serve "+string(inst), err)
	}
	s := &Server{
		opts: opts, self: self, log: logger(n.Log()),
		closed: make(chan struct{}), failed: make(chan error, 1), done: make(chan struct{}),
	}
	s.guard = newGuard(n.Keys(), true, s.log)
	s.grpc = newGRPCServer(n.Keys(), self, s.guard, s.log, opts.ServerOptions)
	register(s.grpc)
	s.health = addHealth(s.grpc)
	go func() { s.failed <- s.grpc.Serve(l) }()
	go s.run()
	return s, nil
}

// Endpoint is where and what the server is.
func (s *Server) Endpoint() crux.Endpoint { return s.self }

// NetID is where the server listens.
func (s *Server) NetID() crux.NetID { return s.self.NetID }

// Wait returns when the server has ended: nil after Quit or Close, otherwise
// what broke it.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Close drains the server as Quit does, and waits for its end.
func (s *Server) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return s.Wait()
}

// Retire ends a server whose address another process serves already, with the
// listener that it was handed: the server says Gone at once, so that the other's
// row is the one to believe, and stops accepting; it finishes the calls it has,
// as after Close, and says nothing more. Wait waits for its end.
func (s *Server) Retire() {
	s.closing.Do(func() {
		s.retired.Store(true)
		close(s.closed)
	})
}

// run is the server's life: beat until something ends it, then drain.
func (s *Server) run() {
	defer close(s.done)
	tick := time.NewTicker(s.opts.Every)
	defer tick.Stop()
	s.beat(crux.Serving, s.opts.Every)
	for running := true; running; {
		select {
		case <-tick.C:
			s.beat(crux.Serving, s.opts.Every)
		case err := <-s.failed:
			s.err = crux.Errorf("serve "+string(s.self.Inst), crux.Unavailable, "the listener at %s broke: %w", s.self.NetID, err)
			running = false
		case <-s.opts.Quit:
			running = false
		case <-s.closed:
			running = false
		}
	}
	if s.retired.Load() {
		s.beat(crux.Gone, lastWord)
		tick.Stop()
		s.finish(tick)
		s.guard.close()
		return
	}
	s.drain(tick)
	s.guard.close()
	s.beat(crux.Gone, lastWord)
}

// drain says Draining and finishes the calls that are under way, within the
// bound.
func (s *Server) drain(tick *time.Ticker) {
	s.health.Shutdown()
	s.beat(crux.Draining, lastWord)
	if s.guard.len() > 0 && s.err == nil {
		t := time.NewTimer(linger)
		<-t.C
	}
	s.finish(tick)
}

// finish stops accepting and waits for the calls that are under way.
func (s *Server) finish(tick *time.Ticker) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.grpc.GracefulStop()
	}()
	deadline := time.NewTimer(s.opts.Drain)
	defer deadline.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-tick.C:
			s.beat(crux.Draining, lastWord)
		case <-deadline.C:
			s.log.Warn("calls outlasted the drain and are cut", "inst", s.self.Inst, "after", s.opts.Drain)
			s.grpc.Stop()
			<-stopped
			return
		}
	}
}

// beat sends a heartbeat. It waits for a reader no longer than patience, and
// while the server serves, no longer than that takes to end: a beat that nobody
// read is late, and the next is due.
func (s *Server) beat(status crux.Status, patience time.Duration) {
	if s.opts.Alive == nil {
		return
	}
	var quit <-chan bool
	var closed <-chan struct{}
	if status == crux.Serving {
		quit, closed = s.opts.Quit, s.closed
	}
	now := time.Now()
	beats := []crux.Fservice{{
		Horde: s.self.Horde, API: s.self.Inst.API(), Inst: s.self.Inst, NetID: s.self.NetID,
		Issued: now, ValidUntil: now.Add(3 * s.opts.Every), Status: status,
	}}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case s.opts.Alive <- beats:
	case <-t.C:
	case <-quit:
	case <-closed:
	}
}

// newGRPCServer makes a server of one endpoint, with what all of them have.
func newGRPCServer(keys crux.Keys, self crux.Endpoint, g *guard, log *slog.Logger, more []grpc.ServerOption) *grpc.Server {
	opts := append(serverOptions(log),
		grpc.Creds(newServerCreds(keys, self, g, log)),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	return grpc.NewServer(append(opts, more...)...)
}

// addHealth adds the health and reflection services and says that everything
// registered so far serves.
func addHealth(s *grpc.Server) *health.Server {
	h := health.NewServer()
	for name := range s.GetServiceInfo() {
		h.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(s, h)
	reflection.Register(s)
	return h
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// endpointOf is the endpoint that a row names.
func endpointOf(r *crux.Row) crux.Endpoint {
	return crux.Endpoint{Node: r.Node, Horde: r.Horde, Inst: r.Inst, NetID: r.NetID}
}

// dialer opens the streams of gRPC clients through the node.
func dialer(c crux.Confab) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		to, err := crux.NetID(addr).AddrPort()
		if err != nil {
			return nil, err
		}
		return c.Dial(ctx, to)
	}
}
