package node

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

// watcher sees every state that a node has in the eyes of the others.
type watcher struct {
	mu   sync.Mutex
	seen map[string]int
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func (w *world) watch(of *host, by ...*host) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	x := &watcher{seen: map[string]int{}, stop: cancel}
	for _, h := range by {
		n := h.Node
		x.note(h.look(), of.member.ID)
		x.wg.Go(func() {
			for {
				changed := n.Changed()
				v, err := n.View(ctx)
				if err != nil {
					return // the test is over, or the process
				}
				x.note(v, of.member.ID)
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
		})
	}
	w.t.Cleanup(func() { x.end() })
	return x
}

func (x *watcher) note(v *View, id crux.NodeID) {
	for _, m := range v.Members {
		if m.ID == id {
			x.mu.Lock()
			s := m.State.String()
			if m.State == route.Down {
				s += " " + m.Why.String()
			}
			x.seen[s]++
			x.mu.Unlock()
		}
	}
}

func (x *watcher) end() map[string]int {
	x.stop()
	x.wg.Wait()
	return x.seen
}

// handOver lets another process of the host take over, as another instance. It
// returns the old one, which answers pings still.
func (h *host) handOver(to crux.Inst) (old *Node) {
	t := h.w.t
	t.Helper()
	old = h.Node
	state, files, err := old.Freeze(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	before := h.sockets
	if h.sockets, err = Adopt(files); err != nil {
		t.Fatal(err)
	}
	before.Service.Close()
	h.equip(to)
	cfg := h.config(to)
	cfg.State = state
	if h.Node, err = Open(soon(t), cfg); err != nil {
		t.Fatal(err)
	}
	n, s := h.Node, h.sockets
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close %d: %v", h.i, err)
		}
		s.Service.Close()
	})
	return old
}

