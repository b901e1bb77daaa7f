package crdt

import (
	"cmp"
	"slices"

	"fulcrum.example/crux"
)

// Op is an operation on a value: made by the functions below or by DecodeOp,
// never changed afterwards, so that it may be shared. The zero Op is not valid.
type Op struct {
	kind   opKind
	typ    Type // 0 in Reset
	n      int64
	on     bool
	value  string
	add    []string // sorted, each once, as are
	remove []string
	fields []FieldOp // by type and name
}

type opKind uint8

const (
	opIncr opKind = iota + 1
	opSet
	opFlag
	opAssign
	opUpdate
	opReset
)

// FieldOp is an operation on one field of a map; see Field and RemoveField.
type FieldOp struct {
	Type Type
	Name string
	Op   Op
}

func (f *FieldOp) key() string { return fieldKey(f.Type, f.Name) }

// Incr adds n, which may be negative, to a counter.
func Incr(n int64) Op { return Op{kind: opIncr, typ: Counter, n: n} }

// Add puts elements into a set of type t, AddWinsSet or RemoveWinsSet.
func Add(t Type, elements ...string) Op { return EditSet(t, elements, nil) }

// Remove takes elements out of a set of type t. It is no error if they are not
// in it.
func Remove(t Type, elements ...string) Op { return EditSet(t, nil, elements) }

// EditSet adds and removes elements of a set of type t at once. An element may
// not be in both lists.
func EditSet(t Type, add, remove []string) Op {
	return Op{kind: opSet, typ: t, add: sorted(add), remove: sorted(remove)}
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// Enable sets a flag of type t, EnableWinsFlag or DisableWinsFlag.
func Enable(t Type) Op { return Op{kind: opFlag, typ: t, on: true} }

// Disable clears a flag of type t.
func Disable(t Type) Op { return Op{kind: opFlag, typ: t} }

// Assign gives a register of type t, LastWriter or MultiValue, a value: any
// bytes.
func Assign(t Type, value string) Op { return Op{kind: opAssign, typ: t, value: value} }

// Update changes fields of a map. A field, which is a type and a name, may be
// named once.
func Update(fields ...FieldOp) Op {
	out := slices.Clone(fields)
	slices.SortStableFunc(out, func(a, b FieldOp) int { return a.compare(&b) })
	return Op{kind: opUpdate, typ: Map, fields: out}
}

func (f *FieldOp) compare(g *FieldOp) int {
	return cmp.Or(cmp.Compare(f.Type, g.Type), cmp.Compare(f.Name, g.Name))
}

// Field is an operation on the field of op's type and of this name, which is
// made if it is not there.
func Field(name string, op Op) FieldOp { return FieldOp{op.typ, name, op} }

// RemoveField removes what is in the field of type t and of this name. It is no
// error if it is not there. What others write to it concurrently stays.
func RemoveField(t Type, name string) FieldOp { return FieldOp{t, name, Reset()} }

// Reset removes all that is in a value, of whatever type: a key is deleted by
// it. What others write concurrently stays, alone.
func Reset() Op { return Op{kind: opReset} }

// Type is the type of value that the operation is for; 0 for any (Reset).
func (op *Op) Type() Type { return op.typ }

// Dots is how many numbers of its actor's sequence the operation takes, at least
// 1: one for each effect that others may see or remove by itself. The operation
// after one with Dot.Seq n has n + Dots.
func (op *Op) Dots() uint64 { return max(1, op.effects()) }

func (op *Op) effects() uint64 {
	switch op.kind {
	case opIncr, opFlag, opAssign:
		return 1
	case opSet:
		if op.typ == RemoveWinsSet {
			return uint64(len(op.add) + len(op.remove))
		}
		return uint64(len(op.add))
	}
	n := uint64(0)
	for i := range op.fields {
		n += op.fields[i].Op.effects()
	}
	return n
}

// Check says what is wrong with the operation by itself: Invalid for a type that
// does not have it, an element both added and removed, a field named twice, an
// operation that does nothing, or more than MaxDepth maps in one another.
func (op *Op) Check() error { return op.check(1) }

func (op *Op) check(depth int) error {
	if !slices.Contains(opTypes[op.kind], op.typ) {
		return invalid("%s has no such operation", op.typ)
	}
	switch op.kind {
	case opSet:
		return op.checkSet()
	case opUpdate:
		return op.checkFields(depth)
	}
	return nil
}

// opTypes are the types that have an operation of each kind.
var opTypes = [...][]Type{
	opIncr:   {Counter},
	opSet:    {AddWinsSet, RemoveWinsSet},
	opFlag:   {EnableWinsFlag, DisableWinsFlag},
	opAssign: {LastWriter, MultiValue},
	opUpdate: {Map},
	opReset:  {0},
}

func (op *Op) checkSet() error {
	if len(op.add)+len(op.remove) == 0 {
		return invalid("no elements to add to or remove from the %s", op.typ)
	}
	for _, x := range op.add {
		if _, both := slices.BinarySearch(op.remove, x); both {
			return invalid("element %q is to be both added and removed: do one of the two", x)
		}
	}
	return nil
}

func (op *Op) checkFields(depth int) error {
	if len(op.fields) == 0 {
		return invalid("no fields of the map to change")
	}
	if depth > MaxDepth {
		return invalid("more than %d maps in one another", MaxDepth)
	}
	for i := range op.fields {
		f := &op.fields[i]
		switch {
		case !f.Type.Valid():
			return invalid("field %q has no known type (%d)", f.Name, f.Type)
		case i > 0 && op.fields[i-1].compare(f) == 0:
			return invalid("field %q (%s) is named twice: do one thing with it", f.Name, f.Type)
		case f.Op.kind == opReset:
			continue
		case f.Op.typ != f.Type:
			return invalid("field %q is a %s, but the operation is for a %s", f.Name, f.Type, f.Op.typ)
		}
		if err := f.Op.check(depth + 1); err != nil {
			return crux.Errorf("", crux.Invalid, "field %q: %w", f.Name, err)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return crux.Errorf("", crux.Invalid, format, args...)
}
