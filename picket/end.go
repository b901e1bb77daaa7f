package picket

import (
	"context"
	"syscall"
	"time"

	"fulcrum.example/crux"
)

// registryPatience bounds how long the end of a unit waits for the registry.
const registryPatience = 5 * time.Second

// onStop has f called when u is to end; the result undoes that.
func (p *Picket) onStop(u *unit, f func()) (undo func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-u.stopping:
			f()
		case <-done:
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// end stops a unit in good order: Draining in the registry, time for clients to
// move, Quit, SIGTERM, SIGKILL. It returns true: the unit's life is over.
func (u *unit) end(ctx context.Context, in instance) bool {
	u.set(draining, in.pid())
	if live, _, _ := u.p.beats.Count(u.Key()); live > 0 {
		bounded, cancel := context.WithTimeout(ctx, registryPatience)
		u.p.beats.Draining(bounded, u.Key())
		cancel()
		select {
		case <-u.p.cfg.Clock.After(u.p.cfg.Drain):
		case <-in.done():
		case <-u.p.hurry:
		case <-ctx.Done():
		}
	}
	if !u.terminate(ctx, in, u.p.cfg.KillAfter) {
		u.leave(in)
		return true
	}
	u.clear(in)
	return u.bury()
}

// terminate asks an instance to quit within a time, and sees that it is gone
// shortly after. False: picket closes meanwhile, and the instance is still there.
func (u *unit) terminate(ctx context.Context, in instance, within time.Duration) bool {
	clock := u.p.cfg.Clock
	// All the time that it is told is its own. SIGTERM is for those that did not
	// hear Quit.
	in.quit(clock.Now().Add(within))
	term, kill := clock.After(within), clock.After(within+min(within/4, time.Second))
	hurry := u.p.hurry
	var given <-chan struct{} // a routine that does not end is given up with its unit
	for {
		select {
		case <-in.done():
			return true
		case <-ctx.Done():
			return false
		case <-term:
			in.signal(syscall.SIGTERM)
		case <-kill:
			u.p.cfg.Log.Warn("a unit did not quit in time", "inst", u.Inst, "horde", u.Horde, "pid", in.pid())
			in.signal(syscall.SIGKILL)
			if u.Kind == crux.Builtin {
				given = u.stopping
			}
		case <-hurry:
			hurry = nil
			in.signal(syscall.SIGKILL)
			if u.Kind == crux.Builtin {
				given = u.stopping
			}
		case <-given:
			u.p.cfg.Log.Error("a built-in does not end and is left behind", "inst", u.Inst, "horde", u.Horde)
			return true
		}
	}
}

// leave lets go of an instance because picket closes: a child lives on, a
// routine is asked to end.
func (u *unit) leave(in instance) {
	if u.Kind == crux.Builtin {
		in.quit(u.p.cfg.Clock.Now().Add(u.p.cfg.KillAfter))
		select {
		case <-in.done():
		case <-u.p.hurry:
		case <-u.p.cfg.Clock.After(u.p.cfg.KillAfter):
			u.p.cfg.Log.Error("a built-in does not end and is left behind", "inst", u.Inst)
		}
	}
	in.release()
}

// clear removes what an instance that ended leaves: its socket and its rows.
func (u *unit) clear(in instance) {
	in.release()
	ctx, cancel := context.WithTimeout(context.Background(), registryPatience)
	defer cancel()
	u.p.beats.Leave(ctx, u.Key())
}

// bury ends the unit for good. It returns true.
func (u *unit) bury() bool {
	if u.Kind != crux.Builtin {
		u.p.dropRecord(u)
	}
	u.p.remove(u)
	u.p.cfg.Log.Info("a unit is stopped", "inst", u.Inst, "horde", u.Horde)
	return true
}
