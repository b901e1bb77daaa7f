package lashup

import (
	"strings"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
	pb "fulcrum.example/protos/lashup"
)

// wireTypes is the one map between the types of the store and of the protos.
var wireTypes = [...]pb.Type{
	crdt.Counter:         pb.Type_TYPE_COUNTER,
	crdt.AddWinsSet:      pb.Type_TYPE_ADD_WINS_SET,
	crdt.RemoveWinsSet:   pb.Type_TYPE_REMOVE_WINS_SET,
	crdt.EnableWinsFlag:  pb.Type_TYPE_ENABLE_WINS_FLAG,
	crdt.DisableWinsFlag: pb.Type_TYPE_DISABLE_WINS_FLAG,
	crdt.LastWriter:      pb.Type_TYPE_LWW_REGISTER,
	crdt.MultiValue:      pb.Type_TYPE_MULTI_REGISTER,
	crdt.Map:             pb.Type_TYPE_MAP,
}

var storeTypes = func() map[pb.Type]crdt.Type {
	m := make(map[pb.Type]crdt.Type, len(wireTypes))
	for t, w := range wireTypes {
		m[w] = crdt.Type(t)
	}
	return m
}()

// opFrom reads an operation. safe says that applying it twice is as once, at the
// later time. What does not fit together crdt.Op's Check finds.
func opFrom(m *pb.Op) (op crdt.Op, safe bool, err error) {
	t := storeTypes[m.GetType()]
	safe = true
	switch do := m.GetDo().(type) {
	case *pb.Op_Increment:
		op, safe = crdt.Incr(do.Increment), false
	case *pb.Op_Add:
		op = crdt.Add(t, texts(do.Add)...)
	case *pb.Op_Remove:
		op = crdt.Remove(t, texts(do.Remove)...)
	case *pb.Op_Enable:
		if op = crdt.Disable(t); do.Enable {
			op = crdt.Enable(t)
		}
	case *pb.Op_Assign:
		op = crdt.Assign(t, string(do.Assign))
	case *pb.Op_Update:
		op, safe, err = updateFrom(do.Update)
	case *pb.Op_Delete:
		return crdt.Reset(), true, nil
	default:
		return op, false, crux.Errorf("write", crux.Invalid, "the operation is missing, or of a newer version than this lashup")
	}
	if err == nil && t != op.Type() {
		err = crux.Errorf("write", crux.Invalid, "the operation is for a %s, it names the type %v", op.Type(), m.GetType())
	}
	return op, safe, err
}

// updateFrom reads operations on the fields of a map.
func updateFrom(m *pb.MapOp) (crdt.Op, bool, error) {
	fields := make([]crdt.FieldOp, 0, len(m.GetUpdates())+len(m.GetRemoves()))
	safe := true
	for _, f := range m.GetUpdates() {
		if f.GetOp().GetDelete() != nil {
			fields = append(fields, crdt.RemoveField(storeTypes[f.GetOp().GetType()], f.GetName()))
			continue
		}
		op, again, err := opFrom(f.GetOp())
		if err != nil {
			return crdt.Op{}, false, err
		}
		safe = safe && again
		fields = append(fields, crdt.Field(f.GetName(), op))
	}
	for _, f := range m.GetRemoves() {
		fields = append(fields, crdt.RemoveField(storeTypes[f.GetType()], f.GetName()))
	}
	return crdt.Update(fields...), safe, nil
}

func texts(m *pb.Elements) []string {
	out := make([]string, len(m.GetElements()))
	for i, e := range m.GetElements() {
		out[i] = string(e)
	}
	return out
}

// valueTo writes a value; nil for nothing.
func valueTo(v crdt.Value) *pb.Value {
	if !v.Type.Valid() {
		return nil
	}
	m := &pb.Value{Type: wireTypes[v.Type]}
	switch v.Type {
	case crdt.Counter:
		m.Count = v.Int
	case crdt.EnableWinsFlag, crdt.DisableWinsFlag:
		m.On = v.Flag
	case crdt.LastWriter:
		m.Bytes = []byte(v.Text[0])
	case crdt.AddWinsSet, crdt.RemoveWinsSet, crdt.MultiValue:
		m.Elements = make([][]byte, len(v.Text))
		for i, e := range v.Text {
			m.Elements[i] = []byte(e)
		}
	case crdt.Map:
		m.Fields = make([]*pb.FieldValue, len(v.Fields))
		for i := range v.Fields {
			f := &v.Fields[i]
			m.Fields[i] = &pb.FieldValue{Name: valid(f.Name), Value: valueTo(f.Value)}
		}
	}
	return m
}

// valid makes a string one that protobuf takes: others on the network may not
// have come by protobuf.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// contextTo writes the context of a key: a byte before it tells the context of
// nothing from no context.
func contextTo(c crdt.Context) []byte { return c.Append([]byte{contextMark}) }

const contextMark = 1

// contextFrom reads what contextTo wrote; nil for none.
func contextFrom(b []byte) (*crdt.Context, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != contextMark {
		return nil, crux.Errorf("write", crux.Invalid, "the context is not one that Read gave")
	}
	c, err := crdt.DecodeContext(b[1:])
	if err != nil {
		return nil, crux.Errorf("write", crux.Invalid, "the context is not one that Read gave: %w", err)
	}
	return &c, nil
}
