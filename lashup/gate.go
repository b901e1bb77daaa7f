package lashup

import (
	"context"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"fulcrum.example/crux"
)

// retryPause is when a caller that was refused because of a handover is to ask
// again.
const retryPause = 10 * time.Millisecond

// gate lets writes and new streams in, or refuses them while this process is not
// the one that owns the node's state.
type gate struct {
	mu     sync.Mutex
	open   bool
	inside int
	empty  chan struct{} // closed when the gate is shut and nobody is inside
	shut   chan struct{} // closed when the gate shuts; a new one when it opens
}

// newGate makes a gate that is shut.
func newGate() *gate {
	g := &gate{empty: make(chan struct{}), shut: make(chan struct{})}
	close(g.empty)
	close(g.shut)
	return g
}

// enter lets one in; the caller leaves. The error says to ask again soon.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		return errHandover()
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if !g.open && g.inside == 0 {
		close(g.empty)
	}
}

// shutting is closed when the gate shuts.
func (g *gate) shutting() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.open
}

// reopen lets callers in again.
func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return
	}
	g.open = true
	g.shut = make(chan struct{})
	if g.inside == 0 {
		g.empty = make(chan struct{})
	}
}

// close refuses callers from now on and waits until nobody is inside.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	if g.open {
		g.open = false
		close(g.shut)
		if g.inside == 0 {
			close(g.empty)
		}
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return crux.Errorf("hand over", crux.Timeout, "writes that are under way do not end")
	}
}

// errHandover tells a caller that nothing was done and when to ask again.
func errHandover() error {
	st := status.New(codes.Unavailable, "the node's lashup is being replaced: ask again in a moment")
	if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryPause)}); err == nil {
		st = with
	}
	return st.Err()
}
