package cast

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// latencies gathers how long after their publication messages were delivered.
func (w *world) latencies(sent map[ID]time.Duration) (all []time.Duration) {
	for _, p := range w.peers {
		for id, at := range p.got {
			if from, ok := sent[id]; ok {
				all = append(all, at-from)
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestLostFramesAreRepaired(t *testing.T) {
	n, seeds := 200, uint64(4)
	if testing.Short() {
		n, seeds = 60, 2
	}
	for seed := range seeds {
		for _, loss := range []float64{0.01, 0.03} {
			w := newWorld(t, n, seed, randomEdges(seed, n))
			w.loss, w.codec = loss, seed == 0
			sent := make(map[ID]time.Duration)
			for range 50 {
				i := w.rand.IntN(n)
				sent[w.publishFrom(i, strings.Repeat("x", 100), Options{})] = w.now
				w.run(10 * ms)
			}
			w.run(5 * time.Second)
			for id := range sent {
				w.everybodyBut(id, slices.IndexFunc(w.peers, func(p *peer) bool { return node(p.i) == id.Origin }))
			}
			all := w.latencies(sent)
			at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(ms / 10) }
			t.Logf("%d nodes, %.0f%% loss: median %v, p99 %v, p99.9 %v, worst %v; %.2f copies a node", n, 100*loss,
				at(0.5), at(0.99), at(0.999), at(1), float64(w.count["*cast.Push"])/50/float64(n-1))
			if loss <= 0.01 && (at(0.5) > 300*ms || at(0.999) > time.Second) {
				t.Errorf("at %.0f%% loss the median is %v, p99.9 %v", 100*loss, at(0.5), at(0.999))
			}
		}
	}
}

func TestALinkThatBreaksLosesNoMessage(t *testing.T) {
	const n = 100
	for seed := range uint64(5) {
		w := newWorld(t, n, seed, randomEdges(seed, n))
		w.spread = 300 * ms // the tables learn of it much later
		id := w.publishFrom(0, "x", Options{})
		w.run(time.Millisecond) // under way
		broken := 0
		for range 60 {
			a, b := w.rand.IntN(n), w.rand.IntN(n)
			if w.peers[a].links[node(b)] && (a+1)%n != b && (b+1)%n != a { // the ring remains
				w.link(a, b, false)
				broken++
			}
		}
		w.run(time.Second)
		w.everybodyBut(id, 0)
	}
}

func TestEverybodyIsReachedWhileTreesDiffer(t *testing.T) {
	n, rounds := 150, 600
	if testing.Short() {
		n, rounds = 50, 200
	}
	for seed := range uint64(3) {
		w := newWorld(t, n, seed, randomEdges(seed, n))
		w.spread, w.loss = 200*ms, 0.01
		sent := make(map[ID]time.Duration)
		from := make(map[ID]int)
		for k := range rounds {
			a, b := w.rand.IntN(n), w.rand.IntN(n)
			if up := w.peers[a].links[node(b)]; !up && len(w.peers[a].links) < 10 && len(w.peers[b].links) < 10 {
				w.link(a, b, true)
			} else if up && (a+1)%n != b && (b+1)%n != a {
				w.link(a, b, false)
			}
			if k%5 == 0 {
				i := w.rand.IntN(n)
				id := w.publishFrom(i, "x", Options{})
				sent[id], from[id] = w.now, i
			}
			w.run(5 * ms)
		}
		w.run(5 * time.Second)
		for id, i := range from {
			w.everybodyBut(id, i)
		}
		all := w.latencies(sent)
		t.Logf("seed %d: median %v, p99.9 %v, worst %v", seed, all[len(all)/2], all[len(all)*999/1000], all[len(all)-1])
	}
}

func TestAShortPartitionLosesNothingALongOneDoes(t *testing.T) {
	const n = 40
	for _, c := range []struct {
		cut  time.Duration
		want bool
	}{{5 * time.Second, true}, {15 * time.Second, false}} {
		w := newWorld(t, n, 3, randomEdges(3, n))
		var cut [][2]int
		for a := range n / 2 {
			for b := n / 2; b < n; b++ {
				if w.peers[a].links[node(b)] {
					w.link(a, b, false)
					cut = append(cut, [2]int{a, b})
				}
			}
		}
		w.run(time.Second)
		id := w.publishFrom(2, "x", Options{})
		w.run(c.cut)
		if who, _ := w.reached(id); len(who) != n/2-1 {
			t.Fatalf("%d nodes have it before the parts meet", len(who))
		}
		w.link(cut[0][0], cut[0][1], true)
		w.run(2 * time.Second)
		if who, _ := w.reached(id); (len(who) == n-1) != c.want {
			t.Errorf("after %v: %d nodes have it", c.cut, len(who))
		}
	}
}

func TestWhoComesLateGetsNothingOld(t *testing.T) {
	w := newWorld(t, 10, 4, line(10))
	w.publishFrom(0, "old", Options{})
	w.run(time.Second)
	p := w.add(10, 1)
	w.share()
	w.link(9, 10, true)
	w.run(time.Second)
	if len(p.all) > 0 {
		t.Errorf("it got %q", p.all[0].Payload)
	}
	id := w.publishFrom(0, "new", Options{})
	w.run(time.Second)
	w.everybodyBut(id, 0)
}

func TestARestartedOriginBeginsAnew(t *testing.T) {
	w := newWorld(t, 12, 5, randomEdges(5, 12))
	for range 20 {
		w.publishFrom(3, "first life", Options{})
	}
	w.run(time.Second)
	links := w.peers[3].neighbours()
	var others []int
	for i := range w.peers {
		if slices.Contains(links, node(i)) {
			others = append(others, i)
			w.link(3, i, false)
		}
	}
	w.run(time.Second)
	w.forget()
	p := w.add(3, 2)
	for _, q := range w.peers {
		if q != p {
			a := q.adjacency()
			for _, r := range w.peers {
				r.update(a)
			}
		}
	}
	w.publish(3)
	for _, i := range others {
		w.link(3, i, true)
	}
	w.run(time.Second)
	if len(p.all) > 0 {
		t.Errorf("it got %v of its earlier life", p.all[0].ID)
	}
	id := w.publishFrom(3, "second life", Options{})
	if id.Seq != 1 || id.Epoch != 2 {
		t.Fatalf("%v", id)
	}
	w.run(time.Second)
	w.everybodyBut(id, 3)
}

func TestASuccessorGoesOnCounting(t *testing.T) {
	w := newWorld(t, 2, 6, line(2))
	w.publishFrom(0, "x", Options{})
	c := w.peers[0].c
	c.cfg.Seq = c.Seq()
	next := New(c.cfg, w.now)
	id, _, err := next.Publish(w.now, Request{Topic: "t"})
	if err != nil || id.Seq != 2 {
		t.Errorf("%v, %v", id, err)
	}
}

func TestAMessageThatOvertakesItsOriginsCardIsDelivered(t *testing.T) {
	w := newWorld(t, 3, 7, line(3))
	p := w.add(3, 1) // nobody knows it yet
	for _, q := range w.peers[:3] {
		p.update(q.adjacency())
	}
	w.set(2, 3, true)
	w.peers[2].done(w.peers[2].c.Neighbours(w.now, w.peers[2].neighbours()))
	p.done(p.c.Neighbours(w.now, p.neighbours()))
	p.update(p.adjacency())
	p.update(w.peers[2].adjacency())
	id := w.publishFrom(3, "hello", Options{})
	w.run(200 * ms)
	if who, _ := w.reached(id); len(who) > 0 {
		t.Fatalf("%v took a message that they cannot verify", who)
	}
	w.share()
	w.run(time.Second)
	w.everybodyBut(id, 3)
}

func TestAMessageForAFewFindsAnotherWay(t *testing.T) {
	// 0 - 1 - 2 - 3, and 0 - 4 - 5 - 6 - 3 as the longer way.
	w := newWorld(t, 7, 8, [][2]int{{0, 1}, {1, 2}, {2, 3}, {0, 4}, {4, 5}, {5, 6}, {6, 3}})
	w.peers[2].down = true // it takes the message and dies
	id := w.publishFrom(0, "for 3", Options{Only: nodes(3)})
	w.run(300 * ms)
	if who, _ := w.reached(id); len(who) > 0 {
		t.Fatalf("%v got it", who)
	}
	w.link(1, 2, false)
	w.link(2, 3, false)
	w.run(time.Second)
	if who, _ := w.reached(id); !slices.Equal(who, []int{3}) {
		t.Errorf("%v got it", who)
	}
}

func TestTheLifeOfAMessageIsKeptByRepair(t *testing.T) {
	w := newWorld(t, 6, 9, line(6))
	for k := range 50 {
		id := w.publishFrom(0, "x", Options{TTL: 3, RecordRoute: true})
		w.run(time.Duration(w.rand.IntN(4000)) * time.Microsecond)
		at := k % 4
		w.link(at, at+1, false) // and what is under way there is lost
		w.link(at, at+1, true)
		w.run(2 * time.Second)
		if who, _ := w.reached(id); !slices.Equal(who, []int{1, 2, 3}) {
			t.Fatalf("%v got it", who)
		}
	}
}
