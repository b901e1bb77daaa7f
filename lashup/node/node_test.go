package node

import (
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
)

func TestNodesFindOneAnother(t *testing.T) {
	t.Parallel()
	w := form(t, 8)
	for _, h := range w.all {
		v := h.look()
		if v.Isolated || v.CutFromMasters {
			t.Errorf("%d thinks that it is cut off", h.i)
		}
		for _, m := range v.Members {
			if m.Addr != w.host(m.ID).sockets.Datagrams.LocalAddr() || m.Distance == route.Infinity {
				t.Errorf("%d sees %+v", h.i, m)
			}
			if len(m.SeenBy) == 0 {
				t.Errorf("nobody vouches for %s", m.ID)
			}
		}
		list, err := h.Neighbours(soon(t))
		if err != nil || len(list) == 0 || len(list) > 6 {
			t.Errorf("%d has the neighbours %v, %v", h.i, list, err)
		}
		tree, err := h.Tree(soon(t), w.all[0].member.ID)
		if err != nil || len(tree) != len(w.all) || tree[0].Distance != 0 || tree[1].Distance != 1 {
			t.Errorf("%d has the tree %+v, %v", h.i, tree, err)
		}
	}
	if _, err := w.all[0].Tree(soon(t), crux.NodeID{9}); crux.KindOf(err) != crux.NotFound {
		t.Errorf("a stranger's tree: %v", err)
	}
}

// host finds the host of a node.
func (w *world) host(id crux.NodeID) *host {
	for _, h := range w.all {
		if h.member.ID == id {
			return h
		}
	}
	w.t.Fatalf("nobody is %s", id)
	return nil
}

func TestAMulticastReachesEverybodyOnce(t *testing.T) {
	t.Parallel()
	w := form(t, 6)
	payload := make([]byte, 300_000)
	id, err := w.all[2].Publish(soon(t), cast.Request{Topic: "news", Payload: payload, Options: cast.Options{Loop: true, RecordRoute: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range w.all {
		eventually(t, "the message", func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.delivered) > 0
		})
		h.mu.Lock()
		if d := h.delivered[0]; len(h.delivered) != 1 || d.ID != id || d.Topic != "news" || len(d.Payload) != len(payload) || d.Route[0] != w.all[2].member.ID {
			t.Errorf("%d was given %d messages, the first %v by %v", h.i, len(h.delivered), d.ID, d.Route)
		}
		h.mu.Unlock()
	}
	if _, err := w.all[0].Publish(soon(t), cast.Request{Topic: "big", Payload: make([]byte, cast.MaxPayload+1)}); err == nil {
		t.Error("too large a payload was taken")
	}
}

func TestNeighboursTakeWhatTheStoreSends(t *testing.T) {
	t.Parallel()
	w := form(t, 2)
	a, b := w.all[0], w.all[1]
	if err := a.SendTo(b.member.ID, fabric.Raw("\x50hello")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was sent", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.received) == 1 && b.received[0] == a.member.ID.String()+" hello"
	})
	if err := a.SendTo(crux.NodeID{9}, fabric.Raw("\x50hello")); crux.KindOf(err) != crux.NotFound {
		t.Errorf("to a stranger: %v", err)
	}
	eventually(t, "the neighbours to be told", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.neighbours) == 1
	})
}

func TestChecksAnswer(t *testing.T) {
	t.Parallel()
	w := form(t, 3)
	a, b, c := w.all[0], w.all[1], w.all[2]
	if _, err := a.Publish(soon(t), cast.Request{Topic: "x", Options: cast.Options{Only: []crux.NodeID{b.member.ID, {1}}}}); crux.KindOf(err) != crux.NotFound {
		t.Errorf("to who is no member: %v", err)
	}
	if r, err := a.Check(soon(t), b.member.ID); err != nil || r.State != detect.Alive || r.RTT <= 0 {
		t.Errorf("a living node: %+v, %v", r, err)
	}
	if r, err := a.Check(soon(t), a.member.ID); err != nil || r.State != detect.Alive {
		t.Errorf("itself: %+v, %v", r, err)
	}
	if _, err := a.Check(soon(t), crux.NodeID{9}); crux.KindOf(err) != crux.NotFound {
		t.Errorf("a stranger: %v", err)
	}
	c.stop()
	// What it said last may be read after the check has begun.
	eventually(t, "one that has ended to be found dead", func() bool {
		r, err := a.Check(soon(t), c.member.ID)
		return err == nil && r.State == detect.Dead
	})
}

func TestWhoLeavesSaysSo(t *testing.T) {
	t.Parallel()
	w := form(t, 5)
	gone := w.all[4]
	w.calm() // on a link that is being made nobody says farewell
	began := time.Now()
	gone.stop()
	t.Logf("closed after %v", time.Since(began))
	for _, h := range w.all[:4] {
		eventually(t, "it to have left", func() bool {
			s, why := h.state(gone)
			return s == route.Down && why == route.Left
		})
		if n, err := h.Counts(soon(t)); err != nil || n["fabric.verdicts"] != 0 {
			t.Errorf("%d accused somebody: %v, %v", h.i, n, err)
		}
	}
	gone.start() // and comes back, as another process
	w.together()
}

func TestAProcessThatDiesIsFoundAndComesBack(t *testing.T) {
	t.Parallel()
	w := form(t, 5)
	dead := w.all[3]
	changed := w.all[0].Changed()
	dead.kill()
	for _, h := range []*host{w.all[0], w.all[1], w.all[2], w.all[4]} {
		// Why, the detector's tests say; a busy machine may not know better.
		eventually(t, "it to be down", func() bool {
			s, why := h.state(dead)
			return s == route.Down && why != route.Left
		})
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the change")
	}
	for _, m := range w.all[0].look().Members {
		if m.ID == dead.member.ID && (len(m.SeenBy) == 0 || m.Distance != route.Infinity) {
			t.Errorf("a dead node is seen as %+v", m)
		}
	}
	dead.start()
	w.together()
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, 3, "::")
	for _, h := range w.all {
		h.start()
	}
	w.together()
	if a := w.all[0].look().Members[1].Addr; !a.Addr().Is6() {
		t.Errorf("a node is at %s", a)
	}
}

func TestNeighboursAreKept(t *testing.T) {
	t.Parallel()
	w := form(t, 3)
	h := w.all[0]
	eventually(t, "the neighbours to be kept", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.saved) == 2
	})
}

func TestAProcessWhoseFilesAreOldIsToldSo(t *testing.T) {
	t.Parallel()
	w := form(t, 3)
	h := w.all[1]
	h.kill()
	h.epoch = 10
	h.start() // 11
	w.together()
	h.kill()
	h.epoch = 4 // from a backup
	h.start()
	select {
	case epoch := <-h.Superseded():
		if epoch != 11 {
			t.Errorf("the others know epoch %d", epoch)
		}
	case <-time.After(patience):
		t.Fatal("it is not told that its epoch is old")
	}
	h.stop()
	h.epoch = 11
	h.start()
	w.together()
}
