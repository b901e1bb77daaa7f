package node

import (
	"testing"

	"fulcrum.example/lashup/route"
)

// linksOf is how many streams a host's process reads.
func (h *host) linksOf() (n int) {
	h.w.t.Helper()
	if err := h.do(soon(h.w.t), func(c *core) error { n = len(c.live); return nil }); err != nil {
		h.w.t.Fatal(err)
	}
	return n
}

// neighbourly says whether two are neighbours, on both sides.
func neighbourly(a, b *host) bool {
	for _, x := range [][2]*host{{a, b}, {b, a}} {
		list, err := x[0].Neighbours(soon(a.w.t))
		if err != nil || len(list) != 1 || list[0] != x[1].member.ID {
			return false
		}
	}
	return true
}

func TestTwoThatDialEachOtherKeepOneLink(t *testing.T) {
	t.Parallel()
	w := form(t, 2)
	a, b := w.all[0], w.all[1]
	x := w.watch(b, a)
	for range 5 {
		eventually(t, "the two to be neighbours", func() bool { return neighbourly(a, b) })
		for _, h := range w.all {
			peer := w.all[1-h.i].member.ID
			if err := h.do(soon(t), func(c *core) error { c.dial(peer); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "one link to remain", func() bool { return neighbourly(a, b) && a.linksOf() == 1 && b.linksOf() == 1 })
	if s := x.end(); len(s) != 1 || s["up"] == 0 {
		t.Errorf("one saw the other %v", s)
	}
}

func TestABrokenLinkIsMadeAnewAndNobodyHearsOfIt(t *testing.T) {
	t.Parallel()
	w := form(t, 4)
	h := w.all[0]
	x := w.watch(h, w.all[1:]...)
	if err := h.do(soon(t), func(c *core) error {
		for l := range c.live {
			l.conn.Abort()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the links to be made anew", func() bool {
		n, err := h.Counts(soon(t))
		return err == nil && n["fabric.links-lost"] > 0 && n["fabric.neighbours"] == 3
	})
	if s := x.end(); len(s) != 1 || s["up"] == 0 {
		t.Errorf("the others saw it %v", s)
	}
	for _, o := range w.all {
		if n, err := o.Counts(soon(t)); err != nil || n["fabric.verdicts"] != 0 {
			t.Errorf("%d accused somebody: %v, %v", o.i, n, err)
		}
	}
}

func TestALinkSaysAllThatWasQueuedBeforeItEnds(t *testing.T) {
	t.Parallel()
	w := form(t, 2)
	a, b := w.all[0], w.all[1]
	w.calm()
	for range 64 {
		m := make(raw, 16<<10)
		m[0] = 0x50
		if err := a.SendTo(b.member.ID, m); err != nil {
			t.Fatal(err)
		}
	}
	a.stop()
	eventually(t, "all of it", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.received) == 64
	})
	eventually(t, "its leave", func() bool {
		s, why := b.state(a)
		return s == route.Down && why == route.Left
	})
}

type raw []byte

func (m raw) Size() int              { return len(m) }
func (m raw) Append(b []byte) []byte { return append(b, m...) }
