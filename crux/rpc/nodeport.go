package rpc

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	"fulcrum.example/crux"
)

// NodeInst is the instance that every node serves on its own address.
const NodeInst crux.Inst = "node1_0"

// maxNodeMessage bounds a message on the node port, in bytes: a node's rows, or
// a steward's, go in one.
const maxNodeMessage = 64 << 20

// NodeEndpoint is the endpoint of a member's node port.
func NodeEndpoint(m crux.Member) crux.Endpoint {
	return crux.Endpoint{Node: m.ID, Horde: crux.DefaultHorde, Inst: NodeInst, NetID: crux.NetIDOf(m.Addr)}
}

// NodePort is the server of what nodes say to each other. All its services
// share one address: the TCP port of the flock's number.
type NodePort struct {
	grpc   *grpc.Server
	guard  *guard
	once   sync.Once
	served chan error
	err    error
}

// ServeNodePort serves on l, which it takes over, as the endpoint self (see
// NodeEndpoint), to those that keys admit there: the nodes of the bloc. It
// returns at once; Close ends it. A nil log discards.
func ServeNodePort(l net.Listener, keys crux.Keys, self crux.Endpoint, log *slog.Logger, register func(grpc.ServiceRegistrar), opts ...grpc.ServerOption) (*NodePort, error) {
	if _, err := keys.Server(context.Background(), self); err != nil {
		l.Close()
		return nil, crux.Wrap("serve node port", err)
	}
	log = logger(log)
	g := newGuard(keys, true, log)
	p := &NodePort{grpc: newGRPCServer(keys, self, g, log, append([]grpc.ServerOption{grpc.MaxRecvMsgSize(maxNodeMessage)}, opts...)), guard: g, served: make(chan error, 1)}
	register(p.grpc)
	addHealth(p.grpc)
	go func() { p.served <- p.grpc.Serve(l) }()
	return p, nil
}

// nodePortDrain is how long the calls of other nodes may go on; their watches
// never end by themselves.
const nodePortDrain = 500 * time.Millisecond

// Close ends the server: unary calls under way get a moment, streams are cut.
func (p *NodePort) Close() error {
	p.once.Do(func() {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			p.grpc.GracefulStop()
		}()
		t := time.NewTimer(nodePortDrain)
		defer t.Stop()
		select {
		case <-stopped:
		case <-t.C:
			p.grpc.Stop()
			<-stopped
		}
		if err := <-p.served; err != nil {
			p.err = crux.Errorf("serve node port", crux.Unavailable, "%w", err)
		}
		p.guard.close()
	})
	return p.err
}

// DialNode gives a connection to a member's node port. It connects by itself
// and again after failures; calls wait for the connection only if they ask for
// it (grpc.WaitForReady). Idempotent calls are not repeated: their callers watch
// the flock and know better whom to ask next.
func DialNode(keys crux.Keys, confab crux.Confab, m crux.Member, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	g := newGuard(keys, false, logger(nil))
	n := keyedConfab{confab, keys}
	all := append(channelOptions(n, g, false), grpc.WithResolvers(fixedBuilder{NodeEndpoint(m), g}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxNodeMessage)))
	return dialChannel(fixedScheme, g, append(all, opts...))
}

type keyedConfab struct {
	crux.Confab
	keys crux.Keys
}

func (k keyedConfab) Keys() crux.Keys { return k.keys }

const fixedScheme = "fulcrum-node"

// fixedBuilder resolves to one endpoint.
type fixedBuilder struct {
	to    crux.Endpoint
	guard *guard
}

// Scheme names the resolver to gRPC.
func (fixedBuilder) Scheme() string { return fixedScheme }

// Build tells gRPC of the one endpoint.
func (b fixedBuilder) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	err := cc.UpdateState(resolver.State{Endpoints: []resolver.Endpoint{{
		Addresses: []resolver.Address{{Addr: string(b.to.NetID), Attributes: attributes.New(endpointKey{}, b.to)}},
	}}})
	return b, err
}

// ResolveNow has nothing to look up.
func (fixedBuilder) ResolveNow(resolver.ResolveNowOptions) {}

// Close ends what the channel owns.
func (b fixedBuilder) Close() { b.guard.close() }
