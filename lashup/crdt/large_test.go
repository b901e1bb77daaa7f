package crdt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Large sets and maps find what a delta removes by their index; it must come to
// the same as looking through all.
func TestLargeValues(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	rounds := 3000
	if testing.Short() {
		rounds = 1500
	}
	for name, ops := range map[string]func(k string) (put, drop Op){
		"set": func(k string) (Op, Op) { return Add(AddWinsSet, k), Remove(AddWinsSet, k) },
		"set of tombstones": func(k string) (Op, Op) {
			return Add(RemoveWinsSet, k, k+"'"), Remove(RemoveWinsSet, k)
		},
		"map of registers": func(k string) (Op, Op) {
			return Update(Field(k, Assign(MultiValue, k))), Update(RemoveField(MultiValue, k))
		},
		"map of maps": func(k string) (Op, Op) {
			return Update(Field(k[:2], Update(Field(k, Add(AddWinsSet, "x", "y")), Field(k, Incr(2))))),
				Update(Field(k[:2], Update(RemoveField(AddWinsSet, k), RemoveField(Counter, k))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, s := newWriter(t, 1), &State{}
			b, o := newWriter(t, 2), &State{}
			var deltas []*State
			for range rounds {
				put, drop := ops(fmt.Sprintf("%03d", rnd.IntN(500)))
				op := put
				if rnd.IntN(3) == 0 {
					op = drop
				}
				if rnd.IntN(2) == 0 {
					deltas = append(deltas, a.do(s, op))
				} else {
					deltas = append(deltas, b.do(o, op))
				}
				if rnd.IntN(4) == 0 {
					s.Join(deltas[rnd.IntN(len(deltas))])
				}
				if rnd.IntN(4) == 0 {
					o.Join(deltas[rnd.IntN(len(deltas))])
				}
			}
			scanned := s.Clone()
			for i, d := range slices.Concat(deltas, deltas[:1000]) {
				s.Join(d)
				o.Join(d)
				if i%100 == 0 {
					scanned = scanned.Clone() // forgets the index
				}
				scanned.Join(d)
			}
			if !s.Equal(o) || !s.Equal(scanned) || s.Size() != len(s.Append(nil)) {
				t.Errorf("%d, %d and %d bytes, size %d", len(s.Append(nil)), len(o.Append(nil)), len(scanned.Append(nil)), s.Size())
			}
		})
	}
}

// What a replica lacks is sent without the rest.
func TestFragments(t *testing.T) {
	a, s := newWriter(t, 1), &State{}
	for i := range 2000 {
		a.do(s, Update(Field("s", Add(AddWinsSet, fmt.Sprintf("some element, number %d", i)))))
		a.seq += uint64(i % 3) // other keys
	}
	o := s.Clone()
	if !s.Outside(o.Context()).Empty() {
		t.Error("equal states differ")
	}
	for i := range 10 {
		a.do(s, Update(Field("s", EditSet(AddWinsSet, []string{fmt.Sprint("new ", i)}, []string{fmt.Sprintf("some element, number %d", 7*i)}))))
	}
	missing := s.Outside(o.Context())
	if missing.Len() != 1 || missing.Contains(Dot{a.Actor, 1}) || !missing.Contains(Dot{a.Actor, a.seq}) {
		t.Errorf("missing %v", missing)
	}
	f := s.Fragment(o.Context())
	if f.Size() > s.Size()/4 {
		t.Errorf("a fragment of %d bytes of %d", f.Size(), s.Size())
	}
	if o.Join(f); !o.Equal(s) {
		t.Error("the fragment is not enough")
	}
	if whole := s.Fragment(Context{}); !whole.Equal(s) {
		t.Error("the fragment for nobody is not the whole")
	}
}

// The entries of closed incarnations become one, and the context one span.
func TestFold(t *testing.T) {
	s := &State{}
	w := newWriter(t, 1)
	for i := range 50 {
		w.Incarnation, w.seq = uint64(i+1), 10
		w.do(s, Update(Field("c", Incr(2)), Field("s", Add(AddWinsSet, fmt.Sprint(i)))))
	}
	was, read := s.Size(), s.Read()
	if !s.Fold(w.Node, 50) || s.Fold(w.Node, 50) || s.Fold([8]byte{9}, 50) {
		t.Error("a fold does not say what it changed")
	}
	if s.Context().Len() != 1 || s.Size() > was/2 || fmt.Sprint(s.Read()) != fmt.Sprint(read) {
		t.Errorf("%d bytes of %d; %v", s.Size(), was, s.Context())
	}
	w.do(s, Update(Field("c", Incr(1))))
	w.do(s, Update(RemoveField(Counter, "c")))
	if s.Fold(w.Node, 51); s.Value().Fields[0].Value.Type != AddWinsSet {
		t.Errorf("%v", s.Read())
	}
	w.Incarnation = 51
	w.do(s, Reset())
	if s.Fold(w.Node, 60); s.Size() > 40 {
		t.Errorf("%d bytes of nothing", s.Size())
	}
}
