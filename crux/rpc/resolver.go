package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	"fulcrum.example/crux"
)

const registryScheme = "fulcrum"

// targetKey is the attribute of a resolver.State that holds a *target.
type targetKey struct{}

// target is what the resolver tells the balancer. It is immutable.
type target struct {
	self  crux.NodeID
	sel   crux.Selector
	rows  []crux.Row // Serving and Draining, one for each NetID
	whole bool       // the registry knows all there is
	salt  uint64     // spreads clients over replicas
}

// registryBuilder makes the resolver of one channel.
type registryBuilder struct {
	node   crux.Node
	sel    crux.Selector
	rescan time.Duration
	guard  *guard
}

// Scheme names the resolver to gRPC.
func (*registryBuilder) Scheme() string { return registryScheme }

// Build starts following the registry.
func (b *registryBuilder) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, stop := context.WithCancel(context.Background())
	r := &registryResolver{
		registryBuilder: *b, cc: cc, salt: saltOf(b.node),
		known: make(map[crux.RowKey]crux.Row),
		now:   make(chan struct{}, 1), stop: stop, done: make(chan struct{}),
	}
	go r.run(ctx)
	return r, nil
}

// registryResolver follows the registry for one selector. One goroutine owns
// all but the channels.
type registryResolver struct {
	registryBuilder
	cc   resolver.ClientConn
	salt uint64

	known map[crux.RowKey]crux.Row
	whole bool
	told  map[crux.RowKey]crux.Status // what the balancer was told last

	now  chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// ResolveNow makes pending news known at once; gRPC calls it when connections
// fail.
func (r *registryResolver) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case r.now <- struct{}{}:
	default:
	}
}

// Close ends the resolver, and with it what the channel owns.
func (r *registryResolver) Close() {
	r.stop()
	<-r.done
	r.guard.close()
}

func (r *registryResolver) run(ctx context.Context) {
	defer close(r.done)
	watch := r.node.Registry().Watch(ctx, r.sel)
	var due <-chan time.Time // a better fit waits to be told
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-watch:
			if !ok {
				return // only after ctx ended
			}
			r.merge(s)
			if r.rescan > 0 && !r.urgent() {
				if due == nil {
					t := time.NewTimer(r.rescan)
					defer t.Stop()
					due = t.C
				}
				continue
			}
		case <-r.now:
			r.merge(r.node.Registry().Lookup(r.sel))
		case <-due:
		}
		due = nil
		r.tell()
	}
}

// merge takes in a snapshot. One that is not whole adds and changes rows, and
// drops none: what works is kept.
func (r *registryResolver) merge(s crux.Snapshot) {
	r.whole = s.Whole
	if s.Whole {
		clear(r.known)
	}
	for i := range s.Rows {
		row := s.Rows[i]
		k := row.RowKey()
		if old, ok := r.known[k]; ok && old.Newer(&row) {
			continue
		}
		r.known[k] = row
	}
}

// urgent says whether the news is more than a better fit: something that was
// told is gone or draining, or there was nothing before.
func (r *registryResolver) urgent() bool {
	if len(r.told) == 0 {
		return true
	}
	for k, status := range r.told {
		if row, ok := r.known[k]; !ok || row.Status != status {
			return true
		}
	}
	return false
}

// tell hands the rows to the balancer.
func (r *registryResolver) tell() {
	t := &target{self: r.node.ID(), sel: r.sel, whole: r.whole, salt: r.salt}
	r.told = make(map[crux.RowKey]crux.Status, len(r.known))
	byAddr := make(map[crux.NetID]crux.Row, len(r.known))
	for k, row := range r.known {
		r.told[k] = row.Status
		if row.Status != crux.Serving && row.Status != crux.Draining {
			continue
		}
		// An address that was used again has two rows until the lease of the
		// first ends; the one that was issued last is the one to believe.
		if old, ok := byAddr[row.NetID]; ok && old.Issued.After(row.Issued) {
			continue
		}
		byAddr[row.NetID] = row
	}
	for _, row := range byAddr {
		t.rows = append(t.rows, row)
	}
	// The balancer reports no errors that a resolver could help with.
	_ = r.cc.UpdateState(resolver.State{Attributes: attributes.New(targetKey{}, t)})
}

// saltOf differs between services, so that they spread over replicas, and is
// the same for one service at all times, so that it stays where it is.
func saltOf(n crux.Node) uint64 {
	return hash64(0, []byte(n.ID().String()), []byte(n.Service()))
}
