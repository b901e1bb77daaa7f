package crdt

import "fulcrum.example/crux"

// The encoding of an operation is canonical, like that of a state:
//
//	op       type(1) body                     type 0: Reset, no body
//	counter  n
//	set      count: element to add; count: element to remove
//	flag     0 or 1
//	register value
//	map      count: type(1), name, 0 to remove the field, or 1 and the body

// Size is the exact length of the encoding.
func (op *Op) Size() int { return 1 + op.bodyLen() }

func (op *Op) bodyLen() int {
	switch op.kind {
	case opIncr:
		return varintLen(op.n)
	case opFlag:
		return 1
	case opAssign:
		return stringLen(op.value)
	case opSet:
		return listLen(op.add) + listLen(op.remove)
	case opUpdate:
		n := uvarintLen(uint64(len(op.fields)))
		for i := range op.fields {
			f := &op.fields[i]
			n += 1 + stringLen(f.Name) + 1 + f.Op.bodyLen()
		}
		return n
	}
	return 0
}

func listLen(list []string) int {
	n := uvarintLen(uint64(len(list)))
	for _, x := range list {
		n += stringLen(x)
	}
	return n
}

// Append appends the canonical encoding of a valid operation to b.
func (op *Op) Append(b []byte) []byte { return op.appendBody(append(b, byte(op.typ))) }

func (op *Op) appendBody(b []byte) []byte {
	switch op.kind {
	case opIncr:
		return appendVarint(b, op.n)
	case opFlag:
		return append(b, bit(op.on, 1))
	case opAssign:
		return appendString(b, op.value)
	case opSet:
		return appendList(appendList(b, op.add), op.remove)
	case opUpdate:
		b = appendUvarint(b, uint64(len(op.fields)))
		for i := range op.fields {
			f := &op.fields[i]
			b = appendString(append(b, byte(f.Type)), f.Name)
			b = append(b, bit(f.Op.kind != opReset, 1))
			b = f.Op.appendBody(b)
		}
	}
	return b
}

func appendList(b []byte, list []string) []byte {
	b = appendUvarint(b, uint64(len(list)))
	for _, x := range list {
		b = appendString(b, x)
	}
	return b
}

// DecodeOp reads the bytes that Op.Append makes of a valid operation, and no
// others: Corrupt if it cannot. The result shares nothing with b.
func DecodeOp(b []byte) (Op, error) {
	const what = "read an operation"
	r := &reader{b: b}
	op := Reset()
	if t := Type(r.byte()); t != 0 {
		op = r.op(t, 1)
	}
	if err := r.end(what); err != nil {
		return Op{}, err
	}
	if err := op.Check(); err != nil {
		return Op{}, crux.Errorf(what, crux.Corrupt, "%w", err)
	}
	return op, nil
}

// op reads the body of an operation on a value of type t.
func (r *reader) op(t Type, depth int) Op {
	op := Op{typ: t}
	switch t {
	case Counter:
		op.kind, op.n = opIncr, r.varint()
	case AddWinsSet, RemoveWinsSet:
		op.kind, op.add, op.remove = opSet, r.list(), r.list()
	case EnableWinsFlag, DisableWinsFlag:
		op.kind, op.on = opFlag, r.bool()
	case LastWriter, MultiValue:
		op.kind, op.value = opAssign, r.string()
	case Map:
		r.check(depth <= MaxDepth, "maps nested too deep")
		op.kind, op.fields = opUpdate, r.fieldOps(depth)
	default:
		r.check(false, "an unknown type")
	}
	return op
}

func (r *reader) list() (out []string) {
	for i, n := 0, r.count(1); i < n && r.ok(); i++ {
		x := r.string()
		r.check(i == 0 || out[i-1] < x, "elements out of order")
		out = append(out, x)
	}
	return out
}

func (r *reader) fieldOps(depth int) (out []FieldOp) {
	for i, n := 0, r.count(3); i < n && r.ok(); i++ {
		f := FieldOp{Type: Type(r.byte()), Name: r.string(), Op: Reset()}
		if r.bool() {
			f.Op = r.op(f.Type, depth+1)
		}
		r.check(i == 0 || out[i-1].compare(&f) < 0, "fields out of order")
		out = append(out, f)
	}
	return out
}
