package overlay

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

// rounds is how many times rapid's hundred runs are made.
func rounds(n int) int {
	if testing.Short() {
		return 1
	}
	return n
}

// small are views that are full soon.
func small(t *rapid.T) Params {
	return Params{
		Active: rapid.IntRange(2, 4).Draw(t, "active"), Passive: rapid.IntRange(1, 5).Draw(t, "passive"),
		Walk: rapid.IntRange(1, 4).Draw(t, "walk"), Mention: 1, Shuffle: time.Second,
	}
}

// Whatever order messages come in, whatever breaks or ends: the promises hold
// after every step, and in the end both sides agree about every link.
func TestBothSidesAgreeInTheEnd(t *testing.T) {
	for range rounds(10) {
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.IntRange(2, 7).Draw(t, "nodes")
			w := newWires(n, rapid.Uint64().Draw(t, "seed"), small(t))
			choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
			for range rapid.IntRange(5, 150).Draw(t, "steps") {
				step(t, w, choose)
				if w.err != nil {
					t.Fatal(w.err)
				}
			}
			rest := uint64(1)
			settled := w.settle(func(n int) int {
				rest = rest*6364136223846793005 + 1442695040888963407
				return int(rest >> 33 % uint64(n))
			})
			if w.err != nil || !settled {
				t.Fatalf("settled: %v, %v", settled, w.err)
			}
			if err := w.agree(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// step does one thing: mostly what the net would do, sometimes a fault.
func step(t *rapid.T, w *wires, choose func(int) int) {
	e := w.ends[choose(len(w.ends))]
	o := w.ends[choose(len(w.ends))]
	dials, steps := w.dials(), w.steps()
	switch k := rapid.IntRange(0, 29).Draw(t, "action"); {
	case k < 12 && len(steps) > 0:
		steps[choose(len(steps))]()
	case k < 18 && len(dials) > 0:
		d := dials[choose(len(dials))]
		w.connect(d[0], d[1])
	case k < 20 && len(dials) > 0:
		d := dials[choose(len(dials))]
		delete(d[0].dial, d[1].id)
		w.do(d[0], d[0].m.DialFailed(w.now, d[1].id))
	case k < 22 && len(w.conns) > 0:
		w.conns[choose(len(w.conns))].tear(choose(2))
	case k == 22:
		w.boot(e)
	case k == 23 && e != o:
		w.do(e, e.m.Drop(w.now, o.id, w.now+time.Second))
	case k == 24 && e != o:
		w.do(e, e.m.Reach(w.now, o.id))
	case k == 25:
		w.do(e, e.m.Known(w.now, []crux.NodeID{o.id}))
	case k == 26:
		w.wind(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
	default:
		w.wind(20 * time.Millisecond)
	}
}

// A machine that is told nonsense keeps its promises, and does not panic.
func TestNonsenseIsHarmless(t *testing.T) {
	for range rounds(10) {
		rapid.Check(t, func(t *rapid.T) {
			m := New(Config{Self: nodeID(0), Rand: testRand(rapid.Uint64().Draw(t, "seed")), Params: small(t)}, 0)
			now := time.Duration(0)
			for range rapid.IntRange(1, 80).Draw(t, "steps") {
				now += time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond
				peer := nodeID(rapid.IntRange(0, 6).Draw(t, "peer"))
				switch rapid.IntRange(0, 9).Draw(t, "what") {
				case 0:
					m.LinkDown(now, peer)
				case 1:
					m.DialFailed(now, peer)
				case 2, 3:
					m.LinkUp(now, peer, rapid.Bool().Draw(t, "dialled"))
				case 4:
					m.Contacts(now, []crux.NodeID{peer, nodeID(0), {}})
				case 5:
					m.Drop(now, peer, now+time.Second)
				case 6:
					m.Reach(now, peer)
				case 7:
					m.Tick(now)
				default:
					m.Receive(now, peer, message(t))
				}
				if why := m.Flaw(); why != "" {
					t.Fatal(why)
				}
			}
		})
	}
}

// message draws any message.
func message(t *rapid.T) Message {
	id := func() crux.NodeID { return nodeID(rapid.IntRange(-1, 8).Draw(t, "node")) }
	list := func() (ids []crux.NodeID) {
		for range rapid.IntRange(0, maxOthers).Draw(t, "others") {
			ids = append(ids, id())
		}
		return ids
	}
	num := func(most int) uint8 { return uint8(rapid.IntRange(0, most).Draw(t, "number")) }
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		return &Join{Walks: num(maxWalks)}
	case 1:
		return &Neighbour{High: rapid.Bool().Draw(t, "high")}
	case 2:
		return &Accept{Room: num(255), Others: list()}
	case 3:
		return &Refuse{Busy: rapid.Bool().Draw(t, "busy"), Others: list()}
	case 4:
		return &Disconnect{Leaving: rapid.Bool().Draw(t, "leaving"), Try: id()}
	case 5:
		return &ForwardJoin{Node: id(), Room: num(255), TTL: num(maxHops), Over: num(maxHops)}
	case 6:
		return &Shuffle{Origin: id(), Seq: uint32(num(3)), TTL: num(maxHops), Nodes: list()}
	}
	return &ShuffleReply{Origin: id(), Seq: uint32(num(3)), Nodes: list()}
}
