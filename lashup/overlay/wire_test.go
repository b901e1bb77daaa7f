package overlay

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// wires is a network of which the test chooses every step: which message is
// delivered next, which dial comes through, what breaks. Messages of one
// connection stay in order, and nothing else does.
type wires struct {
	now   time.Duration
	ends  []*end
	conns []*wire
	err   error
	seed  uint64
	p     Params
}

// end is a node with its driver.
type end struct {
	n    int
	id   crux.NodeID
	m    *Machine
	link map[crux.NodeID]*wire
	dial map[crux.NodeID]bool // that has neither come through nor failed
}

// wire is a connection. Side 0 dialled.
type wire struct {
	ends  [2]*end
	queue [2][]Message // to that side
	open  [2]bool      // that side has it, and has not closed it
	seen  [2]bool      // that side knows that it is up
	lives [2]*Machine
	torn  bool // it broke: either side will notice
}

func newWires(n int, seed uint64, p Params) *wires {
	w := &wires{seed: seed, p: p}
	for i := range n {
		e := &end{n: i, id: nodeID(i)}
		w.ends = append(w.ends, e)
		w.boot(e)
	}
	return w
}

// boot begins a new process; the connections of the former one break.
func (w *wires) boot(e *end) {
	for _, c := range w.conns {
		for s := range 2 {
			if c.ends[s] == e {
				c.open[s] = false
			}
		}
	}
	w.seed++
	e.link, e.dial = map[crux.NodeID]*wire{}, map[crux.NodeID]bool{}
	e.m = New(Config{Self: e.id, Rand: rand.New(rand.NewPCG(w.seed, 3)), Params: w.p}, w.now)
	var all []crux.NodeID
	for i := range w.ends {
		all = append(all, nodeID(i))
	}
	w.do(e, e.m.Contacts(w.now, all))
}

func (w *wires) end(id crux.NodeID) *end { return w.ends[binary.BigEndian.Uint64(id[:])-1] }

func (c *wire) side(e *end) int {
	if c.ends[0] == e {
		return 0
	}
	return 1
}

func (w *wires) do(e *end, r Ready) {
	for _, s := range r.Sends {
		c := e.link[s.To]
		if c == nil {
			w.fail("%d sends %T to %s without a link", e.n, s.Msg, s.To)
			continue
		}
		to := 1 - c.side(e)
		c.queue[to] = append(c.queue[to], s.Msg)
	}
	for _, id := range r.Close {
		if c := e.link[id]; c != nil {
			c.open[c.side(e)] = false
		}
		delete(e.link, id)
		delete(e.dial, id)
	}
	for _, id := range r.Dial {
		if e.link[id] != nil {
			w.fail("%d dials %s, to which there is a link", e.n, id)
		}
		e.dial[id] = true
	}
	if why := e.m.Flaw(); why != "" {
		w.fail("%d: %s", e.n, why)
	}
}

func (w *wires) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// dials are those under way.
func (w *wires) dials() (out [][2]*end) {
	for _, e := range w.ends {
		for _, o := range w.ends {
			if e.dial[o.id] {
				out = append(out, [2]*end{e, o})
			}
		}
	}
	return out
}

// connect lets a dial come through. Either side learns of it in a step of its own.
func (w *wires) connect(from, to *end) {
	c := &wire{ends: [2]*end{from, to}, open: [2]bool{true, true}, lives: [2]*Machine{from.m, to.m}}
	w.conns = append(w.conns, c)
	delete(from.dial, to.id)
	w.rise(c, 0)
}

// rise tells one side that a connection is up.
func (w *wires) rise(c *wire, side int) {
	e, peer := c.ends[side], c.ends[1-side].id
	c.seen[side] = true
	old, dialled := e.link[peer], side == 0
	if old != nil {
		if old.side(e) != side && !Wins(e.id, peer, dialled) {
			c.open[side] = false
			return
		}
		old.open[old.side(e)] = false
	}
	e.link[peer] = c
	w.do(e, e.m.LinkUp(w.now, peer, dialled))
}

// steps are all things that the net could do next: one for each side of each
// connection.
func (w *wires) steps() (out []func()) {
	w.conns = slices.DeleteFunc(w.conns, func(c *wire) bool { return !c.open[0] && !c.open[1] })
	for _, c := range w.conns {
		for s := range 2 {
			if !c.open[s] || c.ends[s].m != c.lives[s] {
				continue
			}
			switch {
			case !c.seen[s]:
				out = append(out, func() { w.rise(c, s) })
			case len(c.queue[s]) > 0:
				out = append(out, func() { w.deliver(c, s) })
			case c.torn || !c.open[1-s]:
				out = append(out, func() { w.fall(c, s) })
			}
		}
	}
	return out
}

func (w *wires) deliver(c *wire, s int) {
	msg := c.queue[s][0]
	c.queue[s] = c.queue[s][1:]
	e, peer := c.ends[s], c.ends[1-s].id
	if e.link[peer] == c {
		w.do(e, e.m.Receive(w.now, peer, msg))
	}
}

// fall tells a side that the other one has closed, or that it broke.
func (w *wires) fall(c *wire, s int) {
	c.open[s] = false
	e, peer := c.ends[s], c.ends[1-s].id
	if e.link[peer] == c {
		delete(e.link, peer)
		w.do(e, e.m.LinkDown(w.now, peer))
	}
}

// wind puts the clock forward to the next tick, or by a time.
func (w *wires) wind(d time.Duration) {
	w.now += d
	for _, e := range w.ends {
		if e.m.NextTick() <= w.now {
			w.do(e, e.m.Tick(w.now))
		}
	}
}

// settle lets everything arrive, and time pass, until no handshake is under way.
func (w *wires) settle(choose func(n int) int) bool {
	for range 2000 {
		for {
			steps := w.steps()
			if len(steps) == 0 || w.err != nil {
				break
			}
			steps[choose(len(steps))]()
		}
		for _, d := range w.dials() {
			w.connect(d[0], d[1])
		}
		if w.err != nil || len(w.steps()) == 0 && w.idle() {
			return true
		}
		w.wind(50 * time.Millisecond)
	}
	return false
}

func (w *wires) idle() bool {
	for _, e := range w.ends {
		if e.m.pending()+e.m.count(incoming) > 0 {
			return false
		}
	}
	return true
}

// agree says whether both ends of each link know what it is.
func (w *wires) agree() error {
	for _, e := range w.ends {
		for _, id := range e.m.Active() {
			if !slices.Contains(w.end(id).m.Active(), e.id) {
				return fmt.Errorf("%d has %s as a neighbour, and is not its", e.n, id)
			}
			if e.link[id] == nil || e.link[id] != w.end(id).link[e.id] {
				return fmt.Errorf("%d and %s do not mean the same link", e.n, id)
			}
		}
		if len(e.link) != len(e.m.Active()) {
			return fmt.Errorf("%d has %d links and %d neighbours", e.n, len(e.link), len(e.m.Active()))
		}
	}
	return nil
}

// tear breaks a connection; what was under way to one of the sides is lost.
func (c *wire) tear(side int) {
	c.torn = true
	c.queue[side] = nil
}
