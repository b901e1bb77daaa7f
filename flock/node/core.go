package node

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"net/netip"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
	"fulcrum.example/flock/packet"
)

const (
	inboxSize = 512 // packets on their way from the reader to the machine
	batch     = 64  // packets taken in before the clock is looked at again
	// minWait keeps a machine that always has something to do from keeping the
	// goroutine to itself.
	minWait = time.Millisecond
	// remindEvery is how often standing reasons for being alone are repeated:
	// hints fade.
	remindEvery = 20 * time.Second
)

// inbound is something from the reader: a message, a packet that only the owner
// of the pairwise keys can open, or a hint.
type inbound struct {
	from    netip.AddrPort
	header  packet.Header
	message flock.Message
	sealed  *sealed
	hint    string
}

// core is the goroutine that owns the machine.
type core struct {
	n       *Node
	machine *flock.Machine
	ring    *packet.Ring
	sealer  *packet.Sealer
	pairs   *packet.Pairs

	buf     []byte
	timer   <-chan time.Time
	due     time.Duration // when timer fires
	remind  time.Duration
	fetched chan *bloc.Document // ends a fetch; nil: none came
	fetch   bool                // one is under way
	upgrade upgrader
	done    bool // Ready.Ended was seen
}

func newCore(n *Node, m *flock.Machine, ring *packet.Ring, exchange *ecdh.PrivateKey) *core {
	return &core{
		n: n, machine: m, ring: ring,
		sealer:  packet.NewSealer(n.id, n.cfg.Incarnation, ring),
		pairs:   packet.NewPairs(n.scope, n.id, n.cfg.Incarnation, exchange, n.cfg.Secrets),
		buf:     make([]byte, flock.MaxPacket),
		fetched: make(chan *bloc.Document, 1),
	}
}

// run drives the machine until the node has left its flock and told so.
func (c *core) run() {
	defer close(c.n.left)
	c.apply(c.machine.Start(c.n.now()))
	leave := c.n.leave
	var giveUp <-chan time.Time
	changed := c.n.cfg.Policy.Changed()
	c.standing()
	for !c.done {
		c.arm()
		select {
		case in := <-c.n.inbox:
			c.drain(in)
		case <-c.timer:
			c.timer = nil
			c.apply(c.machine.Tick(c.n.now()))
			c.standing()
			c.wantUpgrade()
		case f := <-c.n.calls:
			f(c)
		case <-changed:
			changed = c.n.cfg.Policy.Changed()
			c.newFile()
		case d := <-c.fetched:
			c.fetch = false
			c.replace(d)
		case <-leave:
			leave, giveUp = nil, c.n.cfg.Clock.After(leaveTimeout)
			c.apply(c.machine.Leave(c.n.now()))
		case <-giveUp:
			c.done = true
		}
	}
}

// arm sees to it that the timer fires when the machine wants it to. A timer that
// would fire earlier is left alone: an early tick is harmless.
func (c *core) arm() {
	next := min(c.machine.NextTick(), c.remind)
	if c.timer != nil && c.due <= next {
		return
	}
	now := c.n.now()
	wait := max(minWait, next-now)
	c.due, c.timer = now+wait, c.n.cfg.Clock.After(wait)
}

// drain takes in what the reader has by now.
func (c *core) drain(in inbound) {
	now := c.n.now()
	for range batch {
		c.receive(now, in)
		select {
		case in = <-c.n.inbox:
		default:
			return
		}
		if c.done {
			return
		}
	}
}

func (c *core) receive(now time.Duration, in inbound) {
	switch {
	case in.hint != "":
		c.apply(c.machine.AddHint(now, crux.Hint{From: in.from, Text: in.hint}))
		return
	case in.sealed != nil:
		var v seal.Verdict
		in.message, v = c.open(now, &in)
		in.sealed.free()
		c.n.counters.Add(v)
		if v != seal.Accepted {
			return
		}
	default:
		if packet.SealingOf(in.header.Kind) == flock.Discovery {
			c.sealer.Heard(in.from, in.header.KeyID)
		}
	}
	c.apply(c.machine.Receive(now, &flock.Packet{
		From: in.from, Sender: in.header.Sender, Incarnation: in.header.Incarnation, Message: in.message,
	}))
}

// open opens a packet that was sealed pairwise.
func (c *core) open(now time.Duration, in *inbound) (flock.Message, seal.Verdict) {
	peer := c.machine.Peer(in.header.Sender)
	body, v := c.pairs.Open(now, &in.header, in.sealed.bytes(), peer)
	if v != seal.Accepted {
		return nil, v
	}
	m, err := packet.DecodeBody(in.header.Kind, body)
	if err != nil {
		return nil, seal.BadBody
	}
	return m, c.n.records.check(now, &in.header, m)
}

// apply carries out what the machine asks for.
func (c *core) apply(r flock.Ready) {
	if r.Keys != nil {
		c.ring.Set(r.Keys)
	}
	for i := range r.Sends {
		c.send(&r.Sends[i])
	}
	if r.Changed {
		c.n.publish(c.machine.View())
		c.wantUpgrade()
	}
	if r.Fetch != nil {
		c.startFetch(*r.Fetch)
	}
	c.done = c.done || r.Ended
}

// send seals a message and sends it. A packet that cannot be sent is lost, as
// packets are; the machine sends again what matters.
func (c *core) send(s *flock.Send) {
	p := packet.AppendBody(c.buf[:packet.Headroom], s.Message)
	kind := s.Message.Kind()
	var err error
	if s.Message.Sealing() == flock.Pair {
		peer := c.machine.Peer(s.Receiver)
		if peer == nil {
			return
		}
		p, err = c.pairs.Seal(p, kind, peer, c.sealer.Secondary(s.To))
	} else {
		p, err = c.sealer.Seal(p, kind, s.To, s.Receiver)
	}
	if err == nil {
		err = c.n.socket.WriteTo(p, s.To)
	}
	if err != nil {
		c.n.log.Debug("flock packet not sent", "to", s.To, "kind", kind, "err", err)
		return
	}
	c.n.counters.Sent()
}

// standing repeats why this node stays alone, where it is known from the start.
func (c *core) standing() {
	now := c.n.now()
	if now < c.remind {
		return
	}
	c.remind = now + remindEvery
	key := c.n.cfg.Key.Public().(ed25519.PublicKey)
	if c.n.cfg.Policy.Enrolled(key) {
		return
	}
	c.apply(c.machine.AddHint(now, crux.Hint{
		From: c.n.cfg.Confab.Addr(), Authenticated: true,
		Text: "this node is not listed in its bloc file; add " + bloc.PublicKey(key).String() + " there, raise the version, and sign it",
	}))
}
