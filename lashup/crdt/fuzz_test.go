package crdt

import (
	"math/rand/v2"
	"testing"

	"fulcrum.example/crux"
)

// samples are states and operations as they come up.
func samples() (states []*State, ops []Op) {
	for s := range uint64(6) {
		rnd := rand.New(rand.NewPCG(s, 2))
		h := newHistory(func(n int) int { return rnd.IntN(n) }, func(f string, args ...any) {})
		for range 20 {
			h.step()
		}
		ops = append(ops, h.op(Map, 1), h.op(0, 1))
		for _, r := range h.replicas {
			states = append(states, r.state)
		}
		if len(h.sent) > 0 {
			states = append(states, h.sent[0].state)
		}
	}
	return states, append(ops, Reset())
}

// Whatever is decoded is what would have been encoded, and can be worked with.
func FuzzDecode(f *testing.F) {
	states, _ := samples()
	for i, s := range states {
		f.Add(s.Append(nil), states[i/2].Append(nil))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s, err := Decode(a)
		if err != nil {
			if crux.KindOf(err) != crux.Corrupt {
				t.Fatalf("%v", err)
			}
			return
		}
		if string(s.Append(nil)) != string(a) || s.Size() != len(a) {
			t.Fatalf("%x is read as %x, size %d", a, s.Append(nil), s.Size())
		}
		e := &State{}
		if e.Join(s); !e.Equal(s) {
			t.Fatalf("joined to nothing it is %x", e.Append(nil))
		}
		s.Read()
		if o, err := Decode(b); err == nil {
			use(t, s, o)
		}
	})
}

// use does with states from outside what a replica does.
func use(t *testing.T, s, o *State) {
	was := o.Append(nil)
	s.Join(o)
	s.Join(s.Fragment(o.Context()))
	s.Fold(crux.NodeID{1}, 3)
	if string(o.Append(nil)) != string(was) {
		t.Fatal("the other side was changed")
	}
	if _, err := Decode(s.Append(nil)); s.Size() != len(s.Append(nil)) {
		t.Fatalf("%v; size %d of %d", err, s.Size(), len(s.Append(nil)))
	}
	for i, op := range []Op{Update(Field("a", Incr(1)), RemoveField(Map, "b")), Reset()} {
		dot := Dot{Actor{crux.NodeID{9}, ^uint64(1)}, uint64(10*i + 5)}
		if _, err := s.Apply(op, dot, 7, nil, Limits{Value: 1000}); err != nil && crux.KindOf(err) == crux.Internal {
			top := s.context().Top(dot.Actor)
			if top < dot.Seq {
				t.Fatal(err)
			}
		}
	}
}

func FuzzDecodeOp(f *testing.F) {
	_, ops := samples()
	for _, op := range ops {
		f.Add(op.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := DecodeOp(b)
		if err != nil {
			if crux.KindOf(err) != crux.Corrupt {
				t.Fatalf("%v", err)
			}
			return
		}
		if string(op.Append(nil)) != string(b) || op.Size() != len(b) {
			t.Fatalf("%x is read as %x, size %d", b, op.Append(nil), op.Size())
		}
		s := &State{}
		if _, err := s.Apply(op, Dot{Actor{crux.NodeID{1}, 1}, 1}, 1, nil, Limits{}); err != nil {
			t.Fatalf("%x decoded, but: %v", b, err)
		}
	})
}

func FuzzDecodeContext(f *testing.F) {
	states, _ := samples()
	for _, s := range states {
		f.Add(s.Context().Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeContext(b)
		if err != nil {
			if crux.KindOf(err) != crux.Corrupt {
				t.Fatalf("%v", err)
			}
			return
		}
		if string(c.Append(nil)) != string(b) || c.Size() != len(b) {
			t.Fatalf("%x is read as %x, size %d", b, c.Append(nil), c.Size())
		}
		d := c.Clone()
		if d.Union(c); !d.Equal(c) || !c.Covers(d) || !c.Minus(d).Empty() || !c.Intersect(d).Equal(c) {
			t.Fatalf("%v is not itself", c)
		}
	})
}
