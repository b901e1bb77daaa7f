package rpc

import (
	"context"
	"log/slog"
	"sync"

	"fulcrum.example/crux"
)

// guard keeps the admitted connections of one server or one client and, after
// every revocation, closes those whose peer would not be admitted again.
type guard struct {
	keys  crux.Keys
	log   *slog.Logger
	admit func(ctx context.Context, cert []byte, ep crux.Endpoint) (crux.Peer, error)

	mu    sync.Mutex
	conns map[*guarded]struct{}

	stop context.CancelFunc
	done chan struct{}
}

// guarded is one connection that a guard watches over.
type guarded struct {
	*secured
	guard *guard
	ep    crux.Endpoint
	once  sync.Once
}

// newGuard starts watching; server says which side the connections are on.
func newGuard(keys crux.Keys, server bool, log *slog.Logger) *guard {
	ctx, stop := context.WithCancel(context.Background())
	g := &guard{keys: keys, log: log, admit: keys.AdmitServer, conns: make(map[*guarded]struct{}), stop: stop, done: make(chan struct{})}
	if server {
		g.admit = keys.AdmitClient
	}
	go g.run(ctx)
	return g
}

// close ends the watch; the connections are left to their owners.
func (g *guard) close() {
	g.stop()
	<-g.done
}

func (g *guard) run(ctx context.Context) {
	defer close(g.done)
	revoked := g.keys.Revoked()
	for {
		select {
		case <-ctx.Done():
			return
		case <-revoked:
		}
		// Ask for the next before looking, so that none goes unseen.
		revoked = g.keys.Revoked()
		for _, c := range g.list() {
			g.check(ctx, c)
		}
	}
}

func (g *guard) list() []*guarded {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*guarded, 0, len(g.conns))
	for c := range g.conns {
		out = append(out, c)
	}
	return out
}

// check closes c unless its peer is admitted still. A node that is away cannot
// say, which revokes nothing.
func (g *guard) check(ctx context.Context, c *guarded) {
	_, err := g.admit(ctx, c.cert, c.ep)
	switch crux.KindOf(err) {
	case crux.Denied, crux.Unknown:
		g.log.Info("closing a connection that is no longer admitted", "peer", c.peer.Caller, "node", c.peer.Node, "why", err)
		c.abort()
	}
}

// add watches over s. revoked is what Keys.Revoked gave before s was admitted:
// what was revoked in between counts for s too.
func (g *guard) add(ctx context.Context, s *secured, ep crux.Endpoint, revoked <-chan struct{}) *guarded {
	c := &guarded{secured: s, guard: g, ep: ep}
	g.mu.Lock()
	g.conns[c] = struct{}{}
	g.mu.Unlock()
	select {
	case <-revoked:
		g.check(ctx, c)
	default:
	}
	return c
}

// Close ends the connection and forgets it.
func (c *guarded) Close() error {
	c.forget()
	return c.secured.Close()
}

// abort ends the connection without a goodbye that a stuck peer could hold up.
func (c *guarded) abort() {
	c.forget()
	c.secured.NetConn().Close()
}

func (c *guarded) forget() {
	c.once.Do(func() {
		c.guard.mu.Lock()
		delete(c.guard.conns, c)
		c.guard.mu.Unlock()
	})
}

func (g *guard) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}
