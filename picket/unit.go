package picket

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"fulcrum.example/crux"
)

// The states of a unit, as UnitStatus has them.
const (
	starting = "starting"
	serving  = "serving"
	backoff  = "backoff"
	draining = "draining"
	failed   = "failed"
)

// instance is one running of a unit: a child process or a routine in here.
type instance interface {
	pid() int
	done() <-chan struct{}
	// err says why it ended, after done.
	err() error
	// quit asks it to end before the deadline.
	quit(deadline time.Time)
	// signal reaches processes only.
	signal(s syscall.Signal)
	// release stops watching it. A child lives on; a routine must have ended.
	release()
}

// unit is one unit and the life it leads.
type unit struct {
	crux.Unit
	p *Picket

	stopping chan struct{} // closed when it is to end for good
	stopOnce sync.Once
	gone     chan struct{} // closed when its goroutine has ended

	begun bool // it ran before; owned by live
	tries int  // ends in a row; owned by live

	recordMu sync.Mutex
	unsaved  *record // of the child that runs, when the disk did not take it

	mu       sync.Mutex
	state    string
	since    time.Time
	nowPID   int
	restarts int
	why      string
	adopted  bool // an adoption that AdoptionDone waits for
}

func newUnit(p *Picket, u crux.Unit) *unit {
	return &unit{
		Unit: u, p: p, stopping: make(chan struct{}), gone: make(chan struct{}),
		state: starting, since: p.cfg.Clock.Now(),
	}
}

func (u *unit) stop() { u.stopOnce.Do(func() { close(u.stopping) }) }

func (u *unit) isStopping() bool {
	select {
	case <-u.stopping:
		return true
	default:
		return false
	}
}

func (u *unit) report() crux.UnitStatus {
	u.mu.Lock()
	defer u.mu.Unlock()
	return crux.UnitStatus{Unit: u.Unit, State: u.state, PID: u.nowPID, Restarts: u.restarts, Since: u.since, Error: u.why}
}

// set notes the state and tells watchers.
func (u *unit) set(state string, pid int) {
	u.mu.Lock()
	u.state, u.nowPID, u.since = state, pid, u.p.cfg.Clock.Now()
	u.mu.Unlock()
	u.p.notify()
}

// blame notes in one line why the unit ended or does not start; nil: all is well.
func (u *unit) blame(err error) {
	line := ""
	if err != nil {
		line = strings.Join(strings.Fields(err.Error()), " ")
	}
	u.mu.Lock()
	u.why = line
	u.mu.Unlock()
}

// verdict is why watching an instance came to an end.
type verdict uint8

const (
	ended   verdict = iota // the instance is gone
	hung                   // it lives and does not beat
	stopped                // the unit is to end
	left                   // picket closes
)

// live is the unit's life. in is the child that lives already, or nil.
func (u *unit) live(ctx context.Context, in instance) {
	defer close(u.gone)
	defer u.settleAdoption()
	startCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	unhook := u.p.onStop(u, cancel)
	defer unhook()
	patience := u.p.cfg.AdoptPatience
	for {
		if in == nil {
			u.settleAdoption() // there is nobody to wait for
			in = u.begin(startCtx)
			patience = u.p.cfg.StartDeadline
		}
		if in != nil {
			if over := u.follow(ctx, in, patience); over {
				return
			}
			in = nil
		}
		u.settleAdoption()
		if !u.pause(ctx) {
			break
		}
	}
	if u.isStopping() {
		u.bury()
	}
}

// begin starts an instance; nil if that fails.
func (u *unit) begin(ctx context.Context) instance {
	if u.isStopping() || ctx.Err() != nil {
		return nil
	}
	u.set(starting, 0)
	restarts := u.restarts
	if u.begun {
		restarts++
	}
	in, err := u.p.begin(ctx, u, restarts)
	if err != nil {
		if ctx.Err() == nil {
			u.p.cfg.Log.Warn("a unit does not start", "inst", u.Inst, "horde", u.Horde, "why", err)
			u.blame(err)
			u.set(failed, 0)
		}
		return nil
	}
	u.begun = true
	u.mu.Lock()
	u.restarts = restarts
	u.mu.Unlock()
	u.set(starting, in.pid())
	return in
}

// follow watches an instance to its end. True: the unit's life is over.
func (u *unit) follow(ctx context.Context, in instance, patience time.Duration) bool {
	v, err := u.watch(ctx, in, patience)
	switch v {
	case left:
		u.leave(in)
		return true
	case stopped:
		return u.end(ctx, in)
	case hung:
		u.p.cfg.Log.Warn("a unit is hung and is replaced", "inst", u.Inst, "horde", u.Horde, "pid", in.pid(), "why", err)
		u.blame(err)
		u.set(failed, in.pid())
		if !u.terminate(ctx, in, u.p.cfg.KillAfter/4) {
			u.leave(in)
			return true
		}
	case ended:
		u.p.cfg.Log.Warn("a unit ended and is started again", "inst", u.Inst, "horde", u.Horde, "pid", in.pid(), "why", err)
		u.blame(err)
	}
	u.clear(in)
	u.set(backoff, 0)
	return u.isStopping() && u.bury()
}

// watch waits for beats, then for their end, or the instance's, or the unit's.
func (u *unit) watch(ctx context.Context, in instance, patience time.Duration) (verdict, error) {
	clock := u.p.cfg.Clock
	deadline := clock.After(patience)
	var stable <-chan time.Time
	beats := false
	for {
		live, missed, changed := u.p.beats.Count(u.Key())
		switch {
		case live > 0 && !beats:
			beats, deadline, stable = true, nil, clock.After(u.p.cfg.Stable)
			u.set(serving, in.pid())
			u.settleAdoption()
		case live == 0 && beats && missed > 0:
			return hung, crux.Errorf(string(u.Inst), crux.Timeout, "its heartbeats stopped")
		case live == 0 && beats: // by its own word: it ends, or begins anew
			beats, deadline, stable = false, clock.After(patience), nil
			u.set(starting, in.pid())
		}
		select {
		case <-in.done():
			return ended, in.err()
		case <-u.stopping:
			return stopped, nil
		case <-ctx.Done():
			return left, nil
		case <-deadline:
			return hung, crux.Errorf(string(u.Inst), crux.Timeout, "it sent no heartbeat within %v", patience)
		case <-stable:
			u.tries, stable = 0, nil
			u.blame(nil)
		case <-changed:
		}
	}
}

// pause waits before the next start; false: there is none.
func (u *unit) pause(ctx context.Context) bool {
	if u.isStopping() || ctx.Err() != nil {
		return false
	}
	d := min(u.p.cfg.MinBackoff<<min(u.tries, 20), u.p.cfg.MaxBackoff)
	if d <= 0 {
		d = u.p.cfg.MaxBackoff
	}
	u.tries++
	d = d*3/4 + rand.N(d/2+1)
	select {
	case <-u.p.cfg.Clock.After(d):
		return true
	case <-u.stopping:
	case <-ctx.Done():
	}
	return false
}

// settleAdoption tells AdoptionDone that nothing is to be waited for here.
func (u *unit) settleAdoption() {
	u.mu.Lock()
	was := u.adopted
	u.adopted = false
	u.mu.Unlock()
	if was {
		u.p.adoptionSettled()
	}
}
