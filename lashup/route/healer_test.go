package route

import (
	"math/rand/v2"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// probes runs a healer and counts its probes by node.
func probes(h *Healer, from, to time.Duration) (got map[crux.NodeID]int, n int) {
	got = make(map[crux.NodeID]int)
	for h.NextTick() <= to {
		for _, id := range h.Tick(max(from, h.NextTick())) {
			got[id]++
			n++
		}
	}
	return got, n
}

func newHealer(tb *Table) *Healer { return NewHealer(tb, rand.New(rand.NewPCG(4, 4)), 0) }

func TestNobodyIsProbedWhileNobodyIsMissing(t *testing.T) {
	tb, _ := formed(20)
	h := newHealer(tb)
	h.Contacts(time.Second, nodes(0, 1, 2))
	if _, n := probes(h, time.Second, time.Hour); n != 0 || h.NextTick() != never {
		t.Errorf("%d probes, the next at %v", n, h.NextTick())
	}
}

func TestContactsThatAreDownAreProbedForever(t *testing.T) {
	tb := newTable(0)
	must(t, tb, adjacency(0, 1))
	h := newHealer(tb)
	h.Contacts(0, nodes(0, 1, 2, 3))
	_, n := probes(h, 0, 10*time.Second)
	if n < 4 || n > 20 {
		t.Errorf("%d probes in the first 10 s", n)
	}
	got, n := probes(h, 10*time.Second, 10*time.Minute)
	if len(got) != 3 || n < 590/7 || n > 590/3 {
		t.Errorf("then %d probes of %d contacts in 10 minutes", n, len(got))
	}
}

func TestTheLostAreProbedAtAFallingRate(t *testing.T) {
	w, g := ring(40)
	for i := 10; i < 30; i++ { // half of the ring
		for e := range g.edges[i] {
			delete(g.edges[e], i)
		}
		g.edges[i] = map[int]bool{}
	}
	for i := range 40 {
		must(t, w.Table, g.next(i))
	}
	w.to(5 * time.Second)
	h := newHealer(w.Table)
	h.Lost(5 * time.Second)
	_, first := probes(h, 5*time.Second, 15*time.Second)
	_, later := probes(h, 15*time.Second, 10*time.Minute)
	got, last := probes(h, 10*time.Minute, 24*time.Hour)
	if first < 3 || first > 12 || later < 15 || later > 60 || len(got) != 20 {
		t.Errorf("%d probes in 10 s, %d in 10 minutes, %d of %d nodes in a day", first, later, last, len(got))
	}
	h.Lost(24 * time.Hour)
	if _, again := probes(h, 24*time.Hour, 24*time.Hour+10*time.Second); again < 3 {
		t.Errorf("%d probes in 10 s after another loss", again)
	}
}
