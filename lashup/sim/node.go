package sim

import (
	"math/rand/v2"
	"net/netip"
	"time"

	confab "fulcrum.example/confab/sim"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
)

// What the wire adds to a message.
const (
	// sealed is what a datagram has beside it: UDP and IPv4 headers, the
	// packet's header, the tag.
	sealed = 28 + 52 + 16
	// record is a frame's length and TLS record; each segment has IPv4 and TCP
	// headers.
	record  = 29
	headers = 40
	maxData = 1400 // of a segment
)

// unanswered is when the driver gives a link up whose peer's kernel is silent.
const unanswered = 10 * time.Second

// parcel is what travels: a message, or a step of a handshake.
type parcel struct {
	msg                fabric.Message
	from, to           int32 // nodes
	fromEpoch, toEpoch uint32
	shake              shake
}

// tagOf mixes a parcel's kind and size into the trace.
func tagOf(p parcel) uint64 {
	if p.msg == nil {
		return uint64(p.shake)
	}
	return uint64(p.msg.Size())<<8 | 0xff
}

// Node is one fabric, its place on the network, and what its driver keeps.
type Node struct {
	World *World
	F     *fabric.Machine // nil: no process
	Place *confab.Node[parcel]
	Index int
	ID    crux.NodeID
	Epoch uint64

	addr     netip.AddrPort
	card     *route.Card
	rng      *rand.Rand
	links    []*link
	cards    map[crux.NodeID]*route.Card // of peers, by handshake
	near     []*route.Card               // what cardOf has found, until something changes
	greeting map[crux.NodeID]int         // Hellos sent without an answer
	saved    []crux.NodeID               // on its disk
	store    store

	// What check.go saw last.
	lastEpoch, lastClock uint64

	master   bool
	Isolated bool
	Left     bool
}

// Up says whether the node runs: a process, not suspended, that has not left.
func (nd *Node) Up() bool { return nd.F != nil && nd.Place.Up() && !nd.Left }

// Start brings the node up, as a new process with a new epoch.
func (nd *Node) Start() {
	now := nd.World.Net.Now()
	nd.boot()
	nd.F = fabric.New(nd.config(), now)
	nd.Place.Restart(nd)
	nd.bootStore(now)
	nd.apply(nd.F.Start(now))
	nd.apply(nd.F.Members(now, nd.World.flock()))
}

// boot prepares a new process.
func (nd *Node) boot() {
	nd.Epoch++
	nd.links, nd.near, nd.Left, nd.Isolated = nil, nil, false, false
	nd.cards, nd.greeting = map[crux.NodeID]*route.Card{}, map[crux.NodeID]int{}
	nd.card = &route.Card{Node: nd.ID, Epoch: nd.Epoch, Inst: "Lashup1_0", Addr: nd.addr, Link: nd.addr}
	nd.World.forgetUp(nd)
}

func (nd *Node) config() fabric.Config {
	return fabric.Config{
		Card: nd.card, Rand: nd.rng, Index: nd.World.index, Cache: nd.World.cache,
		Sign:       func(*route.Adjacency) {},
		Verify:     func(*route.Adjacency) bool { return true },
		SignCast:   func([]byte) (sig [64]byte) { return sig },
		VerifyCast: func(*route.Card, []byte, [64]byte) bool { return true },
		Saved:      nd.saved, Master: nd.master,
	}
}

// Kill ends the host, in silence.
func (nd *Node) Kill() { nd.end(); nd.Place.Crash() }

// Crash ends the process; the kernel closes its links.
func (nd *Node) Crash() { nd.end(); nd.Place.Kill() }

func (nd *Node) end() { nd.F, nd.links, nd.store.r = nil, nil, nil }

// Leave ends the process in order.
func (nd *Node) Leave() {
	nd.Do(func(now time.Duration, f *fabric.Machine) fabric.Ready { return f.Leave(now) })
	nd.Left = true
	nd.World.Net.At(nd.World.Net.Now()+50*time.Millisecond, func() {
		if nd.Left {
			nd.Crash()
		}
	})
}

// Do calls the fabric from outside the network.
func (nd *Node) Do(f func(now time.Duration, f *fabric.Machine) fabric.Ready) {
	nd.near = nd.near[:0]
	nd.apply(f(nd.World.Net.Now(), nd.F))
}

