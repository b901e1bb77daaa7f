package sim

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Options describe a network. The zero value loses nothing and delays nothing.
type Options[P any] struct {
	Seed uint64
	Loss float64 // chance that a packet is lost, 0 to 1
	// Each one-way delay is uniform between these two.
	MinDelay, MaxDelay time.Duration
	// Tag, if not nil, is mixed into the trace for each packet that arrives.
	Tag func(P) uint64
	// Unanswered is how long a stream waits for an answer before it breaks; 0:
	// 15 minutes, as Linux does.
	Unanswered time.Duration
}

func (o *Options[P]) unanswered() time.Duration {
	if o.Unanswered > 0 {
		return o.Unanswered
	}
	return patience
}

// Handler is a node's program. A call-back may send, set timers, and change the
// network.
type Handler[P any] interface {
	// Receive is called for each packet that arrives. from is the sender's
	// address.
	Receive(now time.Duration, from netip.AddrPort, p P)
	// Wake is called when the time has come that WakeAt set.
	Wake(now time.Duration)
}

// Counters count what a node sent and received, in packets and in bytes.
type Counters struct {
	SentPackets, SentBytes         uint64
	ReceivedPackets, ReceivedBytes uint64
}

// Net is a network. Make one by New.
type Net[P any] struct {
	opt    Options[P]
	rng    *rand.Rand
	now    int64
	queue  queue
	slab   []body[P]
	free   []uint32
	nodes  []*Node[P]
	byAddr map[netip.AddrPort]*Node[P]
	cuts   map[[2]int32]bool
	trace  uint64
	events uint64
}

// body is what an event carries.
type body[P any] struct {
	kind    kind
	size    int32
	from    int32 // index of the sender
	to      int32 // index of the receiver, or of the node that wakes
	life    uint32
	waited  bool // it has waited for a suspended process
	payload P
	call    func()
	stream  *Stream[P]
}

type kind uint8

const (
	packet kind = iota + 1
	wake
	call
	// Of streams.
	syn
	knockAgain
	giveUp
	synAck
	refused
	opened
	accepted
	segment
	fin
	retry
	release
	reset
	broken
)

// New makes an empty network at time 0.
func New[P any](opt Options[P]) *Net[P] {
	return &Net[P]{
		opt:    opt,
		rng:    rand.New(rand.NewPCG(opt.Seed, 0x66756c6372756d)),
		byAddr: map[netip.AddrPort]*Node[P]{},
		cuts:   map[[2]int32]bool{},
		trace:  opt.Seed,
	}
}

// Now is the virtual time since New.
func (n *Net[P]) Now() time.Duration { return time.Duration(n.now) }

// Trace is a hash over every event so far: its time, its kind, whom it concerned,
// and the size and Tag of packets.
func (n *Net[P]) Trace() uint64 { return n.trace }

// Events is how many events there were so far.
func (n *Net[P]) Events() uint64 { return n.events }

// Nodes are all nodes that were ever added, in that order.
func (n *Net[P]) Nodes() []*Node[P] { return n.nodes }

// Add puts a node on the network, up and running, and returns its handle. Of two
// nodes with one address the later gets the packets.
func (n *Net[P]) Add(addr netip.AddrPort, h Handler[P]) *Node[P] {
	nd := &Node[P]{net: n, index: int32(len(n.nodes)), addr: addr, h: h, up: true, host: true, wakeAt: never, queued: never}
	n.nodes = append(n.nodes, nd)
	n.byAddr[addr] = nd
	return nd
}

// At calls f at a time; a time that has passed means now, after what is due.
func (n *Net[P]) At(t time.Duration, f func()) {
	n.schedule(max(int64(t), n.now), body[P]{kind: call, from: -1, to: -1, call: f})
}

// Step does the next event. It returns false when there is none.
func (n *Net[P]) Step() bool {
	if len(n.queue.h) == 0 {
		return false
	}
	e := n.queue.pop()
	b := n.slab[e.slot]
	n.slab[e.slot] = body[P]{}
	n.free = append(n.free, e.slot)
	n.now = e.at
	n.dispatch(&b)
	return true
}

// RunUntil does all events up to and including time t, and makes it t.
func (n *Net[P]) RunUntil(t time.Duration) {
	for len(n.queue.h) > 0 && n.queue.h[0].at <= int64(t) {
		n.Step()
	}
	n.now = max(n.now, int64(t))
}

// RunWhile does events as long as cond holds before each, the time limit has not
// come, and there are any. It says whether cond has become false.
func (n *Net[P]) RunWhile(limit time.Duration, cond func() bool) bool {
	for cond() {
		if len(n.queue.h) == 0 || n.queue.h[0].at > int64(limit) {
			n.now = max(n.now, int64(limit))
			return false
		}
		n.Step()
	}
	return true
}

func (n *Net[P]) schedule(at int64, b body[P]) {
	var slot uint32
	if k := len(n.free); k > 0 {
		slot = n.free[k-1]
		n.free = n.free[:k-1]
		n.slab[slot] = b
	} else {
		slot = uint32(len(n.slab))
		n.slab = append(n.slab, b)
	}
	n.queue.push(at, slot)
}

func (n *Net[P]) dispatch(b *body[P]) {
	switch b.kind {
	case call:
		n.note(b, 0)
		b.call()
	case packet:
		n.nodes[b.to].arrive(b)
	case wake:
		n.nodes[b.to].ring(b)
	default:
		b.stream.dispatch(b)
	}
}

// dice says whether a packet between two nodes is lost, and how many nanoseconds
// it takes if not. They are cast for every packet, whatever becomes of it, so
// that a cut link does not shift the luck of the others.
func (n *Net[P]) dice(from, to *Node[P]) (lost bool, delay int64) {
	loss := n.opt.Loss
	if to != nil && from.loss+to.loss > 0 {
		loss = 1 - (1-loss)*(1-from.loss)*(1-to.loss)
	}
	lost = n.rng.Float64() < loss
	delay = int64(n.opt.MinDelay)
	if d := int64(n.opt.MaxDelay - n.opt.MinDelay); d > 0 {
		delay += n.rng.Int64N(d + 1)
	}
	return lost, delay
}

// passes says whether neither a partition nor a cut keeps a node's packets from
// another.
func (n *Net[P]) passes(from, to *Node[P]) bool {
	return from.group == to.group && (len(n.cuts) == 0 || !n.cuts[[2]int32{from.index, to.index}])
}

func (n *Net[P]) tag(p P) uint64 {
	if n.opt.Tag == nil {
		return 0
	}
	return n.opt.Tag(p)
}

// note mixes an event into the trace.
func (n *Net[P]) note(b *body[P], tag uint64) {
	n.events++
	h := n.trace
	h = mix(h ^ uint64(n.now))
	h = mix(h ^ uint64(b.kind)<<56 ^ uint64(uint32(b.from))<<32 ^ uint64(uint32(b.to)))
	n.trace = mix(h ^ uint64(b.size)<<40 ^ tag)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
