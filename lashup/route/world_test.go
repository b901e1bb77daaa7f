package route

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fulcrum.example/confab/sim"
	"fulcrum.example/crux"
)

// world is a net of gossiping nodes in virtual time: links keep the order of
// their messages, and lose what is under way when they break.
type world struct {
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	ix    *Index // shared, without codec
	cache *Cache
	now   time.Duration
	net   *sim.Net[struct{}] // whose clock and queue of events this uses
	peers []*peer
	by    map[crux.NodeID]*peer
	g     *graph // the links, which are the nodes' edges, too
	loss  float64
	codec bool // through Decode and Append; each peer then has an index of its own
	bytes map[string]int
}

type peer struct {
	w       *world
	i       int
	t       *Table
	g       *Gossip
	clock   uint64
	life    map[crux.NodeID]int // of each link: what was sent in another life is lost
	last    map[crux.NodeID]time.Duration
	in      int // bytes
	rows    int // adjacencies that came in
	wakeAt  time.Duration
	allowed func(crux.NodeID) bool
	ahead   *Adjacency
}

// newWorld has n nodes without links.
func newWorld(t *testing.T, n int, seed uint64, codec bool) *world {
	w := &world{
		t: t, net: sim.New(sim.Options[struct{}]{}), seed: seed, rand: rand.New(rand.NewPCG(seed, 11)), by: make(map[crux.NodeID]*peer), g: newGraph(n), codec: codec, bytes: make(map[string]int),
	}
	w.ix, w.cache = NewIndex(), NewCache(DefaultCache)
	for range n {
		w.grow()
	}
	return w
}

// grow adds a node without links.
func (w *world) grow() {
	i := len(w.peers)
	if i == len(w.g.edges) {
		w.g.edges = append(w.g.edges, map[int]bool{})
	}
	ix, cache := w.ix, w.cache
	if w.codec {
		ix, cache = NewIndex(), NewCache(1<<16)
	}
	p := &peer{w: w, i: i, life: make(map[crux.NodeID]int), last: make(map[crux.NodeID]time.Duration), wakeAt: never}
	p.allowed = func(crux.NodeID) bool { return true }
	p.t = New(node(i), ix, cache)
	p.g = NewGossip(GossipConfig{
		Table: p.t, Rand: rand.New(rand.NewPCG(w.seed, uint64(i))), Verify: verify,
		Allowed: func(id crux.NodeID) bool { return p.allowed(id) },
	}, w.now)
	w.peers, w.by[node(i)] = append(w.peers, p), p
	p.publish()
}

func (w *world) at(d time.Duration, do func()) {
	w.net.At(w.now+d, func() {
		w.now = w.net.Now()
		do()
	})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	until := w.now + d
	w.net.RunUntil(until)
	w.now = until
}

func (w *world) delay() time.Duration {
	return 200*time.Microsecond + time.Duration(w.rand.IntN(1000))*time.Microsecond
}

// link connects two nodes, or takes their link away; both publish it.
func (w *world) link(a, b int, up bool) {
	if a == b || w.g.edges[a][b] == up {
		return
	}
	w.g.set(a, b, up)
	for _, e := range [][2]int{{a, b}, {b, a}} {
		p, other := w.peers[e[0]], node(e[1])
		p.life[other]++
		if up {
			p.done(p.g.LinkUp(w.now, other))
		} else {
			p.done(p.g.LinkDown(w.now, other))
		}
		p.publish()
	}
}

// publish says which links the node has.
func (p *peer) publish() {
	p.clock++
	a := &Adjacency{Node: node(p.i), Epoch: 1, Clock: p.clock, Card: card(p.i, 1, 1)}
	for e := range p.w.g.edges[p.i] {
		a.Edges = append(a.Edges, node(e))
	}
	r, err := p.g.Publish(p.w.now, sign(a))
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.done(r)
}

// done carries out what a call asked for.
func (p *peer) done(r GossipReady) {
	if len(r.Updated) != len(r.Before) {
		p.w.t.Fatal("Updated and Before differ in length")
	}
	if r.Ahead != nil {
		p.ahead = r.Ahead
	}
	for _, s := range r.Sends {
		p.send(s.To, s.Msg)
	}
	if next := p.g.NextTick(); next < p.wakeAt {
		p.wakeAt = next
		p.w.at(max(0, next-p.w.now), func() { p.wake(next) })
	}
}

func (p *peer) wake(at time.Duration) {
	if p.wakeAt == at {
		p.wakeAt = never
		p.done(p.g.Tick(p.w.now))
	}
}

func (p *peer) send(to crux.NodeID, m Message) {
	w, q, life := p.w, p.w.by[to], p.life[to]
	w.bytes[fmt.Sprintf("%T", m)] += m.Size()
	if w.rand.Float64() < w.loss {
		return
	}
	if w.codec {
		var err error
		if m, err = Decode(m.Append(nil)); err != nil {
			w.t.Fatalf("%T: %v", m, err)
		}
	}
	at := max(p.last[to], w.now+w.delay())
	p.last[to] = at
	w.at(at-w.now, func() {
		if p.life[to] == life {
			q.receive(node(p.i), m)
		}
	})
}

func (p *peer) receive(from crux.NodeID, m Message) {
	p.in += m.Size()
	switch m := m.(type) {
	case *Rows:
		p.rows += len(m.Adjacencies)
	case *News:
		p.rows += len(m.Items)
	}
	p.done(p.g.Receive(p.w.now, from, m))
}

// agree wants the nodes' tables to be the same, and to have so many rows.
func (w *world) agree(rows int, of ...int) {
	w.t.Helper()
	for _, i := range of {
		if p := w.peers[i]; p.t.Hash() != w.peers[of[0]].t.Hash() || p.t.Len() != rows {
			w.t.Fatalf("at %v node %d has %d rows of %d, hash %x, and node %d has %d, hash %x", w.now, i, p.t.Len(), rows, p.t.Hash(),
				of[0], w.peers[of[0]].t.Len(), w.peers[of[0]].t.Hash())
		}
	}
}

func upto(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

// formedWorld has n nodes, linked at random, that know one another.
func formedWorld(t *testing.T, n int, seed uint64, codec bool) *world {
	w := newWorld(t, n, seed, codec)
	g := randomGraph(w.rand, n, 6)
	for a := range n {
		for b := range a {
			if g.edges[a][b] {
				w.link(a, b, true)
			}
		}
	}
	w.run(5 * time.Second)
	w.agree(n, upto(n)...)
	for _, p := range w.peers {
		p.in, p.rows = 0, 0
	}
	clear(w.bytes)
	return w
}
