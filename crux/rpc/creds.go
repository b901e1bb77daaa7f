package rpc

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"fulcrum.example/crux"
)

// authInfo is what gRPC carries about an admitted peer.
type authInfo struct {
	credentials.CommonAuthInfo
	peer crux.Peer
}

// AuthType names the kind of authentication, as gRPC wants it.
func (authInfo) AuthType() string { return "fulcrum" }

// PeerFrom gives the caller of the call that ctx belongs to, or for a client,
// through grpc.Peer, the server. False: the call did not come through this
// package.
func PeerFrom(ctx context.Context) (crux.Peer, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return crux.Peer{}, false
	}
	return PeerOf(p)
}

// PeerOf reads the identity out of what grpc.Peer filled in.
func PeerOf(p *peer.Peer) (crux.Peer, bool) {
	a, ok := p.AuthInfo.(authInfo)
	return a.peer, ok
}

func infoOf(p crux.Peer) authInfo {
	return authInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, p}
}

// transport is what both credentials have in common.
type transport struct {
	keys  crux.Keys
	guard *guard
}

func (transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// OverrideServerName does nothing: certificates bind endpoints, not names.
func (transport) OverrideServerName(string) error { return nil }

// serverCreds admits the callers of one endpoint.
type serverCreds struct {
	transport
	at     crux.Endpoint
	log    *slog.Logger
	logged *atomic.Int64 // when a refusal was logged last: at most one a second
}

func newServerCreds(keys crux.Keys, at crux.Endpoint, g *guard, log *slog.Logger) *serverCreds {
	return &serverCreds{transport{keys, g}, at, log, new(atomic.Int64)}
}

func (c *serverCreds) Clone() credentials.TransportCredentials { return c }

func (c *serverCreds) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, crux.Errorf("handshake", crux.Internal, "a server's credentials do not dial")
}

// ServerHandshake has no context in gRPC; acceptTLS bounds it in time.
func (c *serverCreds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	ctx := context.Background()
	revoked := c.keys.Revoked()
	s, err := acceptTLS(ctx, raw, c.keys, c.at, alpnGRPC)
	if err != nil {
		c.refused(raw, err)
		// gRPC's server closes raw on an error that is not its own signal.
		return nil, nil, err
	}
	return c.guard.add(ctx, s, c.at, revoked), infoOf(s.peer), nil
}

// refused logs why somebody was not let in; a flood of them is one line a
// second.
func (c *serverCreds) refused(raw net.Conn, err error) {
	now, last := time.Now().UnixNano(), c.logged.Load()
	if now-last < int64(time.Second) || !c.logged.CompareAndSwap(last, now) {
		return
	}
	c.log.Warn("refused a connection", "inst", c.at.Inst, "from", raw.RemoteAddr().String(), "why", err)
}

// endpointKey is the attribute of a resolver.Address that holds its
// crux.Endpoint.
type endpointKey struct{}

// clientCreds presents the right key to each endpoint: which one it is comes
// with the address.
type clientCreds struct{ transport }

func newClientCreds(keys crux.Keys, g *guard) *clientCreds { return &clientCreds{transport{keys, g}} }

func (c *clientCreds) Clone() credentials.TransportCredentials { return c }

func (c *clientCreds) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, crux.Errorf("handshake", crux.Internal, "a client's credentials do not serve")
}

func (c *clientCreds) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	to, ok := credentials.ClientHandshakeInfoFromContext(ctx).Attributes.Value(endpointKey{}).(crux.Endpoint)
	if !ok {
		return nil, nil, crux.Errorf("handshake", crux.Internal, "the address carries no endpoint")
	}
	revoked := c.keys.Revoked()
	s, err := dialTLS(ctx, raw, c.keys, to, alpnGRPC)
	if err != nil {
		return nil, nil, err
	}
	return c.guard.add(ctx, s, to, revoked), infoOf(s.peer), nil
}
