package fabric

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

const ms = time.Millisecond

func id(i int) (n crux.NodeID) {
	binary.BigEndian.PutUint64(n[:], uint64(i))
	return n
}

// bloc is a few machines, their links, and a wire between them that takes a
// millisecond.
type bloc struct {
	t     *testing.T
	now   time.Duration
	queue []delivery
	nodes []*node
	links map[[2]int]bool // that are up, lesser first
	mute  map[int]bool    // dead hosts
}

type delivery struct {
	at time.Duration
	do func()
}

// node is a machine and what it has said.
type node struct {
	m      *Machine
	i      int
	events []route.Event
	heard  []string // topics
	got    []Opaque
	result []detect.Result
	ready  []Ready // copies of those that ask for links or say more
	alone  bool
	saves  int
	super  uint64
}

func newBloc(t *testing.T, n int) *bloc {
	t.Helper()
	b := &bloc{t: t, links: map[[2]int]bool{}, mute: map[int]bool{}}
	index, cache := route.NewIndex(), route.NewCache(route.DefaultCache)
	for i := range n {
		b.nodes = append(b.nodes, &node{i: i, m: New(Config{
			Card: &route.Card{Node: id(i + 1), Epoch: 7}, Rand: rand.New(rand.NewPCG(1, uint64(i))), Index: index, Cache: cache,
			Sign: func(*route.Adjacency) {}, Verify: func(*route.Adjacency) bool { return true },
			SignCast:   func([]byte) (s [64]byte) { return s },
			VerifyCast: func(*route.Card, []byte, [64]byte) bool { return true },
		}, 0)})
	}
	list := b.members(n)
	for _, nd := range b.nodes {
		b.apply(nd, nd.m.Start(0))
		b.apply(nd, nd.m.Members(0, list))
	}
	return b
}

// members are the first n nodes.
func (b *bloc) members(n int) *Members {
	var list []Member
	for i := range n {
		list = append(list, Member{ID: id(i + 1), Master: i == 0, Contact: true})
	}
	return NewMembers(list)
}

// joined is a bloc whose nodes all see one another, and rest.
func joined(t *testing.T, n int) *bloc {
	t.Helper()
	b := newBloc(t, n)
	b.run(10 * time.Second)
	for _, nd := range b.nodes {
		for _, o := range b.nodes {
			if s, _ := nd.m.State(o.m.id); s != route.Up {
				t.Fatalf("%v does not see %v: it is %v", nd.m.id, o.m.id, s)
			}
		}
	}
	return b
}

func (b *bloc) node(i crux.NodeID) *node {
	k := int(binary.BigEndian.Uint64(i[:])) - 1
	if k < 0 || k >= len(b.nodes) {
		return nil
	}
	return b.nodes[k]
}

func (b *bloc) after(d time.Duration, do func()) {
	b.queue = append(b.queue, delivery{b.now + d, do})
}

func pair(x, y *node) [2]int { return [2]int{min(x.i, y.i), max(x.i, y.i)} }

