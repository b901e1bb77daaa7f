package service

import (
	"context"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

// reign is one time of leading one flock.
type reign struct {
	cfg   Config
	flock crux.FlockID

	mu       sync.Mutex
	table    *steward.Table
	view     *crux.View
	n        uint64 // of the last change
	log      []change
	lazy     bool // digests wait for the next news
	subs     map[crux.NodeID]*subscriber
	reported map[crux.NodeID]uint64 // node → incarnation
	whole    bool
	news     chan struct{} // closed and replaced when streams have something to send

	ended   bool
	cancels map[int]context.CancelFunc // of everything that lives with the reign
	nextID  int
	group   sync.WaitGroup
}

// change is one entry of the log: a row, or that a node's digest is new, or
// that its rows are others than they were, all of them to be sent.
type change struct {
	n    uint64
	at   time.Time
	row  *crux.Row
	node crux.NodeID
	full bool
}

const (
	// maxLog bounds the log; a reeve further behind is sent everything again.
	maxLog = 8192
	// flush is how long digests wait, and how often leases are looked at.
	flush = time.Second
)

// newReign begins with what this node's reeve holds.
func newReign(cfg Config, v *crux.View, n uint64) *reign {
	now := cfg.Clock.Now()
	r := &reign{
		cfg: cfg, flock: v.Flock, view: v, n: n, table: steward.New(now), subs: map[crux.NodeID]*subscriber{},
		reported: map[crux.NodeID]uint64{}, news: make(chan struct{}), cancels: map[int]context.CancelFunc{},
	}
	r.table.Import(now, cfg.Reeve.Export())
	ctx, done, _ := r.live(context.Background()) // it is new, and has not ended
	go func() {
		defer done()
		r.tick(ctx)
	}()
	return r
}

// live gives a context that ends with the reign at the latest. done must be
// called when what lives by it has ended; the reign's end waits for that.
func (r *reign) live(parent context.Context) (ctx context.Context, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, nil, crux.Errorf("steward", crux.Unavailable, "this steward's reign has ended: ask the next leader's")
	}
	ctx, cancel := context.WithCancel(parent)
	id := r.nextID
	r.nextID++
	r.cancels[id] = cancel
	r.group.Add(1)
	return ctx, func() {
		cancel()
		r.mu.Lock()
		delete(r.cancels, id)
		r.mu.Unlock()
		r.group.Done()
	}, nil
}

// end ends the reign and its streams, and returns its last change's number.
func (r *reign) end() uint64 {
	r.mu.Lock()
	r.ended = true
	for _, cancel := range r.cancels {
		cancel()
	}
	r.mu.Unlock()
	r.group.Wait()
	return r.n
}

// tick lets leases end, of which every reeve takes care for itself, and sends
// out the digests that wait.
func (r *reign) tick(ctx context.Context) {
	for {
		select {
		case <-r.cfg.Clock.After(flush):
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		r.table.Expire(r.cfg.Clock.Now())
		r.table.Publish()
		if r.lazy {
			r.newsLocked()
		}
		r.mu.Unlock()
	}
}

// follow takes in a view: who must report, and whose streams must end.
func (r *reign) follow(v *crux.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	epoch := r.view.Epoch
	r.view = v
	for id, sub := range r.subs {
		if _, ok := v.Member(id); !ok {
			sub.cancel()
		}
	}
	for id := range r.reported {
		if _, ok := v.Member(id); !ok {
			delete(r.reported, id)
		}
	}
	r.judgeLocked()
	if epoch != v.Epoch {
		r.newsLocked()
	}
}

// judgeLocked works out whether every living member has reported.
func (r *reign) judgeLocked() {
	whole := true
	for _, m := range r.view.Members {
		if m.State == crux.Alive && r.reported[m.ID] != m.Incarnation {
			whole = false
			break
		}
	}
	if whole != r.whole {
		r.whole = whole
		r.newsLocked()
	}
}

func (r *reign) newsLocked() {
	r.lazy = false
	close(r.news)
	r.news = make(chan struct{})
}

// logLocked gives a change its number and keeps it for the streams.
func (r *reign) logLocked(c change) {
	r.n++
	c.n, c.at = r.n, r.cfg.Clock.Now()
	r.log = append(r.log, c)
	if len(r.log) > maxLog {
		r.log = append([]change(nil), r.log[len(r.log)-maxLog/2:]...)
	}
}

// revisionLocked is the present revision.
func (r *reign) revisionLocked() crux.Revision {
	return crux.Revision{Flock: r.flock, Epoch: r.view.Epoch, N: r.n}
}
