package fabric

import (
	"context"
	"hash/maphash"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	pb "fulcrum.example/protos/lashup"
)

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events: what existed when the watch began; that all of it has
// been given; and what became of a key since.
const (
	Existing EventKind = iota + 1
	Synced
	Changed
)

// Event is one event of a watch.
type Event struct {
	Kind EventKind
	Key  []string
	// Old is what the key held before, New what it holds now; nil: nothing.
	Old, New *Value
	// OldUnknown: the watch was resumed, and the change is from what was given
	// last of this key.
	OldUnknown bool
	Version    Version
}

// Watch gives what exists of the keys that p selects, then Synced, then each
// change once. It ends with ctx, or when the loop is left, and then nothing is
// left queued; an error is the last that it gives. It keeps, of each key, its
// name and 8 bytes, to give nothing twice after it was resumed.
func (c *Client) Watch(ctx context.Context, p Pattern) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := &watcher{c: c, pattern: p.wire(), yield: yield, known: map[string]uint64{}, seed: maphash.MakeSeed()}
		if err := c.keep(ctx, w.once); err != nil {
			yield(Event{}, err)
		}
	}
}

// watcher is one watch over the streams that it has, one after another.
type watcher struct {
	c       *Client
	pattern *pb.Pattern
	yield   func(Event, error) bool

	since  Version
	synced bool              // the receiver has had all that existed
	known  map[string]uint64 // what the receiver has of each key, as a hash
	sent   map[string]bool   // keys of this stream, until it is synced
	seed   maphash.Seed
}

// once receives one stream.
func (w *watcher) once(ctx context.Context, opened func()) error {
	s, err := w.c.store.Watch(ctx, &pb.WatchRequest{Pattern: w.pattern, Since: w.since.wire()})
	if err != nil {
		return err
	}
	w.sent = map[string]bool{}
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		opened()
		switch e := m.GetEvent().(type) {
		case *pb.WatchEvent_Change:
			err = w.change(e.Change)
		case *pb.WatchEvent_Synced:
			err = w.sync(e.Synced)
		case *pb.WatchEvent_FellBehind:
			return again{}
		case *pb.WatchEvent_Handover:
			return again{time.Duration(e.Handover.GetRetryMs()) * time.Millisecond}
		}
		if err != nil {
			return err
		}
	}
}

func (w *watcher) give(e Event) error {
	if !w.yield(e, nil) {
		return errEnough
	}
	return nil
}

// change gives one change, unless the receiver has it.
func (w *watcher) change(m *pb.Change) error {
	e := Event{Kind: Changed, Key: m.GetKey(), Old: valueFrom(m.GetOld()), New: valueFrom(m.GetNew()),
		OldUnknown: m.GetOldUnknown(), Version: versionFrom(m.GetVersion())}
	name := FormatKey(e.Key)
	had, has := w.known[name]
	hash := w.hash(m.GetNew())
	if e.New == nil {
		delete(w.known, name)
	} else {
		w.known[name] = hash
	}
	if !m.GetExisting() {
		w.since = e.Version
		return w.give(e)
	}
	w.sent[name] = true
	switch {
	case e.New == nil && !has, has && e.New != nil && had == hash:
		return nil
	case !w.synced:
		e.Kind = Existing
	default:
		e.OldUnknown = has
	}
	return w.give(e)
}

// sync notes that what existed has been sent. What was not sent is gone, if the
// store sent everything.
func (w *watcher) sync(m *pb.Synced) error {
	version := versionFrom(m.GetVersion())
	if m.GetWhole() {
		for name := range w.known {
			if w.sent[name] {
				continue
			}
			delete(w.known, name)
			key, err := ParseKey(name)
			if err == nil {
				err = w.give(Event{Kind: Changed, Key: key, OldUnknown: true, Version: version})
			}
			if err != nil {
				return err
			}
		}
	}
	w.sent, w.since = nil, version
	if w.synced {
		return nil
	}
	w.synced = true
	return w.give(Event{Kind: Synced, Version: version})
}

// hash stands for a value.
func (w *watcher) hash(m *pb.Value) uint64 {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // it was unmarshalled a moment ago
		return 0
	}
	return maphash.Bytes(w.seed, b)
}
