package picket

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"fulcrum.example/crux"
	"fulcrum.example/picket/heartbeat"
	"fulcrum.example/picket/run"
)

// Picket runs units. Close or Shutdown it.
type Picket struct {
	cfg   Config
	beats *heartbeat.Heartbeater

	mu       sync.Mutex
	units    map[crux.UnitKey]*unit
	builtins map[string]crux.Service
	watchers map[chan struct{}]struct{}
	closing  bool

	children   sync.WaitGroup
	routines   sync.WaitGroup
	spawnChild func(func(context.Context)) // on a context that ends with Close
	spawnOwn   func(func(context.Context)) // the same for built-ins, which end last
	endChild   context.CancelFunc
	endOwn     context.CancelFunc
	hurry      chan struct{} // closed when stopping takes too long
	hurryOnce  sync.Once
	closeOnce  sync.Once

	adopting     atomic.Int64
	adoptionDone chan struct{}
}

var _ crux.Runner = (*Picket)(nil)

// Open starts a Picket and takes up the children that an earlier one left. It
// does not wait for them; AdoptionDone tells.
func Open(cfg Config) (*Picket, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	for _, d := range []string{unitsDir, socketsDir, servicesDir, logsDir} {
		dir := filepath.Join(cfg.Dir, d)
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = os.Chmod(dir, 0o700) // one that was there may be open to others
		}
		if err != nil {
			return nil, crux.Errorf("open picket", crux.Unavailable, "%w", err)
		}
	}
	p := &Picket{
		cfg: cfg, units: make(map[crux.UnitKey]*unit), builtins: maps.Clone(cfg.Builtins),
		watchers: make(map[chan struct{}]struct{}), hurry: make(chan struct{}), adoptionDone: make(chan struct{}),
	}
	if p.builtins == nil {
		p.builtins = make(map[string]crux.Service)
	}
	p.beats = heartbeat.Open(heartbeat.Config{
		Rules:     heartbeat.Rules{IP: cfg.Confab.Addr().Addr(), MayServe: cfg.MayServe},
		Publisher: cfg.Publisher, Clock: cfg.Clock, Log: cfg.Log,
		Key: func(at heartbeat.Endpoint) (ed25519.PublicKey, uint32, error) {
			return cfg.EndpointKey(crux.Endpoint{Node: cfg.ID, Horde: at.Horde, Inst: at.Inst, NetID: at.NetID})
		},
	})
	childCtx, endChild := context.WithCancel(context.Background())
	ownCtx, endOwn := context.WithCancel(context.Background())
	p.endChild, p.endOwn = endChild, endOwn
	p.spawnChild = func(f func(context.Context)) { p.children.Go(func() { f(childCtx) }) }
	p.spawnOwn = func(f func(context.Context)) { p.routines.Go(func() { f(ownCtx) }) }
	cfg.Log.Info("picket is open", "confinement", run.Confinement())
	p.adoptAll()
	p.spawnOwn(p.tidy)
	return p, nil
}

// AddBuiltin makes one more built-in known by name; one of the same name is
// replaced from its next start on.
func (p *Picket) AddBuiltin(name string, svc crux.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.builtins[name] = svc
}

// AdoptionDone is closed once every child of an earlier fulcrum beats again, or
// was given up.
func (p *Picket) AdoptionDone() <-chan struct{} { return p.adoptionDone }

