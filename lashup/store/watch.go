package store

import (
	"context"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
)

// Watch is one watcher's queue: what exists, or what has changed since a version,
// then each change once. Its methods may be called from any goroutine. Close it.
type Watch struct {
	s    *Store
	id   replica.WatchID
	more chan struct{}
}

// Watch begins to follow the keys that p selects; see replica.Watch.
func (s *Store) Watch(ctx context.Context, p replica.Pattern, since replica.Version) (*Watch, error) {
	w := &Watch{s: s, more: make(chan struct{}, 1)}
	var err error
	if derr := s.do(ctx, func() {
		if w.id, err = s.rep.Watch(p, since); err == nil {
			s.watches[w.id] = w
			w.ring()
		}
	}); derr != nil {
		return nil, crux.Wrap("watch keys", derr)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// ring says that there may be something to take.
func (w *Watch) ring() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// More holds a token when there may be something to take, and when the store has
// ended.
func (w *Watch) More() <-chan struct{} { return w.more }

// Take gives up to most events of what is queued. After an event FellBehind there
// are no more. An error says that the store has ended.
func (w *Watch) Take(ctx context.Context, most int) ([]replica.Event, error) {
	var out []replica.Event
	err := w.s.do(ctx, func() {
		var more bool
		if out, more = w.s.rep.Next(w.id, most); more {
			w.ring()
		}
	})
	return out, crux.Wrap("watch keys", err)
}

// Close ends the watch; nothing of it is left.
func (w *Watch) Close() {
	// When the store has ended there is nothing to forget.
	_ = w.s.do(context.Background(), func() {
		w.s.rep.Unwatch(w.id)
		delete(w.s.watches, w.id)
	})
}
