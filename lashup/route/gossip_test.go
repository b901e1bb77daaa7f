package route

import (
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestAChangeReachesEverybodyInMilliseconds(t *testing.T) {
	for _, codec := range []bool{false, true} {
		w := formedWorld(t, 100, 1, codec)
		w.peers[7].publish()
		w.run(60 * ms)
		w.agree(100, upto(100)...)
		t.Logf("100 nodes, a change that can wait: %v", w.bytes)
		clear(w.bytes)
		w.verdict(3, 9)
		w.run(12 * ms)
		w.agree(100, upto(100)...)
		t.Logf("100 nodes, a verdict: %v", w.bytes)
	}
}

// verdict has node a publish that b is dead.
func (w *world) verdict(a, b int) {
	p := w.peers[a]
	p.clock++
	x := p.t.Get(node(a)).withCard(card(a, 1, 1))
	x.Clock, x.Cuts = p.clock, []Cut{{node(b), Dead}}
	r, err := p.g.Publish(w.now, sign(x))
	if err != nil {
		w.t.Fatal(err)
	}
	p.done(r)
}

func TestANodeThatJoinsGetsTheDatabaseOnce(t *testing.T) {
	const n = 300
	w := formedWorld(t, n, 2, false)
	w.grow()
	for i := range 6 {
		w.link(n, i*40, true)
	}
	w.run(time.Second)
	w.agree(n+1, upto(n+1)...)
	p := w.peers[n]
	size := p.t.Bytes()
	t.Logf("it read %d bytes, %d adjacencies; the database has %d bytes, %d adjacencies", p.in, p.rows, size, n+1)
	if p.in > size*14/10 || p.rows > n*12/10 {
		t.Errorf("it read %d bytes and %d rows for a database of %d and %d", p.in, p.rows, size, n+1)
	}
}

func TestTwoPartsThatMeetLearnOfOneAnother(t *testing.T) {
	const n = 120
	w := newWorld(t, n, 3, false)
	g := randomGraph(w.rand, n/2, 6)
	for a := range n / 2 {
		for b := range a {
			if g.edges[a][b] {
				w.link(a, b, true)
				w.link(a+n/2, b+n/2, true)
			}
		}
	}
	w.run(5 * time.Second)
	w.agree(n/2, upto(n/2)...)
	clear(w.bytes)
	w.link(3, n/2+9, true)
	w.run(time.Second)
	w.agree(n, upto(n)...)
	t.Logf("%d nodes: %v; the database has %d bytes", n, w.bytes, w.peers[0].t.Bytes())
	sum := 0
	for _, b := range w.bytes {
		sum += b
	}
	if most := n * w.peers[0].t.Bytes(); sum > most {
		t.Errorf("%d bytes for a meeting; the whole database for everybody is %d", sum, most)
	}
}

func TestLostNewsAreRepaired(t *testing.T) {
	for seed := range uint64(5) {
		w := formedWorld(t, 60, seed, false)
		w.loss = 0.6
		for i := range 60 {
			w.peers[i].publish()
			w.run(5 * ms)
		}
		w.loss = 0
		w.run(2 * time.Minute)
		w.agree(60, upto(60)...)
	}
}

func TestTablesConvergeUnderChurn(t *testing.T) {
	n := 80
	if testing.Short() {
		n = 30
	}
	w := formedWorld(t, n, 5, true)
	for range 6 * n {
		a, b := w.rand.IntN(n), w.rand.IntN(n)
		w.link(a, b, !w.g.edges[a][b] && len(w.g.edges[a]) < 12)
		w.run(time.Duration(w.rand.IntN(4)) * ms)
	}
	t.Logf("%d nodes, %d changes: %v", n, 12*n, w.bytes)
	for i := 1; i < n; i++ {
		w.link(i, i/2, true) // in one piece again
	}
	w.run(40 * time.Second)
	w.agree(n, upto(n)...)
	for _, p := range w.peers {
		if s := p.g.Stats(); s.Bad > 0 || s.Over > 0 {
			t.Errorf("node %d refused %d adjacencies, and put off %d", p.i, s.Bad, s.Over)
		}
	}
}

func TestAnIdleNodeIsQuiet(t *testing.T) {
	w := formedWorld(t, 100, 6, false)
	w.run(10 * time.Minute)
	rate := w.rate(10 * time.Minute)
	t.Logf("%.1f bytes a second a node", rate)
	if rate > 10 {
		t.Errorf("%.1f bytes a second a node", rate)
	}
}

// rate is the number of bytes a second that a node sent in the last d.
func (w *world) rate(d time.Duration) float64 {
	sum := 0
	for _, b := range w.bytes {
		sum += b
	}
	return float64(sum) / d.Seconds() / float64(len(w.peers))
}

func TestWhatWasForgottenStaysAway(t *testing.T) {
	w := formedWorld(t, 40, 7, false)
	for b := range w.g.edges[5] {
		w.link(5, b, false)
	}
	w.run(time.Second)
	gone := func(id crux.NodeID) bool { return id == node(5) }
	for _, p := range w.peers[:20] { // half of them know of the eviction
		p.allowed = func(id crux.NodeID) bool { return !gone(id) }
		p.t.Forget(node(5))
	}
	clear(w.bytes)
	w.run(time.Minute)
	if rate := w.rate(time.Minute); rate > 100 {
		t.Errorf("tables that differ for good cost %.0f bytes a second a node: %v", rate, w.bytes)
	}
	for i, p := range w.peers {
		if i != 5 && (p.t.Get(node(5)) == nil) != (i < 20) {
			t.Errorf("node %d has the row: %v", i, p.t.Get(node(5)) != nil)
		}
	}
	for _, p := range w.peers[:20] { // now admitted again, but only newer
		p.allowed = func(crux.NodeID) bool { return true }
		p.done(p.g.Compare(w.now))
	}
	w.run(time.Minute)
	if w.peers[1].t.Get(node(5)) != nil {
		t.Error("an old adjacency came back")
	}
	w.link(5, 1, true)
	w.run(time.Second)
	w.agree(40, upto(40)...)
}

func TestANodeLearnsOfItsOwnNewerAdjacency(t *testing.T) {
	w := formedWorld(t, 20, 8, false)
	p := w.peers[3]
	ghost := p.t.Get(node(3)).withCard(card(3, 1, 1))
	ghost.Clock += 100 // of a life whose end was not written down
	q := w.peers[0]
	for peer := range w.by {
		if peer != node(0) && peer != node(3) {
			q.done(q.g.Receive(w.now, peer, &News{[]Item{{sign(ghost), false}}}))
		}
	}
	w.run(time.Minute)
	if p.ahead == nil || p.ahead.Clock != ghost.Clock || p.t.Get(node(3)).Clock == ghost.Clock {
		t.Fatalf("it was told of %+v, and has %d", p.ahead, p.t.Get(node(3)).Clock)
	}
	p.clock = p.ahead.Clock
	p.publish()
	w.run(time.Second)
	w.agree(20, upto(20)...)
}

func TestOnlyItsOwnAndNewerIsPublished(t *testing.T) {
	p := newWorld(t, 2, 9, false).peers[0]
	if _, err := p.g.Publish(0, adjacency(1, 9)); crux.KindOf(err) != crux.Invalid {
		t.Errorf("another's: %v", err)
	}
	if _, err := p.g.Publish(0, p.t.Get(node(0))); crux.KindOf(err) != crux.Conflict {
		t.Errorf("the same again: %v", err)
	}
}

func TestANewCardTravelsWithTheChange(t *testing.T) {
	w := formedWorld(t, 60, 10, true)
	p := w.peers[4]
	p.clock++
	a := p.t.Get(node(4)).withCard(card(4, 1, 2))
	a.Clock = p.clock
	r, err := p.g.Publish(w.now, sign(a))
	if err != nil {
		t.Fatal(err)
	}
	p.done(r)
	w.run(100 * ms)
	w.agree(60, upto(60)...)
	for i, q := range w.peers {
		if c := q.t.Get(node(4)).Card; c.Seq != 2 {
			t.Errorf("node %d has card %d", i, c.Seq)
		}
	}
}
