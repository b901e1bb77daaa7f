package overlay

import (
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// full is a machine with all the neighbours that it may have, which come back
// whenever they are let go, and a count of how often that was.
type full struct {
	t     *testing.T
	m     *Machine
	now   time.Duration
	gone  int // neighbours that were let go
	dials []crux.NodeID
	last  []Message // to the peer of the last call
}

func newFull(t *testing.T) *full {
	f := &full{t: t, m: New(Config{Self: nodeID(0), Rand: testRand(1)}, 0)}
	f.refill()
	return f
}

// refill has others take the places that are free.
func (f *full) refill() {
	for i := 1; f.m.room() > 0; i++ {
		if id := nodeID(i); f.m.find(id) == nil {
			f.do(id, f.m.LinkUp(f.now, id, false))
			f.do(id, f.m.Receive(f.now, id, &Neighbour{}))
		}
	}
	f.gone = 0
}

// do takes in what a call asks: neighbours that are let go are counted.
func (f *full) do(peer crux.NodeID, r Ready) {
	f.t.Helper()
	f.last, f.dials = nil, slices.Clone(r.Dial)
	for _, s := range r.Sends {
		if _, bye := s.Msg.(*Disconnect); bye && s.To != peer {
			f.gone++
		}
		if s.To == peer {
			f.last = append(f.last, s.Msg)
		}
	}
	if why := f.m.Flaw(); why != "" {
		f.t.Fatal(why)
	}
}

// leave has a peer close its link, and the places filled again.
func (f *full) leave(peer crux.NodeID) (gone int) {
	f.do(peer, f.m.LinkDown(f.now, peer))
	gone = f.gone
	f.refill()
	return gone
}

// Whatever a node does to become a neighbour and go again, it pushes out few, and
// many nodes not many more.
func TestWhoComesAndGoesPushesOutFew(t *testing.T) {
	for name, come := range map[string]func(f *full, rogue crux.NodeID){
		"it has none, it says": func(f *full, rogue crux.NodeID) {
			f.do(rogue, f.m.LinkUp(f.now, rogue, false))
			f.do(rogue, f.m.Receive(f.now, rogue, &Neighbour{High: true}))
		},
		"it joins": func(f *full, rogue crux.NodeID) {
			f.do(rogue, f.m.LinkUp(f.now, rogue, false))
			f.do(rogue, f.m.Receive(f.now, rogue, &Join{Walks: 2}))
		},
		"a walk names it": func(f *full, rogue crux.NodeID) {
			by := f.m.Active()[0]
			f.do(by, f.m.Receive(f.now, by, &ForwardJoin{Node: rogue, Room: 6}))
			if slices.Contains(f.dials, rogue) {
				f.do(rogue, f.m.LinkUp(f.now, rogue, true))
				f.do(rogue, f.m.Receive(f.now, rogue, &Accept{Room: 6}))
			}
		},
		"it asks back, when there is no room": func(f *full, rogue crux.NodeID) {
			by := f.m.Active()[0]
			f.do(by, f.m.Receive(f.now, by, &Disconnect{Try: rogue}))
			if slices.Contains(f.dials, rogue) {
				f.do(rogue, f.m.LinkUp(f.now, rogue, true))
				f.refill()
				f.do(rogue, f.m.Receive(f.now, rogue, &Neighbour{}))
			}
		},
		"its link is made anew, when there is no room": func(f *full, rogue crux.NodeID) {
			by := f.m.Active()[0]
			f.do(by, f.m.Receive(f.now, by, &Disconnect{Try: rogue}))
			if slices.Contains(f.dials, rogue) {
				f.do(rogue, f.m.LinkUp(f.now, rogue, true))
				f.do(rogue, f.m.Receive(f.now, rogue, &Accept{}))
				f.do(rogue, f.m.LinkUp(f.now, rogue, true))
				f.refill()
				f.do(rogue, f.m.Receive(f.now, rogue, &Accept{}))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const seconds, tries = 60, 40
			for _, c := range []struct{ rogues, most int }{
				{1, int(pushOne.Burst + seconds*pushOne.PerSecond)}, {500, int(pushAll.Burst + seconds*pushAll.PerSecond)},
			} {
				f := newFull(t)
				gone := 0
				for i := range seconds * tries {
					f.now += time.Second / tries
					rogue := nodeID(1000 + i%c.rogues)
					come(f, rogue)
					gone += f.leave(rogue)
				}
				t.Logf("%d nodes push out %d of at most %d", c.rogues, gone, c.most)
				if gone == 0 || gone > c.most {
					t.Errorf("%d nodes push out %d, want 1 to %d", c.rogues, gone, c.most)
				}
			}
		})
	}
}

func TestWhoPushesTooOftenIsSentToOthers(t *testing.T) {
	f := newFull(t)
	rogue := nodeID(1000)
	for range int(pushOne.Burst) {
		f.do(rogue, f.m.LinkUp(f.now, rogue, false))
		f.do(rogue, f.m.Receive(f.now, rogue, &Neighbour{High: true}))
		if _, ok := f.last[0].(*Accept); !ok {
			t.Fatalf("at first it is answered %T", f.last[0])
		}
		f.leave(rogue)
	}
	ask := func() Message {
		f.do(rogue, f.m.LinkUp(f.now, rogue, false))
		f.do(rogue, f.m.Receive(f.now, rogue, &Neighbour{High: true}))
		return f.last[0]
	}
	if no, ok := ask().(*Refuse); !ok || !no.Busy || len(no.Others) == 0 {
		t.Errorf("it is answered %+v", f.last[0])
	}
	f.do(f.m.Active()[0], f.m.Receive(f.now, f.m.Active()[0], &Disconnect{}))
	if _, ok := ask().(*Accept); !ok {
		t.Errorf("where there is room it is answered %+v", f.last[0])
	}
	f.leave(rogue)
	f.now += 11 * time.Second
	if _, ok := ask().(*Accept); !ok {
		t.Errorf("later it is answered %+v", f.last[0])
	}
}

func TestWhoIsDroppedIsLeftAloneUntilItIsAllowed(t *testing.T) {
	f := newFull(t)
	peer := f.m.Active()[0]
	f.do(peer, f.m.Drop(f.now, peer, f.now+time.Minute))
	if _, ok := f.last[0].(*Disconnect); !ok || slices.Contains(f.m.Active(), peer) {
		t.Fatalf("it is told %v", f.last)
	}
	known := func() bool {
		f.m.Known(f.now, []crux.NodeID{peer})
		return slices.Contains(f.m.Passive(), peer)
	}
	if known() {
		t.Error("it is known though it is avoided")
	}
	f.do(peer, f.m.Allow(f.now, peer))
	if !known() {
		t.Error("it is avoided though it is allowed")
	}
}