// apply does what a node's driver does.
func (b *bloc) apply(nd *node, r Ready) {
	nd.events = append(nd.events, r.Events...)
	nd.got = append(nd.got, r.Opaque...)
	nd.result = append(nd.result, r.Results...)
	for _, d := range r.Delivered {
		nd.heard = append(nd.heard, d.Topic)
	}
	if r.Isolated != nil {
		nd.alone = *r.Isolated
	}
	if r.Save {
		nd.saves++
	}
	nd.super = max(nd.super, r.Superseded)
	if len(r.Dial)+len(r.Close)+len(r.Frames)+len(r.Datagrams) > 0 {
		nd.ready = append(nd.ready, Ready{Dial: slices.Clone(r.Dial), Close: slices.Clone(r.Close), Frames: slices.Clone(r.Frames), Datagrams: slices.Clone(r.Datagrams)})
	}
	if f := nd.m.Flaw(); f != "" {
		b.t.Fatalf("%v at %v: %s", nd.m.id, b.now, f)
	}
	if b.mute[nd.i] {
		return
	}
	for _, f := range r.Frames {
		if to := b.node(f.To); to != nil && b.links[pair(nd, to)] {
			b.after(ms, func() {
				if b.links[pair(nd, to)] && !b.mute[to.i] {
					b.apply(to, to.m.Frame(b.now, nd.m.id, f.Msg))
				}
			})
		}
	}
	for _, d := range r.Datagrams {
		if to := b.node(d.To); to != nil {
			b.after(ms, func() {
				if !b.mute[to.i] {
					b.apply(to, to.m.Datagram(b.now, nd.m.id, d.Msg))
				}
			})
		}
	}
	for _, p := range slices.Clone(r.Close) {
		if to := b.node(p); to != nil && b.links[pair(nd, to)] {
			b.after(2*ms, func() { b.cut(nd, to, false, true) })
		}
	}
	for _, p := range slices.Clone(r.Dial) {
		b.after(3*ms, func() { b.dial(nd, b.node(p), p) })
	}
	for _, p := range slices.Clone(r.Probes) {
		to, o := b.node(p), detect.Accepted
		if to == nil || b.mute[to.i] {
			o = detect.Silent
		}
		b.after(2*ms, func() { b.apply(nd, nd.m.Probed(b.now, p, o)) })
	}
}

// cut ends a link, and tells those that did not end it themselves.
func (b *bloc) cut(x, y *node, tellX, tellY bool) {
	if !b.links[pair(x, y)] {
		return
	}
	delete(b.links, pair(x, y))
	if tellX {
		b.apply(x, x.m.LinkDown(b.now, y.m.id))
	}
	if tellY && !b.mute[y.i] {
		b.apply(y, y.m.LinkDown(b.now, x.m.id))
	}
}

func (b *bloc) dial(nd, to *node, p crux.NodeID) {
	switch {
	case to == nil || b.mute[to.i] || b.mute[nd.i]:
		b.apply(nd, nd.m.DialFailed(b.now, p))
	case b.links[pair(nd, to)]:
		// The other side was quicker.
	default:
		b.links[pair(nd, to)] = true
		b.apply(nd, nd.m.LinkUp(b.now, p, true))
		b.apply(to, to.m.LinkUp(b.now, nd.m.id, false))
	}
}

// run lets time go by.
func (b *bloc) run(d time.Duration) {
	end := b.now + d
	for {
		at, k := end+1, -1
		for i, q := range b.queue {
			if q.at < at {
				at, k = q.at, i
			}
		}
		var due *node
		for _, nd := range b.nodes {
			if nd.m.NextTick() < at && !b.mute[nd.i] {
				at, due = nd.m.NextTick(), nd
			}
		}
		if at > end {
			b.now = end
			return
		}
		b.now = max(b.now, at)
		if due != nil {
			b.apply(due, due.m.Tick(b.now))
			if due.m.NextTick() <= b.now && !b.mute[due.i] {
				b.t.Fatalf("%v asks for a tick that is over, at %v: %s", due.m.id, b.now, due.m.parts())
			}
			continue
		}
		do := b.queue[k].do
		b.queue = slices.Delete(b.queue, k, k+1)
		do()
	}
}

// parts says when each part of a machine wants to be called.
func (m *Machine) parts() string {
	return fmt.Sprint("detect ", m.detect.NextTick(), ", overlay ", m.overlay.NextTick(), ", gossip ", m.gossip.NextTick(), ", cast ", m.cast.NextTick(),
		", healer ", m.healer.NextTick(), ", table ", m.table.NextSettle(), ", publish ", m.publishAt, ", mend ", m.mendAt, ", ask ", m.askAt)
}

// sent counts what a node has asked for since the last call, and forgets it.
func (nd *node) since() (out Ready) {
	for _, r := range nd.ready {
		out.Dial = append(out.Dial, r.Dial...)
		out.Close = append(out.Close, r.Close...)
		out.Frames = append(out.Frames, r.Frames...)
		out.Datagrams = append(out.Datagrams, r.Datagrams...)
	}
	nd.ready = nil
	return out
}
