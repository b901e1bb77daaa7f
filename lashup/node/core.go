package node

import (
	"context"
	"math"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/packet"
)

const (
	// never is a time that does not come.
	never = time.Duration(math.MaxInt64)
	// minWait keeps a machine that always has something to do from keeping the
	// processor to itself.
	minWait = time.Millisecond
	// lateAfter is how late a timer is that is counted.
	lateAfter = 40 * time.Millisecond
)

// core is the machine and what belongs to it. Whoever has something for it enters:
// the reader of datagrams, that of a link, a call of the API, the timer. So a ping
// is answered by the goroutine that has read it, and wakes no other: where many
// processes share a processor, that is most of what an idle fabric costs.
type core struct {
	n  *Node
	mu sync.Mutex // guards the rest
	m  *fabric.Machine

	live  map[*link]struct{} // all that are read, those that another has replaced, too
	dials map[crux.NodeID]*dialing
	// deferred calls the machine after what it has asked for is done.
	deferred []func(*core)

	token  uint64
	checks map[uint64]chan<- detect.Result
	probes int // under way
	saving bool

	isolated bool
	since    map[crux.NodeID]time.Time // of changes of state
	view     *View                     // nil: to be made again

	buf    []byte
	timer  *timer
	due    time.Duration // when it fires; never: it has
	thawed chan struct{} // not nil: the node is frozen until it is closed
	over   bool          // the node has ended
}

// dialing is a dial that is under way.
type dialing struct{ cancel context.CancelFunc }

func newCore(n *Node, m *fabric.Machine) (*core, error) {
	t, err := newTimer()
	if err != nil {
		return nil, err
	}
	return &core{
		n: n, m: m, live: make(map[*link]struct{}), dials: make(map[crux.NodeID]*dialing),
		checks: make(map[uint64]chan<- detect.Result), since: make(map[crux.NodeID]time.Time),
		buf: make([]byte, packet.MaxPacket), timer: t, due: never,
	}, nil
}

// enter has the machine to itself while f runs, which must wait for nothing; false:
// the node has ended, and f was not called.
func (c *core) enter(f func(*core)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	f(c)
	c.arm()
	return true
}

// start sets the machine going. former are the links of the process before.
func (c *core) start(former []formerLink) {
	if c.n.cfg.State == nil {
		c.apply(c.m.Start(c.n.now()))
	}
	c.apply(c.m.Members(c.n.now(), c.n.people.Load().list))
	c.recall(former)
}

// tickOn is the goroutine that calls the machine when it wants to be.
func (c *core) tickOn() {
	for c.timer.next() {
		c.enter((*core).tick)
	}
}

// arm sees to it that the timer fires when the machine wants it to, and not much
// earlier: most timers are for answers that do come.
func (c *core) arm() {
	next := c.m.NextTick()
	if c.thawed != nil || c.due <= next && next-c.due < minWait {
		return
	}
	if next == never {
		c.due = never
		c.timer.set(never)
		return
	}
	now := c.n.now()
	wait := max(minWait, next-now)
	c.due = now + wait
	c.timer.set(wait)
}

func (c *core) tick() {
	now := c.n.now()
	if late := now - c.due; late > lateAfter {
		c.n.stats.late.Add(1)
	}
	c.due = never // it has fired
	if c.thawed != nil {
		return
	}
	c.apply(c.m.Tick(now))
}

// later has f called when what the machine has asked for is done.
func (c *core) later(f func(*core)) { c.deferred = append(c.deferred, f) }

// awake has f called when the machine does not stand still: at once, or by Thaw.
func (c *core) awake(f func(*core)) {
	if c.thawed != nil {
		c.later(f)
		return
	}
	f(c)
}

// apply carries out what the machine asks for, and then what follows from it.
func (c *core) apply(r fabric.Ready) {
	c.carryOut(&r)
	for len(c.deferred) > 0 {
		f := c.deferred[0]
		c.deferred = c.deferred[1:]
		f(c)
	}
}

func (c *core) carryOut(r *fabric.Ready) {
	for _, a := range r.Updated {
		c.n.learn(a.Card)
		c.view = nil
	}
	for i := range r.Frames {
		c.push(r.Frames[i].To, r.Frames[i].Msg)
	}
	for i := range r.Datagrams {
		c.datagram(r.Datagrams[i].To, r.Datagrams[i].Msg)
	}
	for _, id := range r.Close {
		c.closeLinks(id)
	}
	for _, id := range r.Dial {
		c.dial(id)
	}
	for _, id := range r.Probes {
		c.startProbe(id)
	}
	for _, d := range r.Delivered {
		c.n.cfg.Sink.Delivered(d)
	}
	for _, o := range r.Opaque {
		c.n.cfg.Sink.Received(o.From, o.Msg)
	}
	for i := range r.Results {
		c.result(&r.Results[i])
	}
	c.tell(r)
}

// tell passes on what has changed.
func (c *core) tell(r *fabric.Ready) {
	if len(r.Events) > 0 {
		t := c.n.cfg.Clock.Now()
		for i := range r.Events {
			c.since[r.Events[i].Node] = t
		}
	}
	if r.NeighboursChanged {
		c.n.cfg.Sink.Neighbours(r.Neighbours)
	}
	if r.Isolated != nil && c.isolated != *r.Isolated {
		c.isolated = *r.Isolated
		c.n.log.Warn("the fabric's reach has changed", "isolated", c.isolated)
	}
	if len(r.Events) > 0 || r.NeighboursChanged || r.Isolated != nil {
		c.change()
	}
	if r.Superseded != 0 {
		c.n.supersede(r.Superseded)
	}
	if r.Save {
		c.save()
	}
}

// change tells those who follow the members.
func (c *core) change() {
	c.view = nil
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	close(c.n.changed)
	c.n.changed = make(chan struct{})
}

// datagram seals a message and sends it.
func (c *core) datagram(to crux.NodeID, m fabric.Message) {
	p, at, err := c.n.pairs.Seal(m.Append(c.buf[:packet.Headroom]), to)
	if err != nil {
		c.n.stats.unsealed.Add(1)
		return
	}
	c.n.send(p, at)
}

// push queues a message for the link to a peer. Multicasts that there is no room
// for are announced later; a link that has none for the rest is of no use.
func (c *core) push(to crux.NodeID, m fabric.Message) {
	l := c.n.links[to]
	_, bulk := m.(*cast.Push)
	switch {
	case l == nil:
		c.n.stats.unlinked.Add(1)
	case l.queue.Push(m, bulk):
	case bulk:
		c.n.stats.held.Add(1)
	default:
		c.n.stats.overflowed.Add(1)
		c.n.log.Info("a neighbour does not read; its link is cut", "peer", to)
		l.conn.Abort() // its reader tells of the end
	}
}

// save keeps the nodes that are worth trying after a restart.
func (c *core) save() {
	if c.saving {
		return // soon again
	}
	list := c.m.Saved()
	c.saving = c.n.spawn(func() {
		if err := c.n.cfg.Save(list); err != nil {
			c.n.log.Warn("the fabric's neighbours could not be kept", "why", err)
		}
		c.n.core.enter(func(c *core) { c.saving = false })
	})
}

// end leaves the fabric, unless it was handed over, and ends the links. Nobody
// enters any more.
func (c *core) end() {
	if c.thawed == nil {
		c.apply(c.m.Leave(c.n.now()))
	}
	c.over = true
	c.n.answering.Store(true)
	c.timer.close()
	for _, d := range c.dials {
		d.cancel()
	}
	for l := range c.live {
		l.close()
	}
}
