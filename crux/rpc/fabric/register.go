package fabric

import (
	"context"
	"encoding/json"

	"fulcrum.example/crux"
	pb "fulcrum.example/protos/lashup"
)

// Register holds a value of type T: of several writers, the last one's, by hybrid
// logical clocks. A string or []byte is kept as it is, anything else as JSON.
type Register[T any] struct{ handle }

// NewRegister is the register at a key of the client, or at a field of a map.
func NewRegister[T any](at Place, path ...string) Register[T] {
	return Register[T]{handle{at.at(path), TypeRegister}}
}

// Set writes the value.
func (r Register[T]) Set(ctx context.Context, value T) error { return set(ctx, r.handle, value) }

// Setting writes the value. Invalid: JSON cannot print it.
func (r Register[T]) Setting(value T) (Update, error) { return setting(r.handle, value) }

// Get reads the value; false if there is none. Corrupt: what is there is no T.
func (r Register[T]) Get(ctx context.Context) (value T, ok bool, err error) {
	v, err := r.read(ctx, r.t)
	if v == nil {
		return value, false, err
	}
	value, err = decode[T](v.Bytes)
	return value, err == nil, err
}

// MultiRegister keeps the values of all writers that did not know of each other;
// who writes after reading them replaces them all.
type MultiRegister[T any] struct{ handle }

// NewMultiRegister is the multi-value register at a key of the client, or at a
// field of a map.
func NewMultiRegister[T any](at Place, path ...string) MultiRegister[T] {
	return MultiRegister[T]{handle{at.at(path), TypeMultiRegister}}
}

// Set writes the value.
func (r MultiRegister[T]) Set(ctx context.Context, value T) error { return set(ctx, r.handle, value) }

// Setting writes the value. Invalid: JSON cannot print it.
func (r MultiRegister[T]) Setting(value T) (Update, error) { return setting(r.handle, value) }

// Get reads the values, of which there is more than one after concurrent writes.
// Corrupt: one of them is no T.
func (r MultiRegister[T]) Get(ctx context.Context) ([]T, error) {
	v, err := r.read(ctx, r.t)
	if v == nil {
		return nil, err
	}
	out := make([]T, len(v.Elements))
	for i, e := range v.Elements {
		if out[i], err = decode[T]([]byte(e)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func set[T any](ctx context.Context, h handle, value T) error {
	u, err := setting(h, value)
	if err != nil {
		return err
	}
	return h.apply(ctx, u)
}

func setting[T any](h handle, value T) (Update, error) {
	b, err := encode(value)
	if err != nil {
		return Update{}, err
	}
	return h.update(&pb.Op{Type: pb.Type(h.t), Do: &pb.Op_Assign{Assign: b}}), nil
}

func encode(value any) ([]byte, error) {
	switch v := value.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil, crux.Errorf("write register", crux.Invalid, "%w", err)
	}
	return b, nil
}

func decode[T any](b []byte) (value T, err error) {
	switch p := any(&value).(type) {
	case *[]byte:
		*p = b
	case *string:
		*p = string(b)
	default:
		if err := json.Unmarshal(b, &value); err != nil {
			return value, crux.Errorf("read register", crux.Corrupt, "what is there is no %T: %w", value, err)
		}
	}
	return value, nil
}
