package node

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

const (
	helloTries = 4
	helloAgain = 200 * time.Millisecond
	// What may be verified for strangers: some 60 µs each.
	verifyRate  = 300.0
	verifyBurst = 10000.0 // ten thousand nodes may start at once
)

// What is done about members that speak to this node and whose card it lacks: so
// many at a time, each so often, as anybody can send such a packet.
const (
	wonderMost  = 64
	wonderEvery = 5 * time.Second
)

// greetings are Hellos that wait for an Answer. Safe for any goroutine.
type greetings struct {
	mu      sync.Mutex
	waiting map[packet.Nonce]greeting
}

type greeting struct {
	to   crux.NodeID
	card chan *route.Card // has room for one
}

// greet asks a node for its card at an address. Errors: Timeout, there was no
// answer.
func (n *Node) greet(ctx context.Context, id crux.NodeID, at netip.AddrPort) (*route.Card, error) {
	const op = "greet"
	g := greeting{id, make(chan *route.Card, 1)}
	var nonce packet.Nonce
	entropy(nonce[:])
	n.greetings.add(nonce, g)
	defer n.greetings.remove(nonce)
	for range helloTries {
		p, err := n.pairs.SealHello(packet.Ask, id, nonce)
		if err != nil {
			return nil, crux.Wrap(op, err)
		}
		n.send(p, at)
		select {
		case c := <-g.card:
			return c, nil
		case <-n.cfg.Clock.After(helloAgain):
		case <-ctx.Done():
			return nil, crux.Wrap(op, ctx.Err())
		}
	}
	return nil, crux.Errorf(op, crux.Timeout, "node %s does not answer at %s", id, at)
}

func (g *greetings) add(nonce packet.Nonce, x greeting) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		g.waiting = make(map[packet.Nonce]greeting)
	}
	g.waiting[nonce] = x
}

func (g *greetings) remove(nonce packet.Nonce) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, nonce)
}

// find gives the greeting that a node's Answer belongs to.
func (g *greetings) find(nonce packet.Nonce, from crux.NodeID) (greeting, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x, ok := g.waiting[nonce]
	return x, ok && x.to == from
}

// hello takes in an Ask or an Answer, in the reader's goroutine.
func (r *reader) hello(now time.Duration, from netip.AddrPort, kind packet.Kind, m *packet.Hello) seal.Verdict {
	g, asked := r.n.greetings.find(m.Nonce, m.Card.Node)
	if kind == packet.Answer && !asked {
		return seal.NoPeer
	}
	if v := r.introduce(now, m.Card, asked); v != seal.Accepted {
		return v
	}
	if kind == packet.Answer {
		select {
		case g.card <- m.Card:
		default: // it was answered before
		}
		return seal.Accepted
	}
	p, err := r.n.pairs.SealHello(packet.Answer, m.Card.Node, m.Nonce)
	if err == nil {
		r.n.send(p, from)
	}
	return seal.Accepted
}

// introduce takes in a card, if it is one of a member. An old one changes
// nothing: on the link that its process makes it is told of the newer one.
func (r *reader) introduce(now time.Duration, c *route.Card, asked bool) seal.Verdict {
	if known := r.n.pairs.Card(c.Node); known != nil && *known == *c {
		return seal.Accepted
	}
	switch {
	case r.n.people.Load().keys[c.Node] == nil:
		return seal.NoPeer
	case !asked && !r.verify.Take(now, verifyRate, verifyBurst):
		return seal.OverBudget
	case !r.n.VerifyCard(c):
		return seal.BadRecord
	}
	r.n.learn(c)
	return seal.Accepted
}

// wonder greets a member that seems to know this node, though this one lacks its
// card, or has an older one.
func (r *reader) wonder(now time.Duration, id crux.NodeID) {
	rows := r.n.people.Load().rows[id]
	if at, ok := r.wondered[id]; len(rows) == 0 || ok && now < at+wonderEvery {
		return
	}
	maps.DeleteFunc(r.wondered, func(_ crux.NodeID, at time.Duration) bool { return now >= at+wonderEvery })
	if len(r.wondered) >= wonderMost || r.n.answering.Load() {
		return
	}
	if r.wondered == nil {
		r.wondered = make(map[crux.NodeID]time.Duration)
	}
	r.wondered[id] = now
	r.n.spawn(func() {
		ctx, cancel := r.n.within(dialMost)
		defer cancel()
		if _, err := r.n.greet(ctx, id, rows[0]); err != nil {
			r.n.log.Debug("a node that seems to know this one does not answer", "node", id, "why", err)
		}
	})
}
