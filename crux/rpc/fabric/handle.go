package fabric

import (
	"context"

	pb "fulcrum.example/protos/lashup"
)

// Place is where a value may be: *Client, whose paths are keys, or a Map, whose
// paths are the names of fields.
type Place interface {
	at(path []string) place
}

// place is a key, or a field in the maps below a key.
type place struct {
	c      *Client
	key    []string
	fields []string // the names of maps around it, and its own
}

func (c *Client) at(path []string) place { return place{c: c, key: path} }

// inner is the place of a field in the map that p is.
func (p place) inner(path []string) place {
	p.fields = append(p.fields[:len(p.fields):len(p.fields)], path...)
	return p
}

// update makes the operation on what is at p one on p's key.
func (p place) update(op *pb.Op) Update {
	for i := len(p.fields) - 1; i >= 0; i-- {
		op = mapOp(&pb.MapOp{Updates: []*pb.FieldOp{{Name: p.fields[i], Op: op}}})
	}
	return Update{&pb.Write{Key: p.key, Op: op, Volatile: isVolatile(p.key)}}
}

func mapOp(m *pb.MapOp) *pb.Op {
	return &pb.Op{Type: pb.Type_TYPE_MAP, Do: &pb.Op_Update{Update: m}}
}

// deleting removes what is at p, of type t: the key, or the field.
func (p place) deleting(t Type) Update {
	last := len(p.fields) - 1
	if last < 0 {
		return Update{&pb.Write{Key: p.key, Op: &pb.Op{Do: &pb.Op_Delete{Delete: &pb.Delete{}}}, Volatile: isVolatile(p.key)}}
	}
	field := &pb.Field{Name: p.fields[last], Type: pb.Type(t)}
	p.fields = p.fields[:last]
	return p.update(mapOp(&pb.MapOp{Removes: []*pb.Field{field}}))
}

// read gives what is at p, if it is of type t; nil if there is nothing.
func (p place) read(ctx context.Context, t Type) (*Value, error) {
	r, err := p.c.Read(ctx, p.key...)
	if err != nil {
		return nil, err
	}
	v := r.Value
	for i, name := range p.fields {
		want := TypeMap
		if i == len(p.fields)-1 {
			want = t
		}
		v = v.Field(name, want)
	}
	if v == nil || v.Type != t {
		return nil, nil
	}
	return v, nil
}

// apply applies one update.
func (p place) apply(ctx context.Context, u Update) error {
	_, err := p.c.Apply(ctx, u)
	return err
}

// handle is what all typed handles have.
type handle struct {
	place
	t Type
}

// Deleting removes the value. What is not there is no error.
func (h handle) Deleting() Update { return h.deleting(h.t) }

// Delete removes the value. What is not there is no error.
func (h handle) Delete(ctx context.Context) error { return h.apply(ctx, h.Deleting()) }

// Delete removes a key, whatever it holds.
func (c *Client) Delete(ctx context.Context, key ...string) error {
	p := c.at(key)
	return p.apply(ctx, p.deleting(None))
}
