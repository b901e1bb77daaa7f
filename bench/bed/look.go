package bed

import (
	"context"
	"slices"
	"sync"
	"time"

	"fulcrum.example/crux"
	lashup "fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/route"
	"fulcrum.example/lashup/store"
)

// look keeps the newest view, so that to ask what a node knows is no work for the
// fabric.
func (f *Fabric) look(ctx context.Context, at *lashup.Node) {
	for {
		changed := at.Changed()
		v, err := at.View(ctx)
		if err != nil {
			return // it has ended
		}
		f.see(v)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Fabric) see(v *lashup.View) {
	before := f.view.Swap(v)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range before.Members {
		m := &before.Members[i]
		if m.State == route.Up && slices.ContainsFunc(v.Members, func(o lashup.Member) bool { return o.ID == m.ID && o.State == route.Down }) {
			f.fell[m.ID] = time.Now()
		}
	}
}

// Up is how many members, itself among them, the node sees as up.
func (f *Fabric) Up() (n int) {
	v := f.view.Load()
	for i := range v.Members {
		if v.Members[i].State == route.Up {
			n++
		}
	}
	return n
}

// Sees says whether the node sees a member as up.
func (f *Fabric) Sees(id crux.NodeID) bool {
	return slices.ContainsFunc(f.view.Load().Members, func(m lashup.Member) bool { return m.ID == id && m.State == route.Up })
}

// Fell are those that the node has seen go down since a time, in no order.
func (f *Fabric) Fell(since time.Time) (out []crux.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, at := range f.fell {
		if at.After(since) {
			out = append(out, id)
		}
	}
	return out
}

// Watch calls seen, in a goroutine of its own, for the keys that a pattern selects
// and that change from now on. stop ends it, and waits.
func (f *Fabric) Watch(ctx context.Context, elements []string, seen func(key []string)) (stop func(), err error) {
	p, err := replica.NewPattern(elements, false)
	if err != nil {
		return nil, err
	}
	w, err := f.Store.Watch(ctx, p, replica.Version{})
	if err != nil {
		return nil, err
	}
	// What changes before the watch has come to its end of what exists counts as
	// having existed.
	for synced := false; !synced; {
		events, err := take(ctx, w)
		if err != nil {
			w.Close()
			return nil, err
		}
		synced = slices.ContainsFunc(events, func(e replica.Event) bool { return e.Kind == replica.Synced })
		tell(events, seen)
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		defer w.Close()
		for {
			events, err := take(ctx, w)
			if err != nil {
				return // it was stopped, or the store has ended
			}
			tell(events, seen)
		}
	})
	return func() { cancel(); group.Wait() }, nil
}

// take waits for events of a watch.
func take(ctx context.Context, w *store.Watch) ([]replica.Event, error) {
	select {
	case <-w.More():
		return w.Take(ctx, 64)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func tell(events []replica.Event, seen func(key []string)) {
	for i := range events {
		if e := &events[i]; e.Kind == replica.Changed && !e.Existing {
			seen(e.Key)
		}
	}
}
