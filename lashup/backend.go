package lashup

import (
	"context"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store"
	"sync/atomic"
)

// What the handlers need of the fabric and of the store. Methods may be called
// from any goroutine.

// network is the fabric: *node.Node.
type network interface {
	View(ctx context.Context) (*node.View, error)
	Changed() <-chan struct{}
	Tree(ctx context.Context, origin crux.NodeID) ([]node.Branch, error)
	Check(ctx context.Context, id crux.NodeID) (detect.Result, error)
	Publish(ctx context.Context, r cast.Request) (cast.ID, error)
	Counts(ctx context.Context) (map[string]int64, error)
}

// storage is the store: *store.Store, by way of holder.
type storage interface {
	Write(ctx context.Context, list []replica.Write) (replica.Version, error)
	Get(ctx context.Context, key []string) (replica.Item, error)
	Scan(ctx context.Context, p replica.Pattern, f func(replica.Item) bool) error
	Watch(ctx context.Context, p replica.Pattern, since replica.Version) (watch, error)
	Counts(ctx context.Context) (map[string]int64, error)
}

// watch is one watcher's queue: *store.Watch.
type watch interface {
	More() <-chan struct{}
	Take(ctx context.Context, most int) ([]replica.Event, error)
	Close()
}

// holder holds the store, of which there is another one after a handover that
// failed.
type holder struct{ p atomic.Pointer[store.Store] }

func (h *holder) get() *store.Store { return h.p.Load() }

func (h *holder) close() error {
	if s := h.get(); s != nil {
		return s.Close()
	}
	return nil
}

func (h *holder) Write(ctx context.Context, list []replica.Write) (replica.Version, error) {
	return h.get().Write(ctx, list)
}

func (h *holder) Get(ctx context.Context, key []string) (replica.Item, error) {
	return h.get().Get(ctx, key)
}

func (h *holder) Scan(ctx context.Context, p replica.Pattern, f func(replica.Item) bool) error {
	return h.get().Scan(ctx, p, f)
}

func (h *holder) Watch(ctx context.Context, p replica.Pattern, since replica.Version) (watch, error) {
	w, err := h.get().Watch(ctx, p, since)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Counts gives the store's figures by name.
func (h *holder) Counts(ctx context.Context) (map[string]int64, error) {
	x, err := h.get().Stats(ctx)
	if err != nil {
		return nil, err
	}
	m := map[string]int64{"store.messages-lost": x.Lost}
	for name, n := range map[string]int{
		"store.keys": x.Keys, "store.tombstones": x.Tombstones, "store.bytes": x.Bytes, "store.bytes-unsaved": x.Unsaved,
		"store.watches": x.Watches, "store.updates-waiting": x.Waiting,
	} {
		m[name] = int64(n)
	}
	for name, n := range map[string]uint64{
		"store.writes": x.Writes, "store.writes-refused": x.Refused, "store.updates": x.Updates, "store.casts": x.Casts,
		"store.bytes-cast": x.CastBytes, "store.bytes-sent": x.SentBytes, "store.bytes-persisted": x.Persisted,
		"store.pulled": x.Pulled, "store.forged": x.Forged, "store.malformed": x.Malformed, "store.oversized": x.Oversized,
		"store.repaired": x.Repaired, "store.disk-errors": x.DiskErrors, "store.resyncs": x.Resyncs,
	} {
		m[name] = int64(n)
	}
	return m, nil
}
