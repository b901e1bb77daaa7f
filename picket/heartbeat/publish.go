package heartbeat

import (
	"bytes"
	"context"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// publish brings what changed to the registry: for each endpoint its newest
// state, again and again until it is taken. One that fails holds up no other:
// there is a pause only when all that wait have failed.
func (h *Heartbeater) publish(ctx context.Context) {
	pause, failures := minRetry, 0
	for {
		c, waiting := h.take()
		if waiting == 0 {
			failures, pause = 0, minRetry
			select {
			case <-h.work:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := h.bring(ctx, c)
		if ctx.Err() != nil {
			return
		}
		h.done(c, err)
		if err == nil {
			failures = 0
			continue
		}
		if pause == minRetry {
			h.cfg.Log.Warn("the registry did not take a change; it is tried again", "inst", c.At.Inst, "at", c.At.NetID, "why", err)
		}
		if failures++; failures < waiting {
			continue
		}
		failures = 0
		select {
		case <-h.cfg.Clock.After(pause):
			pause = min(2*pause, maxRetry)
		case <-h.work:
		case <-ctx.Done():
			return
		}
	}
}

// take gives the newest state of the endpoint that waited longest, and how many
// wait.
func (h *Heartbeater) take() (Change, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.dirty) == 0 {
		return Change{}, 0
	}
	return h.table.Status(h.dirty[0]), len(h.dirty)
}

// bring gives one endpoint's state to the Publisher, unless it has it.
func (h *Heartbeater) bring(ctx context.Context, c Change) error {
	h.mu.Lock()
	was, known := h.published[c.At]
	h.mu.Unlock()
	if c.Status == crux.Gone {
		if !known {
			return nil
		}
		err := h.cfg.Publisher.Drop(ctx, c.At.Horde, c.At.Inst, c.At.NetID)
		if crux.KindOf(err) == crux.NotFound && err != nil {
			err = nil
		}
		if err == nil {
			h.mu.Lock()
			delete(h.published, c.At)
			h.mu.Unlock()
		}
		return err
	}
	key, generation, err := h.cfg.Key(c.At)
	if err != nil {
		return err
	}
	if known && was.status == c.Status && was.generation == generation && bytes.Equal(was.key, key) {
		return nil
	}
	now := h.cfg.Clock.Now()
	s := crux.Fservice{
		Horde: c.At.Horde, API: c.At.Inst.API(), Inst: c.At.Inst, NetID: c.At.NetID, Flock: c.Flock,
		Issued: now, ValidUntil: later(now, c.Until), Status: c.Status,
	}
	if err := h.cfg.Publisher.Put(ctx, s, key, generation); err != nil {
		return err
	}
	h.mu.Lock()
	h.published[c.At] = shown{c.Status, key, generation}
	h.mu.Unlock()
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// done takes an endpoint off the queue if what was brought is still its state;
// otherwise, and after an error, it goes to the end.
func (h *Heartbeater) done(c Change, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirty = h.dirty[1:]
	if err != nil || h.table.Status(c.At).Status != c.Status {
		h.dirty = append(h.dirty, c.At)
	} else {
		delete(h.owners, c.At)
	}
	close(h.settled)
	h.settled = make(chan struct{})
}

// settle waits until nothing of a unit is to be published.
func (h *Heartbeater) settle(ctx context.Context, k crux.UnitKey) {
	for {
		h.mu.Lock()
		waiting := slices.ContainsFunc(h.dirty, func(at Endpoint) bool { return h.owners[at] == k })
		settled := h.settled
		h.mu.Unlock()
		if !waiting {
			return
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return
		}
	}
}
