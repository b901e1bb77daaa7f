package fabric

import (
	"math"
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// Machine is one node's fabric. Its state is divided by subject, each in the
// file of that name.
type Machine struct {
	cfg     Config
	id      crux.NodeID
	rand    *rand.Rand
	now     time.Duration
	started time.Duration // when Start was called; before all times: it went on from another
	due     time.Duration // when the next Tick was asked for
	at      dues
	out     Ready

	overlay *overlay.Machine
	detect  *detect.Machine
	table   *route.Table
	gossip  *route.Gossip
	healer  *route.Healer
	cast    *cast.Cast

	// links.go, in sync with the overlay by sync.go.
	links  map[crux.NodeID]*link
	dirty  bool          // links or active neighbours have changed
	edges  []crux.NodeID // active neighbours with a link, or with a broken one; ascending
	peers  []crux.NodeID // those with a link; ascending
	mendAt time.Duration

	// members.go
	members *Members // nil: the flock has not said yet
	evicted map[crux.NodeID]struct{}

	// publish.go: what this node says of itself.
	own       *route.Adjacency
	clock     uint64
	cuts      []cut // oldest first
	news      bool  // something but the edges has changed
	urgent    bool  // and must be told at once
	leaving   bool
	published time.Duration
	publishAt time.Duration

	// doubt.go: checks of this machine's own.
	asked map[uint64]crux.NodeID // by token
	token uint64
	askAt time.Duration

	// heal.go
	back   []returning
	backAt time.Duration
	fallen map[crux.NodeID]struct{} // members that were up and are not

	saveAt   time.Duration
	saveSoon bool
	stats    Stats
}

// Stats counts what happened. It only grows.
type Stats struct {
	Verdicts uint64 // neighbours that were found dead, hung or out of reach
	Accused  uint64 // verdicts on this node that it heard of
	Lost     uint64 // links to neighbours that broke
	Mended   uint64 // of these, made anew
	Refused  uint64 // adjacencies of its own that were not accepted
}

// New makes a machine. cfg must be complete.
func New(cfg Config, now time.Duration) *Machine {
	m := newMachine(cfg, now)
	m.table = route.New(m.id, cfg.Index, cfg.Cache)
	m.assemble(now)
	return m
}

// Resume makes a machine that begins in the middle: table holds everybody's rows,
// this node's own, too, and the links that it has already are about to be told
// by LinkUp. It is for simulations of formed overlays. Start is not called.
func Resume(cfg Config, table *route.Table, list *Members, now time.Duration) *Machine {
	m := newMachine(cfg, now)
	m.table, m.members = table, list
	m.assemble(now)
	m.own = table.Get(m.id)
	m.clock, m.published = m.own.Clock, now
	m.healer.Contacts(now, list.contacts)
	m.at.healer = m.healer.NextTick()
	return m
}

func newMachine(cfg Config, now time.Duration) *Machine {
	id := cfg.Card.Node
	return &Machine{
		cfg: cfg, id: id, rand: cfg.Rand, now: now, started: now - startFor, due: never, clock: cfg.Clock,
		own:   &route.Adjacency{Node: id, Epoch: cfg.Card.Epoch, Card: cfg.Card},
		links: map[crux.NodeID]*link{}, evicted: map[crux.NodeID]struct{}{}, fallen: map[crux.NodeID]struct{}{}, mendAt: never, published: now - publishGap, publishAt: never,
		asked: map[uint64]crux.NodeID{}, askAt: never, backAt: never, saveAt: now + saveFirst,
	}
}

// assemble makes the parts, around the table.
func (m *Machine) assemble(now time.Duration) {
	cfg := &m.cfg
	if cfg.Cast == (cast.Params{}) {
		cfg.Cast = cast.DefaultParams()
	}
	m.overlay = overlay.New(overlay.Config{Self: m.id, Rand: m.rand, Params: cfg.Overlay}, now)
	m.detect = detect.New(detect.Config{Self: m.id, Rand: m.rand, Params: cfg.Detect, Witnesses: m.witnesses}, now)
	m.gossip = route.NewGossip(route.GossipConfig{Table: m.table, Rand: m.rand, Allowed: m.allowed, Verify: cfg.Verify}, now)
	m.healer = route.NewHealer(m.table, m.rand, now)
	m.cast = cast.New(cast.Config{
		Self: m.id, Epoch: cfg.Card.Epoch, Seq: cfg.CastSeq, Rand: m.rand, Table: m.table, Params: cfg.Cast,
		Sign: cfg.SignCast, Verify: cfg.VerifyCast, Room: cfg.Room,
	}, now)
	m.at = dues{
		m.detect.NextTick(), m.overlay.NextTick(), m.gossip.NextTick(), m.cast.NextTick(), m.healer.NextTick(), m.table.NextSettle(),
	}
}

// Start publishes the first adjacency and looks for the nodes that were saved.
func (m *Machine) Start(now time.Duration) Ready {
	m.begin(now)
	m.started = m.now
	m.overlaid(m.overlay.Known(m.now, m.cfg.Saved))
	m.news, m.urgent = true, true
	return m.end()
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready {
	m.begin(now)
	return m.end()
}

// NextTick is when Tick is to be called, if nothing happens before.
func (m *Machine) NextTick() time.Duration { return m.due }

// begin opens a step.
func (m *Machine) begin(now time.Duration) {
	m.now = max(m.now, now)
	o := &m.out
	m.out = Ready{
		Close: o.Close[:0], Dial: o.Dial[:0], Frames: o.Frames[:0], Datagrams: o.Datagrams[:0], Probes: o.Probes[:0],
		Events: o.Events[:0], Delivered: o.Delivered[:0], Opaque: o.Opaque[:0], Results: o.Results[:0], Updated: o.Updated[:0],
	}
}

// end closes a step: it runs the timers that are due, lets each part hear what
// the others did, again if that makes something due, and says what follows.
func (m *Machine) end() Ready {
	for range 4 {
		m.timers()
		m.sync()
		m.review()
		m.settle()
		if m.due = m.nextDue(); m.due > m.now {
			break
		}
	}
	if m.saveSoon && m.now >= m.saveAt {
		m.saveSoon, m.saveAt = false, m.now+saveEvery
		m.out.Save = true
	}
	return m.out
}

// dues is when each part wants to be called. They are asked after each call of
// theirs, and not at every step: most steps concern one part only.
type dues struct{ detect, overlay, gossip, cast, healer, table time.Duration }

func (m *Machine) timers() {
	now := m.now
	if now >= m.at.detect {
		m.detected(m.detect.Tick(now))
	}
	if now >= m.at.overlay {
		m.overlaid(m.overlay.Tick(now))
	}
	if now >= m.at.gossip {
		m.gossiped(m.gossip.Tick(now))
	}
	if now >= m.at.cast {
		m.multicast(m.cast.Tick(now))
	}
	if now >= m.at.healer {
		m.heal()
	}
	if now >= m.mendAt {
		m.mend()
	}
	if now >= m.askAt {
		m.ask()
	}
	if now >= m.backAt {
		m.takeBack()
	}
}

func (m *Machine) nextDue() time.Duration {
	return min(m.at.detect, m.at.overlay, m.at.gossip, m.at.cast, m.at.healer, m.at.table,
		m.publishAt, m.mendAt, m.askAt, m.backAt)
}

// settle turns changes of the table into events.
func (m *Machine) settle() {
	if m.now < m.at.table {
		return
	}
	ev := m.table.Settle(m.now)
	m.at.table = m.table.NextSettle()
	if len(ev) == 0 {
		return
	}
	m.out.Events = append(m.out.Events, ev...)
	lost := false
	for i := range ev {
		switch ev[i].To {
		case route.Down:
			lost = lost || ev[i].Why != route.Left
			if ev[i].From == route.Up {
				m.fallen[ev[i].Node] = struct{}{}
			}
		case route.Up:
			delete(m.fallen, ev[i].Node)
			m.overlaid(m.overlay.Allow(m.now, ev[i].Node))
		}
	}
	if lost {
		m.healer.Lost(m.now)
		m.at.healer = m.healer.NextTick()
	}
}
