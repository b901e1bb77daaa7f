package pastiche

import (
	"context"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/plan"
)

// arbiter drives a plan.Table: it serialises access and hands each request its
// newest advice.
type arbiter struct {
	clock crux.Clock

	mu    sync.Mutex
	table *plan.Table
	last  plan.Ticket
	boxes map[plan.Ticket]chan plan.Effect // capacity 1, newest wins
}

func newArbiter(t *plan.Table, c crux.Clock) *arbiter {
	return &arbiter{clock: c, table: t, boxes: make(map[plan.Ticket]chan plan.Effect)}
}

// tick looks for silent readers until ctx ends.
func (a *arbiter) tick(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.clock.After(time.Second):
			a.do(a.table.Tick)
		}
	}
}

// do runs one step of the table and delivers what it says.
func (a *arbiter) do(step func(now time.Time) []plan.Effect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deliver(step(a.clock.Now()))
}

func (a *arbiter) deliver(effects []plan.Effect) {
	for _, e := range effects {
		box, ok := a.boxes[e.To]
		if !ok {
			continue
		}
		select {
		case <-box: // an older advice that nobody took
		default:
		}
		box <- e
	}
}

// open begins a request; its advice comes on the channel.
func (a *arbiter) open(sum crux.Checksum, node crux.NodeID) (plan.Ticket, <-chan plan.Effect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	t, box := a.last, make(chan plan.Effect, 1)
	a.boxes[t] = box
	a.deliver(a.table.Want(a.clock.Now(), t, sum, node))
	return t, box
}

// close ends a request, as left when nothing else was said of it.
func (a *arbiter) close(t plan.Ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.boxes, t)
	a.deliver(a.table.Leave(a.clock.Now(), t))
}

// news is what a requester tells its arbiter. One field is set.
type news struct {
	progress, done, failed bool
	missed                 []crux.NodeID
}

func (a *arbiter) tell(t plan.Ticket, n news) {
	a.do(func(now time.Time) []plan.Effect {
		switch {
		case n.done:
			return a.table.Done(now, t)
		case n.failed:
			return a.table.Failed(now, t)
		case len(n.missed) > 0:
			return a.table.Missed(now, t, n.missed)
		case n.progress:
			return a.table.Progress(now, t)
		}
		return nil
	})
}

// holds notes that a node has an artifact.
func (a *arbiter) holds(sum crux.Checksum, node crux.NodeID) {
	a.do(func(now time.Time) []plan.Effect { return a.table.Holds(now, sum, node) })
}
