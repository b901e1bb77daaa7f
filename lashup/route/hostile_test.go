package route

import (
	"math/rand/v2"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
)

// attack gives node 1 of a formed world to the test, as a neighbour of node 0.
func attack(t *testing.T, seed uint64) (*world, *peer, func(Message) GossipReady) {
	w := formedWorld(t, 30, seed, true)
	w.link(0, 1, true)
	w.run(time.Second)
	p := w.peers[0]
	return w, p, func(m Message) GossipReady {
		m, err := Decode(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		r := p.g.Receive(w.now, node(1), m)
		for _, s := range r.Sends { // whoever sends what cannot be read loses the link
			if _, err := Decode(s.Msg.Append(nil)); err != nil {
				t.Fatalf("it answers %T with what cannot be read: %v", m, err)
			}
		}
		return r
	}
}

func TestNobodySpeaksForAnother(t *testing.T) {
	_, p, send := attack(t, 1)
	was := p.t.Get(node(7))
	forged := adjacency(7, 1000, 1)
	forged.Sig[0]++
	for _, m := range []Message{&News{[]Item{{forged, false}}}, &News{[]Item{{forged, true}}}, &Rows{[]*Adjacency{forged}}} {
		r := send(m)
		if len(r.Updated) > 0 || p.t.Get(node(7)) != was {
			t.Errorf("%T: a forged adjacency was taken", m)
		}
		for _, s := range r.Sends {
			if _, ok := s.Msg.(*News); ok {
				t.Errorf("%T: a forged adjacency travels on", m)
			}
		}
	}
	if p.g.Stats().Bad == 0 {
		t.Error("nobody counts it")
	}
}

func TestANeighbourThatForgesIsNotHeardForLong(t *testing.T) {
	w, p, send := attack(t, 2)
	checks := 0
	p.g.cfg.Verify = func(a *Adjacency) bool { checks++; return verify(a) }
	for i := range 1000 {
		forged := adjacency(7, uint64(1000+i), 1)
		forged.Sig[0]++
		send(&News{[]Item{{forged, false}}})
	}
	if checks > int(badRate.Burst) {
		t.Errorf("%d signatures were checked", checks)
	}
	if r := send(&News{[]Item{{adjacency(7, 5000, 1), false}}}); len(r.Updated) != 0 {
		t.Error("it is still heard")
	}
	w.link(0, 1, false)
	w.link(0, 1, true)
	if r := send(&News{[]Item{{adjacency(7, 5000, 1), false}}}); len(r.Updated) != 0 {
		t.Error("over another link it is heard again")
	}
	w.now += 10 * time.Second
	if r := send(&News{[]Item{{adjacency(7, 5001, 1), false}}}); len(r.Updated) != 1 {
		t.Error("later it is not heard again")
	}
}

func TestWhoSaysTwoThingsHarmsNobodyElse(t *testing.T) {
	_, p, send := attack(t, 8)
	for i := range uint64(50) { // node 7 tells everybody else something else
		if _, err := p.t.Update(adjacency(7, 1000+i, 2)); err != nil {
			t.Fatal(err)
		}
		send(&News{[]Item{{adjacency(7, 1000+i, 3), false}}})
	}
	if r := send(&News{[]Item{{adjacency(1, 5000, 0), false}}}); len(r.Updated) != 1 {
		t.Error("the neighbour that passed it on is not heard any more")
	}
}

func TestWhoChangesAllTheTimeIsSlowedDown(t *testing.T) {
	w, p, send := attack(t, 9)
	w.now = 100 * time.Second
	out, last := 0, uint64(0)
	count := func(r GossipReady) {
		for _, s := range r.Sends {
			if m, ok := s.Msg.(*News); ok && s.To != node(1) {
				for _, it := range m.Items {
					if it.Adjacency.Node == node(1) {
						out, last = out+1, it.Adjacency.Clock
					}
				}
			}
		}
	}
	for i := range uint64(3000) {
		w.now += ms
		cut := withCuts(adjacency(1, 1, 0), 1000+i, Cut{node(100 + int(i)), Dead}) // always something urgent
		count(send(&News{[]Item{{cut, false}}}))
		if i%3 == 0 {
			other := withCuts(adjacency(2, 1, 0), 1000+i, Cut{node(100 + int(i)), Dead})
			count(send(&News{[]Item{{other, false}}})) // what others say does not carry it along
		}
	}
	w.now += time.Second
	count(p.g.Tick(w.now))
	if most := 4 * (maxChanges + 1) * (len(w.g.edges[0]) - 1); out > most || last != 3999 || p.g.Stats().Slowed == 0 {
		t.Errorf("3,000 changes in 3 s went on as %d, not %d; the last is %d", out, most, last)
	}
}

func TestWhoChangesAllTheTimeIsSlowedDownAmongManyThatChange(t *testing.T) {
	for _, others := range []int{100, 1000, 10000} {
		var r rates
		passed := 0
		for k := range 10000 { // before and among the others
			for range 2 {
				if k < others && r.next(0, uint32(1+k)) > 0 {
					t.Fatalf("of %d rows that change twice one was slowed", others)
				}
			}
			if r.next(0, 0) == 0 {
				passed++
			}
			if len(r.of) > maxRates {
				t.Fatalf("%d rows are counted", len(r.of))
			}
		}
		if most := maxChanges + 2*others/maxRates; passed > most {
			t.Errorf("beside %d others, %d changes of one row went on at once, more than %d", others, passed, most)
		}
		if r.next(time.Second, 0) != time.Second {
			t.Errorf("beside %d others it is slowed in the next second, too", others)
		}
	}
}

func TestWhoChangesAllTheTimeIsSlowedDownAfterMany(t *testing.T) {
	var r rates
	for i := range uint32(maxRates) {
		r.next(0, 1+i)
	}
	passed := 0
	for range 1000 {
		if r.next(0, 0) == 0 {
			passed++
		}
	}
	if passed > maxChanges+1 {
		t.Errorf("%d changes of one row went on at once", passed)
	}
}

// A rogue neighbour signs no end of adjacencies of its own, all valid and new: by
// flood, in answer to what it made others ask for, or as rows that nobody asked
// for. Links are cut and made anew meanwhile.
func TestValidNewsOfOneNeighbourCostABoundedWork(t *testing.T) {
	was := workRate
	workRate = limit.Rate{PerSecond: 100, Burst: 1000}
	t.Cleanup(func() { workRate = was })
	for name, tell := range map[string]func(send func(Message) GossipReady, a *Adjacency){
		"news": func(send func(Message) GossipReady, a *Adjacency) { send(&News{[]Item{{a, false}}}) },
		"rows": func(send func(Message) GossipReady, a *Adjacency) { send(&Rows{[]*Adjacency{a}}) },
		"bare news, then rows": func(send func(Message) GossipReady, a *Adjacency) {
			a = a.withCard(card(1, 1, uint32(a.Clock))) // a card that nobody has
			send(&News{[]Item{{sign(a), true}}})
			send(&Rows{[]*Adjacency{a}})
		},
		"a comparison": func(send func(Message) GossipReady, a *Adjacency) {
			send(&Digest{Hash: a.Clock, Count: 30})
			send(&Summary{Stamps: []Stamp{{a.Node, a.Epoch, a.Clock}}})
			send(&Rows{[]*Adjacency{a, adjacency(1, a.Clock+1, 0)}})
			send(&Rows{})
		},
	} {
		w, p, send := attack(t, 10)
		w.now = 100 * time.Second
		checks, scans := 0, 0
		p.g.cfg.Verify = func(a *Adjacency) bool { checks++; return verify(a) }
		const times = 3000
		for i := range uint64(times) {
			w.now += ms
			if i%500 == 0 {
				w.link(0, 1, false)
				w.link(0, 1, true)
			}
			before := p.g.pull.from
			tell(send, adjacency(1, 1000+2*i, 0))
			if before == nil && p.g.pull.from != nil {
				scans++
			}
		}
		most := int(workRate.Burst + times/1000*workRate.PerSecond)
		t.Logf("%s: %d told, %d checks, %d left", name, times, checks, p.g.Stats().Over)
		if checks+scans > most || p.g.Stats().Over == 0 {
			t.Errorf("%s: %d checks, %d scans; %d were left", name, checks, scans, p.g.Stats().Over)
		}
		other := adjacency(2, 5000, 0)
		if r := p.g.Receive(w.now, w.someNeighbour(0, 1), &News{[]Item{{other, false}}}); len(r.Updated) != 1 {
			t.Errorf("%s: others are not heard", name)
		}
		w.now += time.Minute
		if r := send(&News{[]Item{{adjacency(1, 1<<40, 0), false}}}); len(r.Updated) != 1 {
			t.Errorf("%s: a minute later it is not heard", name)
		}
	}
}

// someNeighbour is a neighbour of node i other than the one named.
func (w *world) someNeighbour(i, but int) crux.NodeID {
	for e := range w.g.edges[i] {
		if e != but {
			return node(e)
		}
	}
	w.t.Fatal("there is none")
	return crux.NodeID{}
}

func TestStrangersHaveNoRows(t *testing.T) {
	_, p, send := attack(t, 3)
	p.allowed = func(id crux.NodeID) bool { return p.w.by[id] != nil }
	rows, seen := p.t.Len(), p.t.ix.Len()
	for i := range 500 {
		send(&News{[]Item{{adjacency(100+i, 1, 1), false}}})
		send(&Rows{[]*Adjacency{adjacency(1000+i, 1, 1)}})
		// A member may name whom it likes.
		send(&News{[]Item{{adjacency(1, uint64(1000+i), 2000+i, 3000+i), false}}})
	}
	if p.t.Len() != rows || p.t.ix.Len() != seen {
		t.Errorf("%d rows became %d, %d numbers became %d", rows, p.t.Len(), seen, p.t.ix.Len())
	}
}

func TestOfTwoWordsWithOneStampTheFirstStays(t *testing.T) {
	_, p, send := attack(t, 4)
	first := adjacency(1, 500, 0)
	send(&News{[]Item{{first, false}}})
	r := send(&News{[]Item{{adjacency(1, 500, 0, 2), false}}})
	if len(r.Updated) > 0 || len(p.t.Get(node(1)).Edges) != 1 || p.g.Stats().Bad != 1 {
		t.Error("the second was taken, or not counted")
	}
}

func TestRepairForOneNeighbourIsBounded(t *testing.T) {
	w, p, send := attack(t, 5)
	out := 0
	for i := range 10000 {
		if i%100 == 0 { // nor is there more for who comes again
			w.link(0, 1, false)
			w.link(0, 1, true)
		}
		for _, s := range append(send(&Buckets{[]uint64{1}}).Sends, send(&Want{[]crux.NodeID{node(7)}}).Sends...) {
			out += s.Msg.Size()
		}
	}
	if most := serveBase + 5*p.t.Bytes(); out > most {
		t.Errorf("%d bytes were sent, more than %d", out, most)
	}
	w.now += (serveEvery + 1) * time.Second
	for _, s := range send(&Want{[]crux.NodeID{node(7)}}).Sends {
		if m, ok := s.Msg.(*Rows); ok && len(m.Adjacencies) == 1 {
			return
		}
	}
	t.Error("later it is not served again")
}

func TestASummaryThatNeverEndsIsBounded(t *testing.T) {
	_, p, send := attack(t, 6)
	p.g.onDigest(p.g.link(node(1)), &Digest{Hash: 1, Count: 1 << 30})
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		m := &Summary{More: true}
		for range maxStamps {
			m.Stamps = append(m.Stamps, Stamp{node(r.Int()), 1, 1})
		}
		sortStamps(m.Stamps)
		send(m)
	}
	if n := len(p.g.pull.wants); n > MaxNodes {
		t.Errorf("%d rows are wanted", n)
	}
}

func TestNoMessageMakesItPanic(t *testing.T) {
	w, p, _ := attack(t, 7)
	r := rand.New(rand.NewPCG(9, 9))
	for range 20000 {
		var m Message
		switch r.IntN(6) {
		case 0:
			m = &Digest{r.Uint64(), r.Uint32(), r.IntN(2) == 0}
		case 1:
			m = &Buckets{make([]uint64, 1<<r.IntN(9))}
		case 2:
			m = &Summary{[]Stamp{{node(r.IntN(40)), r.Uint64(), r.Uint64()}}, r.IntN(2) == 0}
		case 3:
			m = &Want{[]crux.NodeID{node(r.IntN(40))}}
		case 4:
			m = &Rows{[]*Adjacency{adjacency(1+r.IntN(40), r.Uint64(), 41+r.IntN(40))}}
		default:
			m = &News{[]Item{{adjacency(1+r.IntN(40), r.Uint64(), 41+r.IntN(40)), r.IntN(2) == 0}}}
		}
		w.now += time.Duration(r.IntN(100)) * ms
		m, err := Decode(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		p.g.Receive(w.now, node(1), m)
		p.g.Tick(w.now)
	}
}
