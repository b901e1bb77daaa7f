package route

import (
	"math/rand/v2"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// rogue is a neighbour of node 0 that wants to be the only one from which it
// pulls.
type rogue struct {
	p    *peer
	id   crux.NodeID
	said time.Duration // its last message in a pull
}

// say has node 0 receive a message.
func (r *rogue) say(m Message) {
	r.said = r.p.w.now
	r.p.done(r.p.g.Receive(r.p.w.now, r.id, m))
}

// pulled says whether node 0 pulls from it.
func (r *rogue) pulled() bool { return r.p.g.pull.from != nil && r.p.g.pull.from.peer == r.id }

// differ says that its table is another one.
func (r *rogue) differ() { r.say(&Digest{Hash: r.p.w.rand.Uint64(), Count: 30}) }

// idle keeps its pull from ending for lack of an answer.
func (r *rogue) idle(m Message) {
	if r.p.w.now-r.said >= 900*ms {
		r.say(m)
	}
}

func (r *rogue) endless() {
	if r.pulled() {
		r.idle(&Summary{More: true})
	} else {
		r.differ()
	}
}

// hold has rogue neighbours of node 0 do what they do while its others have news
// that did not flood, and says how long it lacks them.
func hold(t *testing.T, rogues []int, act func(*rogue)) time.Duration {
	w := formedWorld(t, 30, 20, true)
	p := w.peers[0]
	var all []*rogue
	for _, i := range rogues {
		w.link(0, i, true)
		w.run(time.Second)
		w.peers[i].done(w.peers[i].g.LinkDown(w.now, node(0))) // it says nothing of its own
		all = append(all, &rogue{p: p, id: node(i)})
	}
	each := func(d time.Duration) {
		for range d / (100 * ms) {
			for _, r := range all {
				act(r)
			}
			w.run(100 * ms)
		}
	}
	each(10 * time.Second)
	var h *peer // an honest neighbour
	for i := len(w.peers) - 1; i > rogues[len(rogues)-1]; i-- {
		if w.g.edges[0][i] {
			h = w.peers[i]
		}
	}
	w.loss = 1
	h.publish()
	w.run(100 * ms)
	w.loss = 0
	for at := w.now; w.now-at < 10*time.Minute; each(time.Second) {
		if p.t.Get(node(h.i)).Clock == h.clock {
			return w.now - at
		}
	}
	t.Error("it never hears of it")
	return 0
}

func TestNobodyIsTheOnlyOneToBePulledFrom(t *testing.T) {
	for name, c := range map[string]struct {
		rogues []int
		act    func(*rogue)
	}{
		"summaries without end": {[]int{1}, (*rogue).endless},
		"two of them":           {[]int{1, 2}, (*rogue).endless},
		"rows that never come": {[]int{1}, func(r *rogue) {
			switch {
			case !r.pulled():
				r.differ()
			case len(r.p.g.pull.wants) == 0:
				r.say(&Summary{many(maxStamps), false})
			default:
				r.idle(&Rows{})
			}
		}},
		"it ends its pull itself": {[]int{1}, func(r *rogue) {
			if r.pulled() && r.p.w.now-r.p.g.pull.from.pulled > pullMost-200*ms {
				r.say(&Summary{})
			}
			r.endless()
		}},
		"it waits while it is pulled from": {[]int{1}, func(r *rogue) {
			r.differ()
			r.say(&Summary{More: true})
		}},
		"another link": {[]int{1}, func(r *rogue) {
			if r.p.w.now%(5*time.Second) < 100*ms {
				r.p.done(r.p.g.LinkDown(r.p.w.now, r.id))
				r.p.done(r.p.g.LinkUp(r.p.w.now, r.id))
			}
			r.endless()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			took := hold(t, c.rogues, c.act)
			t.Logf("%v", took)
			if most := time.Duration(len(c.rogues)+1)*pullMost + 15*time.Second; took > most {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// many are stamps of rows that nobody has.
func many(n int) (out []Stamp) {
	r := rand.New(rand.NewPCG(1, 1))
	for range n {
		out = append(out, Stamp{node(r.Int()), 1, 1})
	}
	sortStamps(out)
	return out
}

func TestALargeDatabaseIsPulledOverASlowLink(t *testing.T) {
	const n = 10000
	w := newWorld(t, 2, 21, false)
	w.lag = 150 * ms
	for i := range n - 2 {
		if _, err := w.peers[1].t.Update(adjacency(100+i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.link(0, 1, true)
	w.run(pullMost)
	w.agree(n, 0, 1)
}

func TestAPullThatTakesTooLongGoesOnLater(t *testing.T) {
	const n = 10000
	w := newWorld(t, 2, 22, false)
	w.lag = 450 * ms
	for i := range n - 2 {
		if _, err := w.peers[1].t.Update(adjacency(100+i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.link(0, 1, true)
	w.run(pullMost)
	if got := w.peers[0].t.Len(); got == n {
		t.Fatal("it did not take too long")
	}
	w.run(4 * pullMost)
	w.agree(n, 0, 1)
}
