package fabric

import (
	"context"

	pb "fulcrum.example/protos/lashup"
)

// Counter counts: increments of all nodes add up.
type Counter struct{ handle }

// Counter is the counter at a key.
func (c *Client) Counter(key ...string) Counter { return counterAt(c, key) }

// Counter is a counter in the map.
func (m Map) Counter(path ...string) Counter { return counterAt(m, path) }

func counterAt(p Place, path []string) Counter { return Counter{handle{p.at(path), TypeCounter}} }

// Incr adds n, which may be negative.
func (h Counter) Incr(ctx context.Context, n int64) error { return h.apply(ctx, h.Incrementing(n)) }

// Incrementing adds n.
func (h Counter) Incrementing(n int64) Update {
	return h.update(&pb.Op{Type: pb.Type(h.t), Do: &pb.Op_Increment{Increment: n}})
}

// Value is the sum as this node knows it; 0 if there is none.
func (h Counter) Value(ctx context.Context) (int64, error) {
	v, err := h.read(ctx, h.t)
	if v == nil {
		return 0, err
	}
	return v.Count, nil
}

// Set is a set of strings.
type Set struct{ handle }

// Set is the add-wins set at a key: of an add and a remove at the same time, the
// add holds.
func (c *Client) Set(key ...string) Set { return Set{handle{c.at(key), TypeAddWinsSet}} }

// RemoveWinsSet is the set at a key in which a remove beats an add at the same
// time.
func (c *Client) RemoveWinsSet(key ...string) Set {
	return Set{handle{c.at(key), TypeRemoveWinsSet}}
}

// Set is an add-wins set in the map.
func (m Map) Set(path ...string) Set { return Set{handle{m.at(path), TypeAddWinsSet}} }

// RemoveWinsSet is a remove-wins set in the map.
func (m Map) RemoveWinsSet(path ...string) Set { return Set{handle{m.at(path), TypeRemoveWinsSet}} }

// Add adds elements.
func (h Set) Add(ctx context.Context, elements ...string) error {
	return h.apply(ctx, h.Adding(elements...))
}

// Adding adds elements.
func (h Set) Adding(elements ...string) Update {
	return h.update(&pb.Op{Type: pb.Type(h.t), Do: &pb.Op_Add{Add: elementsOf(elements)}})
}

// Remove removes elements. What is not there is no error.
func (h Set) Remove(ctx context.Context, elements ...string) error {
	return h.apply(ctx, h.Removing(elements...))
}

// Removing removes elements.
func (h Set) Removing(elements ...string) Update {
	return h.update(&pb.Op{Type: pb.Type(h.t), Do: &pb.Op_Remove{Remove: elementsOf(elements)}})
}

func elementsOf(list []string) *pb.Elements {
	m := &pb.Elements{Elements: make([][]byte, len(list))}
	for i, e := range list {
		m.Elements[i] = []byte(e)
	}
	return m
}

// Elements lists the set, sorted.
func (h Set) Elements(ctx context.Context) ([]string, error) {
	v, err := h.read(ctx, h.t)
	if v == nil {
		return nil, err
	}
	return v.Elements, nil
}

// Flag is on or off; it begins off.
type Flag struct{ handle }

// Flag is the flag at a key in which an enabling beats a disabling at the same
// time.
func (c *Client) Flag(key ...string) Flag { return Flag{handle{c.at(key), TypeEnableWinsFlag}} }

// DisableWinsFlag is the flag at a key in which a disabling beats an enabling at
// the same time.
func (c *Client) DisableWinsFlag(key ...string) Flag {
	return Flag{handle{c.at(key), TypeDisableWinsFlag}}
}

// Flag is an enable-wins flag in the map.
func (m Map) Flag(path ...string) Flag { return Flag{handle{m.at(path), TypeEnableWinsFlag}} }

// DisableWinsFlag is a disable-wins flag in the map.
func (m Map) DisableWinsFlag(path ...string) Flag {
	return Flag{handle{m.at(path), TypeDisableWinsFlag}}
}

// Turn turns the flag on or off.
func (h Flag) Turn(ctx context.Context, on bool) error { return h.apply(ctx, h.Turning(on)) }

// Turning turns the flag on or off.
func (h Flag) Turning(on bool) Update {
	return h.update(&pb.Op{Type: pb.Type(h.t), Do: &pb.Op_Enable{Enable: on}})
}

// On says whether the flag is on.
func (h Flag) On(ctx context.Context) (bool, error) {
	v, err := h.read(ctx, h.t)
	return v != nil && v.On, err
}

// Map holds named fields of any type. Removing a field removes what this node
// has seen of it; what others write to it at the same time stays.
type Map struct{ handle }

// Map is the map at a key.
func (c *Client) Map(key ...string) Map { return Map{handle{c.at(key), TypeMap}} }

// Map is a map in the map.
func (m Map) Map(path ...string) Map { return Map{handle{m.at(path), TypeMap}} }

func (m Map) at(path []string) place { return m.inner(path) }

// Value is the whole map; nil if there is none.
func (m Map) Value(ctx context.Context) (*Value, error) { return m.read(ctx, m.t) }
