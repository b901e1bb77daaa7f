package crdt

import (
	"testing"

	"fulcrum.example/crux"
)

func nested(depth int) Op {
	op := Incr(1)
	for range depth {
		op = Update(Field("m", op))
	}
	return op
}

func TestWrongOperationsAreRefused(t *testing.T) {
	for name, op := range map[string]Op{
		"the zero Op":              {},
		"a set of counters":        Add(Counter, "x"),
		"an enabled set":           Enable(AddWinsSet),
		"an assigned map":          Assign(Map, "x"),
		"no type":                  Assign(0, "x"),
		"a type that is none":      Assign(mixed, "x"),
		"nothing to add":           Add(AddWinsSet),
		"added and removed":        EditSet(AddWinsSet, []string{"a", "b"}, []string{"b"}),
		"no fields":                Update(),
		"a field twice":            Update(Field("f", Incr(1)), RemoveField(Counter, "f")),
		"a field of no type":       Update(RemoveField(0, "f")),
		"a field's reset as an op": Update(Field("f", Reset())),
		"a wrong field":            Update(FieldOp{Counter, "f", Enable(EnableWinsFlag)}),
		"deep inside":              Update(Field("m", Update(Field("s", Add(AddWinsSet))))),
		"too deep":                 nested(MaxDepth + 1),
	} {
		if err := op.Check(); crux.KindOf(err) != crux.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		s := &State{}
		if _, err := s.Apply(op, Dot{Actor{crux.NodeID{1}, 1}, 1}, 1, nil, Limits{}); err == nil || !s.Empty() {
			t.Errorf("%s: applied: %v", name, err)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	w := newWriter(t, 1)
	s := &State{}
	w.do(s, nested(MaxDepth))
	if _, err := Decode(s.Append(nil)); err != nil {
		t.Error(err)
	}
}

func TestDots(t *testing.T) {
	for _, x := range []struct {
		op   Op
		dots uint64
	}{
		{Reset(), 1}, {Incr(0), 1}, {Remove(AddWinsSet, "a", "b"), 1}, {Remove(RemoveWinsSet, "a", "b"), 2},
		{EditSet(AddWinsSet, []string{"a", "b", "c"}, []string{"d"}), 3},
		{Update(Field("f", Enable(EnableWinsFlag)), Field("s", Add(AddWinsSet, "a", "b")), RemoveField(Map, "m")), 3},
		{Update(RemoveField(Map, "m")), 1},
	} {
		if got := x.op.Dots(); got != x.dots {
			t.Errorf("%+v takes %d dots, want %d", x.op, got, x.dots)
		}
	}
}