// Start makes a unit run; see crux.Runner. Errors: Invalid for a unit that is
// none, NotFound for an unknown built-in, Conflict if another unit runs under
// the same name (stop it first), Unavailable while it is being stopped or picket
// closes.
func (p *Picket) Start(_ context.Context, u crux.Unit) error {
	op := "start " + string(u.Inst)
	if err := check(u); err != nil {
		return crux.Wrap(op, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return crux.Errorf(op, crux.Unavailable, "this node is closing")
	}
	if old, ok := p.units[u.Key()]; ok {
		switch {
		case old.isStopping():
			return crux.Errorf(op, crux.Unavailable, "it is being stopped; try again when it is gone")
		case old.Unit != u:
			return crux.Errorf(op, crux.Conflict, "another %s runs (artifact %s, not %s): stop that one first", u.Inst, old.Checksum, u.Checksum)
		}
		return nil
	}
	if u.Kind == crux.Builtin {
		if _, ok := p.builtins[u.Func]; !ok {
			return crux.Errorf(op, crux.NotFound, "this fulcrum has no built-in %q", u.Func)
		}
	}
	p.addLocked(newUnit(p, u), nil)
	return nil
}

// check says whether u can be run at all.
func check(u crux.Unit) error {
	const op = "check unit"
	inst, err := crux.ParseInst(string(u.Inst))
	switch {
	case err != nil:
		return err
	case inst != u.Inst || u.API != inst.API():
		return crux.Errorf(op, crux.Invalid, "%q is not an instance of %q", u.Inst, u.API)
	case !crux.ValidName(string(u.Horde)):
		return crux.Errorf(op, crux.Invalid, "%q is not a horde", u.Horde)
	case u.Kind != crux.Builtin && u.Kind != crux.BuiltinChild && !u.Kind.HasArtifact():
		return crux.Errorf(op, crux.Invalid, "there is no kind %q: want builtin, builtin-child, executable or plugin", u.Kind)
	case u.Kind.HasArtifact() && u.Checksum.IsZero():
		return crux.Errorf(op, crux.Invalid, "it names no artifact")
	}
	return nil
}

// addLocked begins a unit's life, with the child that lives already, if any.
func (p *Picket) addLocked(u *unit, in instance) {
	p.units[u.Key()] = u
	spawn := p.spawnChild
	if u.Kind == crux.Builtin {
		spawn = p.spawnOwn
	}
	spawn(func(ctx context.Context) { u.live(ctx, in) })
	p.notifyLocked()
}

// Stop ends a unit; see crux.Runner. If ctx ends first, stopping goes on.
func (p *Picket) Stop(ctx context.Context, k crux.UnitKey) error {
	p.mu.Lock()
	u, ok := p.units[k]
	p.mu.Unlock()
	if !ok {
		return nil
	}
	u.stop()
	select {
	case <-u.gone:
		return nil
	case <-ctx.Done():
		return crux.Errorf("stop "+string(k.Inst), crux.KindOf(ctx.Err()), "it is not gone yet: %w", ctx.Err())
	}
}

// Units lists all units; see crux.Runner.
func (p *Picket) Units() []crux.UnitStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]crux.UnitStatus, 0, len(p.units))
	for _, u := range p.units {
		out = append(out, u.report())
	}
	slices.SortFunc(out, func(a, b crux.UnitStatus) int {
		return cmp.Or(cmp.Compare(a.Horde, b.Horde), a.Inst.Compare(b.Inst))
	})
	return out
}

// Watch tells of changes; see crux.Runner. The channel is closed when ctx ends.
func (p *Picket) Watch(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	c <- struct{}{}
	p.mu.Lock()
	p.watchers[c] = struct{}{}
	p.mu.Unlock()
	context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watchers, c)
		close(c)
	})
	return c
}

func (p *Picket) notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notifyLocked()
}

func (p *Picket) notifyLocked() {
	for c := range p.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Taken says whether a unit has the name, as its API or its instance: an
// attached client may not call itself so.
func (p *Picket) Taken(name string) bool {
	inst, err := crux.ParseInst(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.units {
		if string(k.Inst.API()) == name || err == nil && k.Inst == inst {
			return true
		}
	}
	return false
}

// PIDs lists the processes of this node's services.
func (p *Picket) PIDs() (out []int) {
	for _, u := range p.processes() {
		if pid := u.report().PID; pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}

// Refused counts the heartbeats that units had no right to send.
func (p *Picket) Refused() uint64 { return p.beats.Refused() }

// remove forgets a unit that is gone for good. While picket shuts down it stays
// in the list: dean, who ends last, would only try to start it again.
func (p *Picket) remove(u *unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		u.mu.Lock()
		u.nowPID = 0
		u.mu.Unlock()
	} else {
		delete(p.units, u.Key())
	}
	p.notifyLocked()
}

// Close stops watching and leaves the children running, for the next fulcrum to
// find; built-ins are stopped.
func (p *Picket) Close() error {
	p.closeOnce.Do(func() {
		p.mu.Lock()
		p.closing = true
		p.mu.Unlock()
		p.endChild()
		p.children.Wait()
		p.endOwn()
		p.routines.Wait()
		p.beats.Close()
	})
	return nil
}

// Shutdown drains and stops all units, the built-ins last, and closes. When ctx
// ends, what has not ended is killed; that is an error of kind Timeout.
func (p *Picket) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closing = true
	var children, builtins []*unit
	for _, u := range p.units {
		if u.Kind == crux.Builtin {
			builtins = append(builtins, u)
		} else {
			children = append(children, u)
		}
	}
	p.mu.Unlock()
	unhook := context.AfterFunc(ctx, func() { p.hurryOnce.Do(func() { close(p.hurry) }) })
	defer unhook()
	for _, some := range [][]*unit{children, builtins} {
		for _, u := range some {
			u.stop()
		}
		for _, u := range some {
			<-u.gone
		}
	}
	err := p.Close()
	if ctx.Err() != nil {
		err = errors.Join(err, crux.Errorf("shut down picket", crux.Timeout, "services did not end in time and were killed"))
	}
	return err
}
