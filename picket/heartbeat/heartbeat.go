package heartbeat

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
)

const (
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// Config is what a Heartbeater is made of.
type Config struct {
	Rules
	Publisher crux.Publisher
	// Key gives an endpoint's public key and its generation, which the registry
	// shows; reeve/keys has it (Ring.PublicKey).
	Key   func(at Endpoint) (ed25519.PublicKey, uint32, error)
	Clock crux.Clock   // nil: the real one
	Log   *slog.Logger // nil: none
}

// Heartbeater takes the beats of all units of a node. Close it.
type Heartbeater struct {
	cfg Config

	mu        sync.Mutex
	table     *Table
	changed   map[crux.UnitKey]chan struct{} // closed when the unit's counts changed
	dirty     []Endpoint                     // to be published, the oldest first; the first may be under way
	owners    map[Endpoint]crux.UnitKey      // of what is dirty
	published map[Endpoint]shown
	settled   chan struct{} // closed after each publication
	refused   uint64
	told      map[crux.UnitKey]bool // whose refusals are in the log

	wake   chan struct{} // the next expiry changed
	work   chan struct{} // dirty has something
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// shown is what the Publisher took last.
type shown struct {
	status     crux.Status
	key        []byte
	generation uint32
}

// Open starts a Heartbeater that lives until Close.
func Open(cfg Config) *Heartbeater {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &Heartbeater{
		cfg: cfg, table: NewTable(cfg.Rules), cancel: cancel,
		changed: make(map[crux.UnitKey]chan struct{}), owners: make(map[Endpoint]crux.UnitKey),
		published: make(map[Endpoint]shown), told: make(map[crux.UnitKey]bool), settled: make(chan struct{}),
		wake: make(chan struct{}, 1), work: make(chan struct{}, 1),
	}
	h.group.Go(func() { h.expire(ctx) })
	h.group.Go(func() { h.publish(ctx) })
	return h
}

// Close stops. It withdraws nothing: what lives on the node outlives this
// process, and rows end with their leases.
func (h *Heartbeater) Close() {
	h.cancel()
	h.group.Wait()
}

// Join lets a unit beat, from nothing: whatever it had is withdrawn.
func (h *Heartbeater) Join(k crux.UnitKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked(h.table.Join(k))
	h.tellLocked(k)
	delete(h.told, k)
}

// Leave withdraws what a unit has, and returns once the registry knows, or ctx
// ends. Later beats are refused.
func (h *Heartbeater) Leave(ctx context.Context, k crux.UnitKey) {
	h.mu.Lock()
	h.noteLocked(h.table.Leave(k))
	h.tellLocked(k)
	delete(h.changed, k)
	delete(h.told, k)
	h.mu.Unlock()
	h.settle(ctx, k)
}

// Draining shows all that a unit has as Draining, whatever it beats, and
// returns once the registry knows, or ctx ends.
func (h *Heartbeater) Draining(ctx context.Context, k crux.UnitKey) {
	h.mu.Lock()
	h.noteLocked(h.table.Draining(k))
	h.mu.Unlock()
	h.settle(ctx, k)
}

// Beat takes heartbeats of a unit. Those it may not send are counted, and the
// first is logged.
func (h *Heartbeater) Beat(k crux.UnitKey, beats []crux.Fservice) {
	h.mu.Lock()
	out, refused := h.table.Step(h.cfg.Clock.Now(), k, beats)
	h.noteLocked(out)
	h.refused += uint64(len(refused))
	warn := len(refused) > 0 && !h.told[k]
	if warn {
		h.told[k] = true
	}
	h.mu.Unlock()
	if warn {
		h.cfg.Log.Warn("a heartbeat was refused", "unit", k.Inst, "horde", k.Horde, "why", refused[0].Err)
	}
	for _, b := range beats {
		h.checkKey(Endpoint{b.Horde, b.Inst, b.NetID})
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// checkKey has an endpoint published again whose key was replaced.
func (h *Heartbeater) checkKey(at Endpoint) {
	h.mu.Lock()
	was, ok := h.published[at]
	h.mu.Unlock()
	if !ok {
		return
	}
	key, generation, err := h.cfg.Key(at)
	if err != nil || generation == was.generation && bytes.Equal(key, was.key) {
		return // the publisher meets the same error and logs it
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.table.Status(at); c.Status != crux.Gone {
		h.noteLocked([]Change{c})
	}
}

// Refused counts the beats that were not taken.
func (h *Heartbeater) Refused() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

// Count says how many endpoints of a unit live, how many expired since it
// joined, and gives a channel that is closed when that changes.
func (h *Heartbeater) Count(k crux.UnitKey) (live int, missed uint64, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	live, missed = h.table.Count(k)
	c, ok := h.changed[k]
	if !ok {
		c = make(chan struct{})
		h.changed[k] = c
	}
	return live, missed, c
}

func (h *Heartbeater) tellLocked(k crux.UnitKey) {
	if c, ok := h.changed[k]; ok {
		close(c)
		delete(h.changed, k)
	}
}

// noteLocked queues changes for the registry and tells their owners.
func (h *Heartbeater) noteLocked(changes []Change) {
	for _, c := range changes {
		if _, queued := h.owners[c.At]; !queued {
			h.dirty = append(h.dirty, c.At)
		}
		h.owners[c.At] = c.Owner
		h.tellLocked(c.Owner)
	}
	if len(changes) > 0 {
		select {
		case h.work <- struct{}{}:
		default:
		}
	}
}

// listen is how long the node must have been awake after a beat was due before
// it believes that there was none. A process that was suspended, or starved of
// CPU, finds beats expired that wait in its sockets: the silence was its own.
const listen = 500 * time.Millisecond

// expire withdraws endpoints whose beats stopped.
func (h *Heartbeater) expire(ctx context.Context) {
	for {
		h.mu.Lock()
		now := h.cfg.Clock.Now()
		next, some := h.table.Next()
		h.mu.Unlock()
		if some && !next.After(now) {
			if !h.listened(ctx) {
				return
			}
			h.withdraw()
			continue
		}
		var due <-chan time.Time
		if some {
			due = h.cfg.Clock.After(next.Sub(now))
		}
		select {
		case <-due:
		case <-h.wake:
		case <-ctx.Done():
			return
		}
	}
}

// listened returns true once the node has been awake for the time of listen,
// and false when ctx ends.
func (h *Heartbeater) listened(ctx context.Context) bool {
	for {
		began := h.cfg.Clock.Now()
		select {
		case <-h.cfg.Clock.After(listen):
		case <-ctx.Done():
			return false
		}
		if h.cfg.Clock.Now().Sub(began) < 2*listen {
			return true
		}
	}
}

// withdraw takes back what has expired and was not renewed meanwhile.
func (h *Heartbeater) withdraw() {
	h.mu.Lock()
	out := h.table.Tick(h.cfg.Clock.Now())
	h.noteLocked(out)
	h.mu.Unlock()
	for _, c := range out {
		h.cfg.Log.Warn("an endpoint stopped beating and is withdrawn", "inst", c.At.Inst, "at", c.At.NetID)
	}
}
