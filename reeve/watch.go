package reeve

import (
	"context"

	"fulcrum.example/crux"
)

// Lookup implements crux.Registry. It takes no lock, and allocates nothing for
// a selector with a horde, an API or an instance, and no node.
func (r *Reeve) Lookup(sel crux.Selector) crux.Snapshot {
	s := r.state.Load() // before the rows: see state
	return crux.Snapshot{Rev: s.rev, Whole: s.whole, Rows: r.table.Find(sel)}
}

// Watch implements crux.Registry.
func (r *Reeve) Watch(ctx context.Context, sel crux.Selector) <-chan crux.Snapshot {
	out := make(chan crux.Snapshot)
	spawn(r, out, func() { r.watch(ctx, sel, out) })
	return out
}

// spawn runs a watcher that ends by itself when r.closed does, and closes its
// channel then: at once, where the reeve is closed already. Close waits for it.
func spawn[T any](r *Reeve, out chan T, watch func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.closed:
		close(out)
		return
	default:
	}
	r.group.Go(func() {
		defer close(out)
		watch()
	})
}

// watch offers the newest snapshot until it is taken, then waits for another.
func (r *Reeve) watch(ctx context.Context, sel crux.Selector, out chan<- crux.Snapshot) {
	var last crux.Snapshot
	first := true
	for {
		r.mu.Lock()
		changed := r.changed
		snap := r.Lookup(sel)
		r.mu.Unlock()
		var offer chan<- crux.Snapshot
		if first || !sameSnapshot(last, snap) {
			offer = out
		}
		select {
		case offer <- snap:
			last, first = snap, false
		case <-changed:
		case <-ctx.Done():
			return
		case <-r.closed:
			return
		}
	}
}

// sameSnapshot says whether two snapshots show the same rows; the revision
// alone is no news.
func sameSnapshot(a, b crux.Snapshot) bool {
	if a.Whole != b.Whole || len(a.Rows) != len(b.Rows) {
		return false
	}
	if len(a.Rows) > 0 && &a.Rows[0] == &b.Rows[0] {
		return true // the very same slice, which is immutable
	}
	for i := range a.Rows {
		x, y := &a.Rows[i], &b.Rows[i]
		if x.Incarnation != y.Incarnation || x.Seq != y.Seq || x.RowKey() != y.RowKey() {
			return false
		}
	}
	return true
}
