package cast

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fulcrum.example/confab/sim"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

const ms = time.Millisecond

// node is the ID of the i-th test node.
func node(i int) (id crux.NodeID) {
	binary.BigEndian.PutUint64(id[:], uint64(i+1)*0x9e3779b97f4a7c15)
	return id
}

func nodes(is ...int) (out []crux.NodeID) {
	for _, i := range is {
		out = append(out, node(i))
	}
	return out
}

func card(i int, epoch uint64) *route.Card {
	c := &route.Card{Node: node(i), Epoch: epoch, Seq: 1}
	binary.BigEndian.PutUint64(c.Session[:], uint64(i)<<8+epoch)
	return c
}

// signature is what the holder of a card's session key would make.
func signature(c *route.Card, msg []byte) (sig [64]byte) {
	h := sha256.Sum256(append(c.Session[:], msg...))
	copy(sig[:], h[:])
	return sig
}

func verify(c *route.Card, msg []byte, sig [64]byte) bool { return sig == signature(c, msg) }

// world is a net of casting nodes in virtual time. Links keep the order of their
// messages and lose what is under way when they break. Tables learn of links
// late: a change reaches each node within spread.
type world struct {
	t      *testing.T
	seed   uint64
	rand   *rand.Rand
	now    time.Duration
	net    *sim.Net[struct{}] // whose clock and queue of events this uses
	peers  []*peer
	by     map[crux.NodeID]*peer
	loss   float64
	spread time.Duration
	codec  bool // through Append and Decode
	ix     *route.Index
	cache  *route.Cache
	params Params
	count  map[string]int // messages by type
	bytes  map[string]int
}

type peer struct {
	w      *world
	i      int
	epoch  uint64
	clock  uint64
	t      *route.Table
	c      *Cast
	links  map[crux.NodeID]bool
	life   map[crux.NodeID]int // of each link
	last   map[crux.NodeID]time.Duration
	got    map[ID]time.Duration // when each message was delivered
	all    []Delivery
	wakeAt time.Duration
	room   func(crux.NodeID) int
	down   bool
}

// newWorld has n nodes that are linked as edges say, and know all of it.
func newWorld(t *testing.T, n int, seed uint64, edges [][2]int) *world {
	w := &world{
		t: t, net: sim.New(sim.Options[struct{}]{}), seed: seed, rand: rand.New(rand.NewPCG(seed, 5)), by: make(map[crux.NodeID]*peer), params: DefaultParams(),
		ix: route.NewIndex(), cache: route.NewCache(route.DefaultCache), count: make(map[string]int), bytes: make(map[string]int),
	}
	for i := range n {
		w.add(i, 1)
	}
	for _, e := range edges {
		w.set(e[0], e[1], true)
	}
	w.share()
	for _, p := range w.peers {
		p.done(p.c.Neighbours(0, p.neighbours()))
	}
	w.run(20 * time.Second)
	w.forget()
	return w
}

// add makes a node, or another life of it.
func (w *world) add(i int, epoch uint64) *peer {
	p := &peer{
		w: w, i: i, epoch: epoch, links: make(map[crux.NodeID]bool), life: make(map[crux.NodeID]int), last: make(map[crux.NodeID]time.Duration),
		got: make(map[ID]time.Duration), wakeAt: never,
	}
	p.t = route.New(node(i), w.ix, w.cache)
	p.c = New(Config{
		Self: node(i), Epoch: epoch, Rand: rand.New(rand.NewPCG(w.seed, uint64(i))), Table: p.t, Params: w.params,
		Sign: func(msg []byte) [64]byte { return signature(card(i, epoch), msg) }, Verify: verify,
		Room: func(id crux.NodeID) int {
			if p.room == nil {
				return 1 << 30
			}
			return p.room(id)
		},
	}, w.now)
	if i < len(w.peers) {
		w.peers[i] = p
	} else {
		w.peers = append(w.peers, p)
	}
	w.by[node(i)] = p
	return p
}

func (w *world) set(a, b int, up bool) {
	if a == b {
		return
	}
	for _, e := range [][2]int{{a, b}, {b, a}} {
		p, id := w.peers[e[0]], node(e[1])
		p.life[id]++
		if delete(p.links, id); up {
			p.links[id] = true
		}
	}
}

// link changes a link while the world runs.
func (w *world) link(a, b int, up bool) {
	if a == b || w.peers[a].links[node(b)] == up {
		return
	}
	w.set(a, b, up)
	for _, i := range []int{a, b} {
		p := w.peers[i]
		p.done(p.c.Neighbours(w.now, p.neighbours()))
		w.publish(i)
	}
}

// adjacency says which links a node has.
func (p *peer) adjacency() *route.Adjacency {
	p.clock++
	a := &route.Adjacency{Node: node(p.i), Epoch: p.epoch, Clock: p.clock, Edges: p.neighbours(), Card: card(p.i, p.epoch)}
	a.Normalize()
	return a
}