// Wake is called by the network.
func (nd *Node) Wake(now time.Duration) {
	if r := nd.store.r; r != nil && now >= nd.store.due {
		nd.stored(r.Tick(now))
	}
	if now >= nd.F.NextTick() {
		nd.apply(nd.F.Tick(now))
	}
	nd.wakeLater()
}

// Receive is called by the network, for datagrams.
func (nd *Node) Receive(now time.Duration, from netip.AddrPort, p parcel) {
	switch {
	case p.to != int32(nd.Index):
		// No key opens it.
	case p.shake == hello || p.shake == helloBack:
		nd.greeted(p)
	case uint64(p.toEpoch) == nd.Epoch && nd.epochOf(nd.World.Nodes[p.from].ID) == uint64(p.fromEpoch):
		nd.apply(nd.F.Datagram(now, nd.World.Nodes[p.from].ID, p.msg))
	}
}

// cardOf is the newest card of a peer that the node knows, or nil.
func (nd *Node) cardOf(id crux.NodeID) *route.Card {
	for i := range nd.near {
		if nd.near[i].Node == id {
			return nd.near[i]
		}
	}
	c := nd.look(id)
	if c != nil && len(nd.near) < mostNear {
		nd.near = append(nd.near, c)
	}
	return c
}

// mostNear is how many cards a node remembers to have looked up.
const mostNear = 12

func (nd *Node) look(id crux.NodeID) *route.Card {
	c := nd.F.Card(id)
	if len(nd.cards) > 0 {
		if k := nd.cards[id]; k != nil && k.Newer(c) {
			return k
		} else if k != nil {
			delete(nd.cards, id)
		}
	}
	return c
}

// epochOf is that of cardOf, or 0.
func (nd *Node) epochOf(id crux.NodeID) uint64 {
	if c := nd.cardOf(id); c != nil {
		return c.Epoch
	}
	return 0
}

// learn keeps a card that a handshake brought, until the table has it.
func (nd *Node) learn(c *route.Card) {
	if c.Newer(nd.cardOf(c.Node)) {
		nd.cards[c.Node] = c
		nd.near = nd.near[:0]
	}
}

// apply carries out what the fabric asks.
func (nd *Node) apply(r fabric.Ready) {
	w := nd.World
	if len(r.Updated) > 0 {
		nd.near = nd.near[:0]
	}
	for i := range r.Frames {
		nd.frame(r.Frames[i].To, r.Frames[i].Msg)
	}
	for i := range r.Datagrams {
		nd.datagram(r.Datagrams[i].To, r.Datagrams[i].Msg)
	}
	for _, id := range r.Close {
		nd.closeLink(id)
	}
	for _, id := range r.Dial {
		nd.dial(id, false)
	}
	for _, id := range r.Probes {
		nd.dial(id, true)
	}
	if r.Isolated != nil {
		nd.Isolated = *r.Isolated
	}
	if r.Save {
		nd.saved = nd.F.Saved()
	}
	w.observe(nd, &r)
	if w.set.Verify {
		w.verify(nd)
	}
	if w.Watch != nil {
		w.Watch(nd, &r)
	}
	if nd.store.r != nil && len(r.Opaque)+len(r.Delivered) > 0 || r.NeighboursChanged && nd.store.r != nil {
		nd.feed(&r)
	}
	nd.wakeLater()
}

// datagram seals and sends one, if the node knows the receiver's card.
func (nd *Node) datagram(to crux.NodeID, m fabric.Message) {
	c := nd.cardOf(to)
	peer := nd.World.byID[to]
	if c == nil || peer == nil {
		return
	}
	size := m.Size() + sealed
	nd.World.spend(m, size)
	nd.Place.Send(c.Addr, parcel{msg: m, from: int32(nd.Index), to: int32(peer.Index), fromEpoch: uint32(nd.Epoch), toEpoch: uint32(c.Epoch)}, size)
}

// outcomeOf translates what became of a probe's connect.
func outcomeOf(why crux.Kind) detect.Outcome {
	if why == crux.Unavailable {
		return detect.Refused
	}
	return detect.Silent
}
