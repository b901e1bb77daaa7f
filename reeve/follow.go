package reeve

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"fulcrum.example/crux"
)

// target is the steward to follow: another one means another stream.
type target struct {
	id          crux.NodeID
	incarnation uint64
	addr        netip.AddrPort
	flock       crux.FlockID
}

// follow joins the present leader's steward, and the next one's when the leader
// moves, until ctx ends.
func (r *Reeve) follow(ctx context.Context) {
	var now target
	var session sync.WaitGroup
	end := func() {}
	defer func() {
		end()
		session.Wait()
	}()
	for v := range r.cfg.Members.Watch(ctx) {
		r.mu.Lock()
		r.learnKeysLocked(v)
		r.publishLocked(false)
		r.mu.Unlock()
		var next target
		leader, ok := v.Member(v.Leader)
		if ok {
			next = target{leader.ID, leader.Incarnation, leader.Addr, v.Flock}
		}
		if next == now {
			continue
		}
		end()
		session.Wait()
		now = next
		if !ok {
			end = func() {}
			continue
		}
		sctx, cancel := context.WithCancel(ctx)
		end = cancel
		session.Go(func() { r.keepJoined(sctx, leader, v.Flock) })
	}
}

// Backoff of a stream that breaks or is refused: a new leader's steward wakes a
// moment after its node was elected.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// keepJoined keeps a stream to one steward until ctx ends.
func (r *Reeve) keepJoined(ctx context.Context, leader crux.Member, flock crux.FlockID) {
	wait := firstRetry
	for ctx.Err() == nil {
		joined, err := r.join(ctx, leader, flock)
		r.lost()
		if ctx.Err() != nil {
			return
		}
		if joined {
			wait = firstRetry
		}
		r.log.Debug("the stream to the steward ended", "leader", leader.ID, "error", err)
		select {
		case <-r.cfg.Clock.After(jitter(wait)):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastRetry)
	}
}

// lost notes that there is no steward: what is held stays, but a row that is
// missing proves nothing any more.
func (r *Reeve) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.claimed, r.steward = false, crux.NodeID{}
	r.publishLocked(false)
}
