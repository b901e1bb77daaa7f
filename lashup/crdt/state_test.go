package crdt

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"fulcrum.example/crux"
)

// writer is one replica's hand on states of its own.
type writer struct {
	t testing.TB
	Actor
	seq   uint64
	clock Timestamp
}

func newWriter(t testing.TB, n byte) *writer {
	return &writer{t: t, Actor: Actor{crux.NodeID{n}, 1}}
}

// do applies op, which must go well.
func (w *writer) do(s *State, op Op) *State {
	w.t.Helper()
	d, err := w.try(s, op, nil, Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *writer) try(s *State, op Op, seen *Context, lim Limits) (*State, error) {
	w.clock++
	d, err := s.Apply(op, Dot{w.Actor, w.seq + 1}, w.clock, seen, lim)
	if err == nil {
		w.seq += op.Dots()
	}
	return d, err
}

// wantJSON checks what people read.
func wantJSON(t *testing.T, s *State, want string) {
	t.Helper()
	if got, err := json.Marshal(s.Read()); err != nil || string(got) != want {
		t.Errorf("reads %s (%v), want %s", got, err, want)
	}
}

// One after the other, on one replica.
func TestOperations(t *testing.T) {
	w := newWriter(t, 1)
	for _, x := range []struct {
		ops  []Op
		want string
	}{
		{nil, `null`},
		{[]Op{Incr(3), Incr(-5)}, `-2`},
		{[]Op{Incr(3), Reset()}, `null`},
		{[]Op{Incr(3), Reset(), Incr(4)}, `4`},
		{[]Op{Add(AddWinsSet, "b", "a", "b")}, `["a","b"]`},
		{[]Op{Add(AddWinsSet, "b", "a"), Remove(AddWinsSet, "b")}, `["a"]`},
		{[]Op{Add(AddWinsSet, "a"), Remove(AddWinsSet, "a"), Remove(AddWinsSet, "a"), Remove(AddWinsSet, "a")}, `null`},
		{[]Op{Remove(AddWinsSet, "a"), Remove(AddWinsSet, "a"), Remove(AddWinsSet, "a")}, `null`},
		{[]Op{Remove(RemoveWinsSet, "a"), Remove(RemoveWinsSet, "a"), Remove(RemoveWinsSet, "a")}, `null`},
		{[]Op{Remove(RemoveWinsSet, "a"), Add(RemoveWinsSet, "a", "b")}, `["a","b"]`},
		{[]Op{EditSet(RemoveWinsSet, []string{"a", "b"}, []string{"c"}), EditSet(RemoveWinsSet, []string{"c"}, []string{"a"})}, `["b","c"]`},
		{[]Op{Enable(EnableWinsFlag)}, `true`},
		{[]Op{Enable(EnableWinsFlag), Disable(EnableWinsFlag)}, `false`},
		{[]Op{Disable(DisableWinsFlag), Enable(DisableWinsFlag)}, `true`},
		{[]Op{Disable(DisableWinsFlag)}, `false`},
		{[]Op{Assign(LastWriter, "x"), Assign(LastWriter, "y")}, `"y"`},
		{[]Op{Assign(LastWriter, "")}, `""`},
		{[]Op{Assign(LastWriter, "\xff\x00")}, `"/wA="`},
		{[]Op{Assign(MultiValue, "x"), Assign(MultiValue, "y")}, `["y"]`},
		{[]Op{Reset(), Reset(), Reset()}, `null`},
		{[]Op{Update(RemoveField(Map, "m"), RemoveField(Counter, "c"))}, `null`},
		{[]Op{Update(Field("m", Update(Field("n", Update(Field("c", Incr(1)), Field("s", Add(AddWinsSet, "x")))))))},
			`{"m":{"n":{"c":1,"s":["x"]}}}`},
		{[]Op{Update(Field("m", Update(Field("c", Incr(1))))), Update(RemoveField(Map, "m"), Field("f", Enable(EnableWinsFlag)))},
			`{"f":true}`},
		{[]Op{Update(Field("x", Incr(1)), Field("x", Assign(LastWriter, "one")), Field("x:counter", Incr(2)))},
			`{"x:counter":2,"x:counter:counter":1,"x:last-writer register":"one"}`},
		{[]Op{Incr(1), Reset(), Add(AddWinsSet, "a")}, `["a"]`}, // what is absent has no type
	} {
		s, r := &State{}, &State{}
		for _, op := range x.ops {
			r.Join(w.do(s, op))
		}
		wantJSON(t, s, x.want)
		if !r.Equal(s) {
			t.Errorf("the deltas make %v", r.Read())
		}
		if n := s.Context().Len(); n > 1 {
			t.Errorf("one writer's context has %d spans: %v", n, s.Context())
		}
		if s.Absent() != (x.want == "null") || s.Empty() != (len(x.ops) == 0) {
			t.Errorf("%s: absent %v, empty %v", x.want, s.Absent(), s.Empty())
		}
	}
}

// Two replicas that know of a first operation and then write at once.
func TestConcurrentOperations(t *testing.T) {
	field := func(op Op) Op { return Update(Field("f", op)) }
	for _, x := range []struct {
		name        string
		first, a, b Op
		want        string
	}{
		{"increments add up", Incr(1), Incr(2), Incr(3), `6`},
		{"an increment that a reset has not seen survives alone", Incr(5), Reset(), Incr(2), `2`},
		{"a field's likewise", field(Incr(5)), Update(RemoveField(Counter, "f")), field(Incr(2)), `{"f":2}`},
		{"resets do not add up", Incr(5), Reset(), Reset(), `null`},
		{"an add wins", Add(AddWinsSet, "x"), Remove(AddWinsSet, "x"), Add(AddWinsSet, "x"), `["x"]`},
		{"a remove wins", Add(RemoveWinsSet, "x"), Remove(RemoveWinsSet, "x"), Add(RemoveWinsSet, "x"), `null`},
		{"a remove of what is not there wins", Add(RemoveWinsSet, "y"), Remove(RemoveWinsSet, "x"), Add(RemoveWinsSet, "x"), `["y"]`},
		{"an enable wins", Enable(EnableWinsFlag), Disable(EnableWinsFlag), Enable(EnableWinsFlag), `true`},
		{"a disable wins", Enable(DisableWinsFlag), Disable(DisableWinsFlag), Enable(DisableWinsFlag), `false`},
		{"both values stay", Assign(MultiValue, "o"), Assign(MultiValue, "b"), Assign(MultiValue, "a"), `["a","b"]`},
		{"equal values are one", Assign(MultiValue, "o"), Assign(MultiValue, "a"), Assign(MultiValue, "a"), `["a"]`},
		{"of equal times the higher dot wins", Assign(LastWriter, "o"), Assign(LastWriter, "b"), Assign(LastWriter, "a"), `"a"`},
		{"a field written while its map is removed stays alone",
			field(Update(Field("x", Incr(1)), Field("y", Incr(1)))), Reset(), field(Update(Field("x", Incr(7)))), `{"f":{"x":7}}`},
	} {
		t.Run(x.name, func(t *testing.T) {
			a, b := newWriter(t, 1), newWriter(t, 2)
			sa := &State{}
			a.do(sa, x.first)
			sb := sa.Clone()
			b.clock = a.clock
			da, db := a.do(sa, x.a), b.do(sb, x.b)
			sa.Join(db)
			sb.Join(da)
			if !sa.Equal(sb) {
				t.Errorf("%v and %v", sa.Read(), sb.Read())
			}
			wantJSON(t, sa, x.want)
		})
	}
}

// What two make of two types at once is all kept, and removed by a reset.
func TestConcurrentTypes(t *testing.T) {
	a, b := newWriter(t, 1), newWriter(t, 2)
	s, o := &State{}, &State{}
	a.do(s, Assign(LastWriter, "x"))
	b.do(o, Incr(4))
	s.Join(o)
	wantJSON(t, s, `4`)
	if _, err := a.try(s, Assign(LastWriter, "y"), nil, Limits{}); crux.KindOf(err) != crux.Invalid ||
		!strings.Contains(err.Error(), "counter") || !strings.Contains(err.Error(), "last-writer register") {
		t.Errorf("of the wrong type: %v", err)
	}
	a.do(s, Reset())
	if !s.Absent() || s.Type() != 0 {
		t.Errorf("after a reset: %v", s.Read())
	}
	a.do(s, Assign(LastWriter, "y"))
	wantJSON(t, s, `"y"`)
	if s.Type() != LastWriter {
		t.Errorf("type %v", s.Type())
	}
}

func TestAssignIsLaterThanWhatItReplaces(t *testing.T) {
	a, b := newWriter(t, 1), newWriter(t, 2)
	s := &State{}
	a.clock = 1000
	a.do(s, Assign(LastWriter, "future"))
	a.clock = 1
	b.clock = 500
	a.do(s, Assign(LastWriter, "now"))                  // saw "future"
	s.Join(b.do(&State{}, Assign(LastWriter, "other"))) // saw nothing
	wantJSON(t, s, `"now"`)
	if s.Latest() != 1002 {
		t.Errorf("latest %d", s.Latest())
	}
	end := &State{}
	a.clock = math.MaxUint64 - 1
	a.do(end, Assign(LastWriter, "end"))
	a.clock = 5
	a.do(end, Assign(LastWriter, "after"))
	wantJSON(t, end, `"after"`)
}

func TestStaleContextsAreRefused(t *testing.T) {
	a, b := newWriter(t, 1), newWriter(t, 2)
	s, o := &State{}, &State{}
	o.Join(a.do(s, Incr(1)))
	read := s.Context()
	b.do(o, Incr(1))
	ahead := o.Context()
	was := s.Append(nil)
	for name, c := range map[string]*Context{"of another replica": &ahead, "empty": {}} {
		if _, err := a.try(s, Incr(1), c, Limits{}); crux.KindOf(err) != crux.Conflict || string(s.Append(nil)) != string(was) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.try(s, Incr(1), &read, Limits{}); err != nil {
		t.Error(err)
	}
	if _, err := a.try(s, Incr(1), &read, Limits{}); crux.KindOf(err) != crux.Conflict {
		t.Errorf("the second time: %v", err)
	}
	wantJSON(t, s, `2`)
}

func TestWhatDoesNotFitIsRefusedWhole(t *testing.T) {
	w := newWriter(t, 1)
	s := &State{}
	lim := Limits{Value: 200}
	for i := 0; ; i++ {
		was := s.Append(nil)
		_, err := w.try(s, Update(Field("s", Add(AddWinsSet, fmt.Sprint("element ", i))), Field("n", Incr(1))), nil, lim)
		if err == nil {
			if s.Size() > lim.Value {
				t.Fatalf("%d bytes accepted", s.Size())
			}
			continue
		}
		if crux.KindOf(err) != crux.Exhausted || string(was) != string(s.Append(nil)) || len(was) < 150 {
			t.Errorf("after %d bytes: %v", len(was), err)
		}
		break
	}
	// What makes it smaller goes through, and what takes the place of as much.
	if _, err := w.try(s, Update(Field("s", EditSet(AddWinsSet, []string{"element x"}, []string{"element 0"}))), nil, lim); err != nil {
		t.Error(err)
	}
	if _, err := w.try(s, Reset(), nil, lim); err != nil {
		t.Error(err)
	}
	big := &State{}
	w.do(big, Assign(LastWriter, strings.Repeat("x", 300)))
	if err := s.Fits(big, lim); crux.KindOf(err) != crux.Exhausted {
		t.Errorf("a remote value: %v", err)
	}
}

func TestCountersDoNotOverflow(t *testing.T) {
	w := newWriter(t, 1)
	s := &State{}
	w.do(s, Incr(math.MaxInt64))
	if _, err := w.try(s, Incr(1), nil, Limits{}); crux.KindOf(err) != crux.Exhausted {
		t.Errorf("%v", err)
	}
	w.do(s, Incr(-1))
	w.do(s, Reset())
	w.do(s, Incr(math.MinInt64))
	if _, err := w.try(s, Update(Field("x", Incr(1))), nil, Limits{}); crux.KindOf(err) != crux.Invalid {
		t.Errorf("%v", err)
	}
	wantJSON(t, s, fmt.Sprint(math.MinInt64))
}

func TestUsedDotsAreRefused(t *testing.T) {
	w := newWriter(t, 1)
	s := &State{}
	w.do(s, Add(AddWinsSet, "a", "b", "c"))
	for _, d := range []Dot{{w.Actor, 0}, {w.Actor, 3}, {Actor{w.Node, 0}, 9}, {w.Actor, math.MaxUint64}} {
		if _, err := s.Apply(Incr(1), d, 0, nil, Limits{}); err == nil {
			t.Errorf("%v was accepted", d)
		}
	}
}

func TestValuesHaveTypes(t *testing.T) {
	w := newWriter(t, 1)
	s := &State{}
	w.do(s, Update(Field("b", Incr(2)), Field("a", Add(RemoveWinsSet, "x")), Field("a", Enable(EnableWinsFlag))))
	want := Value{Type: Map, Fields: []NamedValue{
		{"b", Value{Type: Counter, Int: 2}},
		{"a", Value{Type: RemoveWinsSet, Text: []string{"x"}}},
		{"a", Value{Type: EnableWinsFlag, Flag: true}},
	}}
	if got := s.Value(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
