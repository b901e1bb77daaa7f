package rpc

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"fulcrum.example/crux"
)

// Connect gives a gRPC connection to whatever sel selects, now and later. Any
// generated client works on it. It returns at once; the first call waits for
// the first connection.
//
// The connection prefers the greatest version, then a replica on the same node,
// then the others in turn. It moves to a greater version once one of its
// replicas can be called; calls in flight end where they began. rescan is how
// long a better fit may be left unused at most, so that many changes are one
// move; 0 moves at once. What was lost is replaced at once in any case.
//
// While nothing can be called but something may become so, calls wait until
// their deadline. Kinds of errors: Unavailable when the registry is whole and
// has no instance that sel selects, or when the process that had the call died
// (calls whose proto method is marked idempotent are repeated by themselves
// first); Denied or Unknown when all servers refuse this caller.
func Connect(n crux.Node, sel crux.Selector, rescan time.Duration, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if sel.API == "" && sel.Inst == "" {
		return nil, crux.Errorf("connect", crux.Invalid, "the selector names neither an API nor an instance")
	}
	if sel.Horde == "" {
		sel.Horde = n.Horde()
	}
	g := newGuard(n.Keys(), false, logger(n.Log()))
	b := &registryBuilder{node: n, sel: sel, rescan: rescan, guard: g}
	all := append(channelOptions(n, g, true), grpc.WithResolvers(b),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"`+balancerName+`":{}}]}`))
	return dialChannel(registryScheme, g, append(all, opts...))
}

// channelOptions are what all client channels have.
func channelOptions(n interface {
	Keys() crux.Keys
	crux.Confab
}, g *guard, retry bool) []grpc.DialOption {
	return append(clientOptions(retry),
		grpc.WithTransportCredentials(newClientCreds(n.Keys(), g)),
		grpc.WithContextDialer(dialer(n)),
		grpc.WithDisableRetry(), // calls that were never sent are still repeated
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 4 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
	)
}

// dialChannel makes the channel and starts connecting. The guard ends with the
// channel: its resolver closes it.
func dialChannel(scheme string, g *guard, opts []grpc.DialOption) (*grpc.ClientConn, error) {
	cc, err := grpc.NewClient(scheme+":///fulcrum", opts...)
	if err != nil {
		g.close()
		return nil, crux.Errorf("connect", crux.Invalid, "%w", err)
	}
	cc.Connect()
	return cc, nil
}
