package picket

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"fulcrum.example/crux"
)

// routine is a built-in that runs as a goroutine of fulcrum.
type routine struct {
	p     *Picket
	u     *unit
	asked chan bool // the routine's quit
	once  sync.Once
	ended chan struct{}
	why   error // written before ended is closed
}

// beginRoutine starts a built-in and the sink of its heartbeats.
func (p *Picket) beginRoutine(u *unit, dir string) (instance, error) {
	p.mu.Lock()
	svc, ok := p.builtins[u.Func]
	p.mu.Unlock()
	if !ok {
		return nil, crux.Errorf("start "+string(u.Inst), crux.NotFound, "this fulcrum has no built-in %q", u.Func)
	}
	k := u.Key()
	p.beats.Join(k)
	r := &routine{p: p, u: u, asked: make(chan bool), ended: make(chan struct{})}
	alive := make(chan []crux.Fservice)
	n := &network{
		Confab: p.cfg.Confab, p: p, unit: u.Unit, dir: dir,
		keys: p.cfg.KeysFor(string(u.Inst), u.Horde),
		log:  p.cfg.Log.With("service", string(u.Inst)),
	}
	go func() {
		defer close(r.ended)
		over := make(chan struct{})
		var sink sync.WaitGroup
		sink.Go(func() { p.hear(k, alive, over) })
		r.run(svc, alive, n)
		close(over)
		sink.Wait()
	}()
	p.cfg.Log.Info("a built-in is started", "inst", u.Inst, "horde", u.Horde)
	return r, nil
}

// hear is the sink of a built-in's heartbeats.
func (p *Picket) hear(k crux.UnitKey, alive <-chan []crux.Fservice, over <-chan struct{}) {
	for {
		select {
		case b := <-alive:
			p.beats.Beat(k, b)
		case <-over:
			return
		}
	}
}

// run calls the routine and notes how it ended.
func (r *routine) run(svc crux.Service, alive chan<- []crux.Fservice, n crux.Node) {
	defer func() {
		if p := recover(); p != nil {
			r.p.cfg.Log.Error("a built-in panicked", "inst", r.u.Inst, "panic", p, "stack", string(debug.Stack()))
			r.why = crux.Errorf(string(r.u.Inst), crux.Internal, "it panicked: %s", fmt.Sprint(p))
		}
	}()
	svc(r.asked, alive, n)
	select {
	case <-r.asked:
	default:
		r.why = crux.Errorf(string(r.u.Inst), crux.Internal, "it ended without being asked to")
	}
}

func (r *routine) pid() int              { return 0 }
func (r *routine) done() <-chan struct{} { return r.ended }
func (r *routine) err() error            { return r.why }
func (r *routine) quit(time.Time)        { r.once.Do(func() { close(r.asked) }) }
func (r *routine) signal(syscall.Signal) {}
func (r *routine) release()              {}

// network is the node as a built-in sees it. It implements crux.Node.
type network struct {
	crux.Confab
	p    *Picket
	unit crux.Unit
	dir  string
	keys crux.Keys
	log  *slog.Logger
}

var _ crux.Node = (*network)(nil)

func (n *network) ID() crux.NodeID         { return n.p.cfg.ID }
func (n *network) Service() string         { return string(n.unit.Inst) }
func (n *network) Horde() crux.Horde       { return n.unit.Horde }
func (n *network) Registry() crux.Registry { return n.p.cfg.Registry }
func (n *network) Keys() crux.Keys         { return n.keys }
func (n *network) Members() crux.Members   { return n.p.cfg.Members }
func (n *network) Dir() string             { return n.dir }
func (n *network) Log() *slog.Logger       { return n.log }