// publish has a node's adjacency reach each table at a time of its own.
func (w *world) publish(i int) {
	a := w.peers[i].adjacency()
	for _, p := range w.peers {
		d := time.Duration(0)
		if p.i != i {
			d = time.Duration(w.rand.Int64N(int64(w.spread) + 1))
		}
		w.at(d, func() { p.update(a) })
	}
}

func (p *peer) update(a *route.Adjacency) {
	if _, err := p.t.Update(a); err != nil {
		p.w.t.Fatal(err)
	}
}

// share has every table know everything.
func (w *world) share() {
	for _, p := range w.peers {
		a := p.adjacency()
		for _, q := range w.peers {
			q.update(a)
		}
	}
}

func (p *peer) neighbours() (out []crux.NodeID) {
	for _, q := range p.w.peers { // in an order that does not vary
		if p.links[node(q.i)] {
			out = append(out, node(q.i))
		}
	}
	return out
}

func (w *world) at(d time.Duration, do func()) {
	w.net.At(w.now+d, func() {
		w.now = w.net.Now()
		do()
	})
}

func (w *world) run(d time.Duration) {
	until := w.now + d
	w.net.RunUntil(until)
	w.now = until
}

// forget sets all counts to zero.
func (w *world) forget() {
	clear(w.count)
	clear(w.bytes)
	for _, p := range w.peers {
		clear(p.got)
		p.all = nil
	}
}

func (p *peer) done(r Ready) {
	for _, d := range r.Delivered {
		if _, ok := p.got[d.ID]; ok {
			p.w.t.Errorf("node %d got %v twice", p.i, d.ID)
		}
		p.got[d.ID] = p.w.now
		p.all = append(p.all, d)
	}
	for _, s := range r.Sends {
		p.send(s.To, s.Msg)
	}
	if next := p.c.NextTick(); next < p.wakeAt {
		p.wakeAt = next
		p.w.at(max(0, next-p.w.now), func() { p.wake(next) })
	}
}

func (p *peer) wake(at time.Duration) {
	if p.wakeAt == at && !p.down {
		p.wakeAt = never
		p.done(p.c.Tick(p.w.now))
	}
}

func (p *peer) send(to crux.NodeID, m Message) {
	w, life := p.w, p.life[to]
	if !p.links[to] {
		w.t.Fatalf("node %d sends %T to %s, with which it has no link", p.i, m, to)
	}
	w.count[fmt.Sprintf("%T", m)]++
	w.bytes[fmt.Sprintf("%T", m)] += m.Size()
	if w.rand.Float64() < w.loss {
		return
	}
	if w.codec {
		b := m.Append(nil)
		got, err := Decode(b)
		if err != nil || m.Size() != len(b) {
			w.t.Fatalf("%T of %d bytes, Size says %d: %v", m, len(b), m.Size(), err)
		}
		m = got
	}
	at := max(p.last[to], w.now+200*time.Microsecond+time.Duration(w.rand.IntN(1000))*time.Microsecond)
	p.last[to] = at
	w.at(at-w.now, func() {
		if q := w.by[to]; p.life[to] == life && !q.down && !p.down {
			q.done(q.c.Receive(w.now, node(p.i), m))
		}
	})
}

// publishFrom has a node publish a message.
func (w *world) publishFrom(i int, payload string, o Options) ID {
	w.t.Helper()
	p := w.peers[i]
	id, r, err := p.c.Publish(w.now, Request{Topic: "news", Payload: []byte(payload), Options: o})
	if err != nil {
		w.t.Fatal(err)
	}
	p.done(r)
	return id
}

// reached lists the nodes that got a message, and when the last one did.
func (w *world) reached(id ID) (who []int, last time.Duration) {
	for i, p := range w.peers {
		if at, ok := p.got[id]; ok {
			who, last = append(who, i), max(last, at)
		}
	}
	return who, last
}

// everybodyBut wants all nodes but those named to have a message, once.
func (w *world) everybodyBut(id ID, but ...int) {
	w.t.Helper()
	skip := make(map[int]bool)
	for _, i := range but {
		skip[i] = true
	}
	for i, p := range w.peers {
		if _, ok := p.got[id]; ok == skip[i] {
			w.t.Errorf("seed %d: node %d has %v: %v", w.seed, i, id, ok)
		}
	}
}

// randomEdges are the links of n nodes, some six each, in one piece.
func randomEdges(seed uint64, n int) (out [][2]int) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 1; i < n; i++ {
		out = append(out, [2]int{i, r.IntN(i)})
	}
	for range 2 * n {
		out = append(out, [2]int{r.IntN(n), r.IntN(n)})
	}
	for i := range n {
		out = append(out, [2]int{i, (i + 1) % n}) // nobody hangs by one thread
	}
	return out
}

// line links n nodes in a row.
func line(n int) (out [][2]int) {
	for i := 1; i < n; i++ {
		out = append(out, [2]int{i - 1, i})
	}
	return out
}
