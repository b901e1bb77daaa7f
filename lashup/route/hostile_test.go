package route

import (
	"math/rand/v2"
	"testing"
	"time"

	"fulcrum.example/crux"
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
		return p.g.Receive(w.now, node(1), m)
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
	if checks > maxBad {
		t.Errorf("%d signatures were checked", checks)
	}
	if r := send(&News{[]Item{{adjacency(7, 5000, 1), false}}}); len(r.Updated) != 0 {
		t.Error("it is still heard")
	}
	w.now += badEvery
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
	for range 10000 {
		for _, s := range append(send(&Buckets{[]uint64{1}}).Sends, send(&Want{[]crux.NodeID{node(7)}}).Sends...) {
			out += s.Msg.Size()
		}
	}
	if most := serveBase + 5*p.t.Bytes(); out > most {
		t.Errorf("%d bytes were sent, more than %d", out, most)
	}
	w.now += serveEvery + time.Second
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
