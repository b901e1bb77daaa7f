package rpc

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
)

const balancerName = "fulcrum_selector"

// gRPC finds balancers by name in a global map that may only be written while
// the program initialises; a channel cannot be handed one.
func init() { balancer.Register(balancerBuilder{}) }

type balancerBuilder struct{}

// Name is how a service config names the balancer.
func (balancerBuilder) Name() string { return balancerName }

// Build makes the balancer of one channel.
func (balancerBuilder) Build(cc balancer.ClientConn, o balancer.BuildOptions) balancer.Balancer {
	b := &selectorBalancer{
		cc: cc, target: &target{}, children: map[crux.NetID]child{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	b.shards = endpointsharding.NewBalancer(shardConn{cc, b}, o, balancer.Get(pickfirst.Name).Build, endpointsharding.Options{})
	go b.run()
	return b
}

// child is how the connection to one endpoint fares.
type child struct {
	state  connectivity.State
	picker balancer.Picker
}

// selectorBalancer keeps the best endpoints of a selector connected
// (endpointsharding over one pick_first each) and picks the best of those that
// are ready.
//
// Lock order: top, then gRPC's own locks, then mu. Children report while
// endpointsharding holds a lock of its own, so reports never take top: they
// publish a new picker and wake the goroutine that chooses anew.
type selectorBalancer struct {
	cc     balancer.ClientConn
	shards balancer.Balancer

	top       sync.Mutex // held through every call into shards
	connected []crux.Endpoint

	mu       sync.Mutex
	target   *target
	tiers    [][]crux.Row
	children map[crux.NetID]child
	closed   bool

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// shardConn is the ClientConn that endpointsharding sees: its state goes to the
// selectorBalancer.
type shardConn struct {
	balancer.ClientConn
	b *selectorBalancer
}

func (c shardConn) UpdateState(s balancer.State) { c.b.report(s) }

// UpdateClientConnState takes what the resolver found.
func (b *selectorBalancer) UpdateClientConnState(s balancer.ClientConnState) error {
	t, ok := s.ResolverState.Attributes.Value(targetKey{}).(*target)
	if !ok {
		return errors.New("the resolver state has no target: " + balancerName + " works with rpc.Connect only")
	}
	b.mu.Lock()
	b.target, b.tiers = t, rank(t)
	b.mu.Unlock()
	b.reconnect()
	return nil
}

// reconnect chooses anew which endpoints to keep connected and publishes what
// can be picked.
func (b *selectorBalancer) reconnect() {
	b.top.Lock()
	defer b.top.Unlock()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	rows := choose(b.tiers, func(id crux.NetID) connectivity.State {
		if c, ok := b.children[id]; ok {
			return c.state
		}
		return connectivity.Idle
	})
	b.publishLocked()
	b.mu.Unlock()

	endpoints := make([]crux.Endpoint, len(rows))
	for i := range rows {
		endpoints[i] = endpointOf(&rows[i])
	}
	slices.SortFunc(endpoints, compareEndpoints)
	if slices.Equal(endpoints, b.connected) {
		return
	}
	b.connected = endpoints
	// Its only error is that there are no endpoints, which is known here.
	_ = b.shards.UpdateClientConnState(balancer.ClientConnState{ResolverState: resolver.State{Endpoints: addresses(endpoints)}})
}

func compareEndpoints(a, b crux.Endpoint) int {
	switch {
	case a.NetID < b.NetID:
		return -1
	case a.NetID > b.NetID:
		return 1
	}
	return 0
}

// addresses gives each endpoint to gRPC with what the handshake needs to know.
func addresses(endpoints []crux.Endpoint) []resolver.Endpoint {
	out := make([]resolver.Endpoint, len(endpoints))
	for i, e := range endpoints {
		out[i].Addresses = []resolver.Address{{Addr: string(e.NetID), Attributes: attributes.New(endpointKey{}, e)}}
	}
	return out
}

// report takes in how the connections fare.
func (b *selectorBalancer) report(s balancer.State) {
	states := endpointsharding.ChildStatesFromPicker(s.Picker)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	clear(b.children)
	for _, c := range states {
		if len(c.Endpoint.Addresses) == 1 {
			b.children[crux.NetID(c.Endpoint.Addresses[0].Addr)] = child{c.State.ConnectivityState, c.State.Picker}
		}
	}
	b.publishLocked()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run chooses anew after reports.
func (b *selectorBalancer) run() {
	defer close(b.done)
	for {
		select {
		case <-b.stop:
			return
		case <-b.wake:
			b.reconnect()
		}
	}
}

// publishLocked tells gRPC what can be picked now: of the best tier with a
// ready connection, the node's own replicas, or else all of them in turn.
func (b *selectorBalancer) publishLocked() {
	for _, tier := range b.tiers {
		var near, far []balancer.Picker
		for i := range tier {
			c, ok := b.children[tier[i].NetID]
			switch {
			case !ok || c.state != connectivity.Ready:
			case tier[i].Node == b.target.self:
				near = append(near, c.picker)
			default:
				far = append(far, c.picker)
			}
		}
		if len(near) == 0 {
			near = far
		}
		if len(near) > 0 {
			b.cc.UpdateState(balancer.State{ConnectivityState: connectivity.Ready, Picker: &turns{pickers: near}})
			return
		}
	}
	state, err := b.nothingReadyLocked()
	b.cc.UpdateState(balancer.State{ConnectivityState: state, Picker: fixed{err}})
}

// nothingReadyLocked says why nothing can be picked, and whether calls are to
// wait (balancer.ErrNoSubConnAvailable) or to fail.
func (b *selectorBalancer) nothingReadyLocked() (connectivity.State, error) {
	if len(b.tiers) == 0 {
		if !b.target.whole {
			return connectivity.Connecting, balancer.ErrNoSubConnAvailable
		}
		return connectivity.TransientFailure, crux.Errorf("connect", crux.Unavailable,
			"no instance of %s is registered; see what there is with: fulcrum services", b.target.sel)
	}
	var last *refusal
	for _, c := range b.children {
		if c.state != connectivity.TransientFailure {
			return connectivity.Connecting, balancer.ErrNoSubConnAvailable
		}
		_, err := c.picker.Pick(balancer.PickInfo{})
		if !errors.As(err, &last) || !last.final() {
			return connectivity.Connecting, balancer.ErrNoSubConnAvailable
		}
	}
	if last == nil {
		return connectivity.Connecting, balancer.ErrNoSubConnAvailable
	}
	err := crux.Errorf("connect to "+b.target.sel.String(), last.kind, "every server refused this caller; one said: %s", last.text)
	return connectivity.TransientFailure, status.Convert(wire.ToStatus(err)).Err()
}

// ResolverError cannot come from the resolver of this package.
func (b *selectorBalancer) ResolverError(error) {}

// UpdateSubConnState is not used: connections have listeners.
func (b *selectorBalancer) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle connects what is idle.
func (b *selectorBalancer) ExitIdle() {
	b.top.Lock()
	defer b.top.Unlock()
	b.shards.ExitIdle()
}

// Close ends the balancer and waits for what it started.
func (b *selectorBalancer) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	close(b.stop)
	<-b.done
	b.top.Lock()
	defer b.top.Unlock()
	b.shards.Close()
}

// turns picks in turn.
type turns struct {
	pickers []balancer.Picker
	next    atomic.Uint32
}

// Pick gives the call to the next replica.
func (p *turns) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if len(p.pickers) == 1 {
		return p.pickers[0].Pick(info)
	}
	n := p.next.Add(1)
	return p.pickers[n%uint32(len(p.pickers))].Pick(info)
}

// fixed gives every call the same error.
type fixed struct{ err error }

func (p fixed) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, p.err
}
