package route

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// answers are what a table says of each of n nodes.
func answers(tb *Table, n int) (out []any) {
	out = append(out, tb.Hash(), tb.Shape(), tb.Len(), tb.Bytes(), tb.Reachable(), tb.NextSettle(), tb.Tree(tb.Self()).Reachable())
	for i := range n {
		id := node(i)
		s, why := tb.State(id)
		out = append(out, s, why, tb.Get(id), tb.Neighbours(id), tb.Tree(tb.Self()).Path(id), tb.Tree(id).Distance(tb.Self()))
	}
	return out
}

// churned is a settled table of node 0 over a graph of 200 nodes, in two parts,
// that many others have come to and gone from.
func churned(others int) (*Table, *graph) {
	g := randomGraph(rand.New(rand.NewPCG(3, 3)), 200, 6)
	for e := range g.edges[150] {
		g.set(150, e, false)
	}
	tb := newTable(0)
	for i := range 100 {
		update(tb, g.next(i))
	}
	for i := range others {
		update(tb, adjacency(1000+i, 1))
		tb.Forget(node(1000 + i))
	}
	for i := range g.edges[100:] {
		update(tb, g.next(100+i))
	}
	tb.Settle(0)
	tb.Settle(time.Second)
	return tb, g
}

func TestAnIndexForgetsTheForgotten(t *testing.T) {
	tb, g := churned(maxGone + 100)
	tree := tb.Tree(node(7))
	path := tree.Path(node(180))
	g.set(0, 150, true)
	update(tb, g.next(150))
	if tb.shrink() {
		t.Error("it did not wait for a change to settle")
	}
	g.set(0, 150, false)
	update(tb, g.next(150))
	tb.Settle(2 * time.Second)
	tb.Settle(3 * time.Second)
	was := answers(tb, 220)
	if !tb.shrink() || tb.ix.Len() != 200 {
		t.Fatalf("%d nodes are numbered", tb.ix.Len())
	}
	if now := answers(tb, 220); !reflect.DeepEqual(was, now) {
		t.Error("it answers otherwise than before")
	}
	if !slices.Equal(tree.Path(node(180)), path) {
		t.Error("a tree that was given out has changed")
	}
	if tb.Settle(4*time.Second) != nil || tb.shrink() {
		t.Error("it is not settled")
	}
	g.set(0, 150, true)
	update(tb, g.next(0))
	update(tb, g.next(150))
	tb.Settle(5 * time.Second)
	ev := tb.Settle(6 * time.Second)
	if want := (Event{Node: node(150), From: Down, To: Up}); len(ev) != 1 || ev[0] != want {
		t.Errorf("the next change leads to %v", ev)
	}
}

func TestAnIndexOfFewForgottenStays(t *testing.T) {
	tb, _ := churned(maxGone - 1)
	if ix := tb.ix; tb.shrink() || tb.ix != ix {
		t.Error("it is made anew")
	}
}

// A bloc whose nodes are replaced all the time, by others: the gossip keeps the
// index small, and loses nothing by it.
func TestGossipKeepsTheIndexSmall(t *testing.T) {
	w := formedWorld(t, 20, 12, false)
	p, from := w.peers[0], w.someNeighbour(0, 0)
	for i := range 2 * maxGone {
		a := adjacency(1000+i, 1)
		p.done(p.g.Receive(w.now, from, &Rows{[]*Adjacency{a}}))
		p.t.Forget(a.Node)
		if i%100 == 0 {
			p.t.Settle(w.now)
			w.run(time.Second)
			p.t.Settle(w.now)
			w.run(15 * time.Second)
		}
	}
	if n := p.t.ix.Len(); n > maxGone+1000+p.t.Len() {
		t.Errorf("%d nodes are numbered", n)
	}
	w.peers[3].publish()
	w.run(time.Second)
	w.agree(20, upto(20)...)
}
