package service

import (
	"context"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
)

const (
	// firstAnswer bounds how long the first look-up of a selector waits; later
	// ones answer from memory.
	firstAnswer = 2 * time.Second
	// maxIdle bounds how many selectors are followed that nobody watches.
	maxIdle = 64
)

// registry follows the node's registry: one stream for each selector that was
// asked for. While the node is away it keeps the last snapshots, not whole.
type registry struct {
	n *Node

	mu     sync.Mutex
	follow map[crux.Selector]*follower
}

// follower is one followed selector.
type follower struct {
	*latest[crux.Snapshot]
	stop  context.CancelFunc
	users int // watches
}

var _ crux.Registry = (*registry)(nil)

func newRegistry(n *Node) *registry {
	return &registry{n: n, follow: make(map[crux.Selector]*follower)}
}

// Lookup answers from memory; the first one of a selector asks the node.
func (r *registry) Lookup(sel crux.Selector) crux.Snapshot {
	f := r.acquire(sel, 0)
	t := time.NewTimer(firstAnswer)
	defer t.Stop()
	for {
		s, known, changed := f.get()
		if known {
			return s
		}
		select {
		case <-changed:
		case <-t.C:
			return crux.Snapshot{}
		case <-r.n.done:
			return crux.Snapshot{}
		}
	}
}

// Watch follows the node's snapshots of sel; see crux.Registry.
func (r *registry) Watch(ctx context.Context, sel crux.Selector) <-chan crux.Snapshot {
	f := r.acquire(sel, 1)
	return watch(ctx, r.n, f.latest, func() {
		r.mu.Lock()
		f.users--
		r.mu.Unlock()
	})
}

// acquire finds or starts the follower of sel and counts its users.
func (r *registry) acquire(sel crux.Selector, users int) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.follow[sel]
	if !ok {
		r.trimLocked()
		ctx, stop := context.WithCancel(context.Background())
		f = &follower{latest: newLatest[crux.Snapshot](), stop: stop}
		r.follow[sel] = f
		r.n.start(func() { r.run(ctx, sel, f) })
	}
	f.users += users
	return f
}

// trimLocked stops following what nobody watches, when there is much of it.
func (r *registry) trimLocked() {
	idle := 0
	for _, f := range r.follow {
		if f.users == 0 {
			idle++
		}
	}
	if idle < maxIdle {
		return
	}
	for sel, f := range r.follow {
		if f.users == 0 {
			f.stop()
			delete(r.follow, sel)
		}
	}
}

func (r *registry) run(ctx context.Context, sel crux.Selector, f *follower) {
	keepStream(ctx, func(ctx context.Context) (func() error, error) {
		s, err := r.n.client.WatchRegistry(ctx, wire.SelectorTo(sel))
		if err != nil {
			return nil, err
		}
		return func() error {
			m, err := s.Recv()
			if err != nil {
				return err
			}
			snap, err := wire.SnapshotFrom(m)
			if err != nil {
				r.n.log.Warn("the node sent a snapshot that does not decode", "selector", sel, "why", err)
				return nil
			}
			f.set(snap)
			return nil
		}, nil
	}, func(error) {
		if s, known, _ := f.get(); known && s.Whole {
			s.Whole = false
			f.set(s)
		}
	})
}

// close stops following.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.follow {
		f.stop()
	}
}