func TestNobodyNoticesAHandover(t *testing.T) {
	t.Parallel()
	w := form(t, 5)
	h, others := w.all[0], w.all[1:]
	epoch := h.Card(h.member.ID).Epoch
	x := w.watch(h, others...)
	seen := w.watch(others[0], h)
	for _, to := range []crux.Inst{"lashup1_1", "lashup1_2"} {
		seen.end() // the process that looked is gone
		old := h.handOver(to)
		eventually(t, "one of the two processes to answer", func() bool {
			r, err := others[0].Check(soon(t), h.member.ID)
			return err == nil && r.State == detect.Alive
		})
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		seen = w.watch(others[0], h)
		eventually(t, "the links to be made anew", func() bool {
			list, err := h.Neighbours(soon(t))
			return err == nil && len(list) >= 3
		})
		for _, o := range others {
			eventually(t, "the others to know the newer instance", func() bool {
				c := o.Card(h.member.ID)
				return c.Inst == to && c.Epoch == epoch
			})
		}
		w.together()
		if _, err := h.Publish(soon(t), cast.Request{Topic: string(to), Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		for _, o := range others {
			eventually(t, "a message of the newer process", func() bool {
				o.mu.Lock()
				defer o.mu.Unlock()
				return len(o.delivered) > 0 && o.delivered[len(o.delivered)-1].Topic == string(to)
			})
		}
	}
	if s := x.end(); len(s) != 1 || s["up"] == 0 {
		t.Errorf("the others saw it %v", s)
	}
	if s := seen.end(); len(s) != 1 || s["up"] == 0 {
		t.Errorf("it saw another one %v", s)
	}
	for _, o := range others {
		if n, err := o.Counts(soon(t)); err != nil || n["fabric.verdicts"] != 0 {
			t.Errorf("%d accused somebody: %v, %v", o.i, n, err)
		}
	}
}

func TestAFrozenNodeAnswersPings(t *testing.T) {
	t.Parallel()
	w := form(t, 4)
	h, others := w.all[0], w.all[1:]
	x := w.watch(h, others...)
	_, files, err := h.Freeze(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for range 12 { // meanwhile each neighbour pings it three times by itself
		<-pause.C
		for _, o := range others {
			// Unheard: this machine is too busy to tell.
			if r, err := o.Check(soon(t), h.member.ID); err != nil || r.State != detect.Alive && r.State != detect.Unheard {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	}
	if _, err := h.Publish(soon(t), cast.Request{Topic: "x"}); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("it publishes: %v", err)
	}
	if _, err := h.Check(soon(t), others[0].member.ID); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("it checks: %v", err)
	}
	if err := h.Thaw(soon(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Publish(soon(t), cast.Request{Topic: "x", Payload: []byte("back")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message of the node that took itself back", func() bool {
		others[0].mu.Lock()
		defer others[0].mu.Unlock()
		return len(others[0].delivered) > 0
	})
	// New links are taken again.
	others[0].stop()
	others[0].start()
	w.together()
	if s := x.end(); len(s) != 1 || s["up"] == 0 {
		t.Errorf("the others saw it %v", s)
	}
}

// What comes to a node that stands still is not acted on before Thaw: its successor
// goes on from what it was.
func TestAFrozenNodeDecidesNothing(t *testing.T) {
	t.Parallel()
	w := form(t, 3)
	h, other := w.all[0], w.all[1].member.ID
	_, files, err := h.Freeze(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	var before, after int
	look := func(f func(*core)) {
		if !h.core.enter(f) {
			t.Fatal("it has ended")
		}
	}
	look(func(c *core) {
		before = len(c.deferred)
		c.startProbe(other)
	})
	eventually(t, "the kernel's answer", func() (ok bool) {
		look(func(c *core) { ok, after = c.probes == 0, len(c.deferred) })
		return ok
	})
	if after != before+1 {
		t.Errorf("%d things wait for Thaw, and %d did before", after, before)
	}
	if err := h.Thaw(soon(t)); err != nil {
		t.Fatal(err)
	}
	look(func(c *core) { after = len(c.deferred) })
	if after > 0 {
		t.Errorf("%d things wait still", after)
	}
	w.together()
}

func TestAStateThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	w := form(t, 2)
	h := w.all[0]
	good, files, err := h.Freeze(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	if err := h.Thaw(soon(t)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*state)
		want   crux.Kind
	}{
		"another version": {func(s *state) { s.Version++ }, crux.NotSupported},
		"no card":         {func(s *state) { s.Card = nil }, crux.Corrupt},
		"another's card":  {func(s *state) { s.Card[0]++ }, crux.Corrupt},
		"a short key":     {func(s *state) { s.Session = s.Session[1:] }, crux.Corrupt},
		"other keys":      {func(s *state) { s.Session[0]++ }, crux.Corrupt},
		"no exchange key": {func(s *state) { s.Exchange = nil }, crux.Corrupt},
		"a broken row":    {func(s *state) { s.Rows[0] = s.Rows[0][1:] }, crux.Corrupt},
		"no rows":         {func(s *state) { s.Rows = nil }, crux.Corrupt},
	} {
		var s state
		if err := json.Unmarshal(good, &s); err != nil {
			t.Fatal(err)
		}
		c.change(&s)
		b, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		wantRefused(t, h, name, b, c.want)
	}
	wantRefused(t, h, "garbage", []byte("garbage"), crux.Corrupt)
	if _, err := Adopt(nil); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("no descriptors: %v", err)
	}
}

func wantRefused(t *testing.T, h *host, name string, state []byte, want crux.Kind) {
	t.Helper()
	s, err := Listen(soon(t), h.net)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Service.Close()
	cfg := h.config(inst)
	cfg.Sockets, cfg.State = s, state
	n, err := Open(soon(t), cfg)
	if crux.KindOf(err) != want || err == nil {
		t.Errorf("%s: %v", name, err)
	}
	if err == nil {
		n.Close()
	}
}
