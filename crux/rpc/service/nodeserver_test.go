package service_test

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
	"fulcrum.example/reeve/keys"
)

// bloc is one node, with a socket that its services attach to; the node can be
// stopped and started again as fulcrum is.
type bloc struct {
	t       *testing.T
	self    crux.Member
	policy  *rpctest.Policy
	members *rpctest.Members
	rows    *rpctest.Registry
	socket  string
	token   string
	lease   time.Duration

	server *nodeServer
}

func newBloc(t *testing.T) *bloc {
	t.Helper()
	b := &bloc{t: t, self: rpctest.MemberOf(rpctest.NodeKey(0), netip.MustParseAddrPort("127.0.0.1:7000")),
		rows: &rpctest.Registry{}, socket: filepath.Join(t.TempDir(), service.SocketName), lease: 30 * time.Second}
	b.policy = rpctest.NewPolicy("test", b.self.Key)
	b.policy.Allow("client", "galumph2", true)
	b.policy.Allow("galumph2_3", "galumph2", true)
	b.members = rpctest.NewMembers(b.self.ID, b.self)
	b.rows.Set(true)
	b.up()
	t.Cleanup(b.down)
	return b
}

// up starts the node: a new ring with the same key, as after a restart.
func (b *bloc) up() {
	b.t.Helper()
	ring, err := keys.New(keys.Config{NodeKey: rpctest.NodeKey(0), Policy: b.policy, Members: b.members})
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		b.t.Fatal(err)
	}
	s := &nodeServer{bloc: b, ring: ring, grpc: grpc.NewServer(), attached: make(chan chan *node.FromNode, 100)}
	node.RegisterNodeServer(s.grpc, s)
	s.work.Go(func() { _ = s.grpc.Serve(l) })
	b.server = s
}

// down ends the node abruptly.
func (b *bloc) down() {
	if b.server == nil {
		return
	}
	b.server.grpc.Stop()
	b.server.work.Wait()
	b.server.ring.Close()
	b.server = nil
}

// nodeServer is the node's side of protos/node, as short as it can be.
type nodeServer struct {
	node.UnimplementedNodeServer
	bloc     *bloc
	ring     *keys.Ring
	grpc     *grpc.Server
	work     sync.WaitGroup
	beats    atomic.Int64
	attached chan chan *node.FromNode // how to reach the service, each time it attaches
}

// who reads the caller from the metadata.
func (s *nodeServer) who(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if t := md.Get("fulcrum-token"); len(t) == 1 && t[0] == s.bloc.token {
		return "galumph2_3", nil
	}
	if c := md.Get("fulcrum-caller"); len(c) == 1 && c[0] != "evil" {
		return c[0], nil
	}
	return "", wire.ToStatus(crux.Errorf("attach", crux.Unknown, "the token is not known here"))
}

func (s *nodeServer) keys(ctx context.Context) (crux.Keys, error) {
	who, err := s.who(ctx)
	if err != nil {
		return nil, err
	}
	return s.ring.For(who, crux.DefaultHorde), nil
}

func (s *nodeServer) Attach(st node.Node_AttachServer) error {
	who, err := s.who(st.Context())
	if err != nil {
		return err
	}
	err = st.Send(&node.FromNode{Msg: &node.FromNode_Info{Info: &node.Info{
		Node: wire.NodeIDTo(s.bloc.self.ID), Addr: s.bloc.self.Addr.String(), Service: who, Horde: "default",
		Dir: s.bloc.t.TempDir(), Func: "Galumph2_3", Lease: s.bloc.lease.String()}}})
	if err != nil {
		return err
	}
	say := make(chan *node.FromNode, 1)
	if who == "galumph2_3" {
		s.attached <- say
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := st.Recv()
			if err != nil {
				return
			}
			for _, f := range m.GetBeats() {
				b, err := wire.FserviceFrom(f)
				if err != nil {
					s.bloc.t.Error(err)
					return
				}
				s.bloc.rows.Beat(s.bloc.self.ID, []crux.Fservice{b})
				s.beats.Add(1)
			}
		}
	}()
	for {
		select {
		case m := <-say:
			if err := st.Send(m); err != nil {
				return err
			}
		case <-ended:
			return nil
		}
	}
}

func (s *nodeServer) WatchRegistry(m *node.Selector, st node.Node_WatchRegistryServer) error {
	if _, err := s.who(st.Context()); err != nil {
		return err
	}
	sel, err := wire.SelectorFrom(m)
	if err != nil {
		return wire.ToStatus(err)
	}
	for snap := range s.bloc.rows.Watch(st.Context(), sel) {
		if err := st.Send(wire.SnapshotTo(snap)); err != nil {
			return err
		}
	}
	return nil
}

func (s *nodeServer) WatchMembers(_ *node.WatchMembersRequest, st node.Node_WatchMembersServer) error {
	for v := range s.bloc.members.Watch(st.Context()) {
		if err := st.Send(wire.ViewTo(v)); err != nil {
			return err
		}
	}
	return nil
}

func (s *nodeServer) WatchRevoked(_ *node.WatchRevokedRequest, st node.Node_WatchRevokedServer) error {
	for {
		select {
		case <-s.ring.Revoked():
			if err := st.Send(&node.Revoked{}); err != nil {
				return err
			}
		case <-st.Context().Done():
			return nil
		}
	}
}

func (s *nodeServer) Credential(ctx context.Context, r *node.CredentialRequest) (*node.CredentialReply, error) {
	k, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	e, err := wire.EndpointFrom(r.GetEndpoint())
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	get := k.Client
	if r.GetServer() {
		get = k.Server
	}
	c, err := get(ctx, e)
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	return &node.CredentialReply{Certificate: c.Certificate, Generation: c.Generation,
		Handle: c.Signer.(interface{ Handle() uint64 }).Handle()}, nil
}

func (s *nodeServer) SignHandshake(ctx context.Context, r *node.SignHandshakeRequest) (*node.Signature, error) {
	k, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	sig, err := k.(*keys.Keys).SignHandshake(r.GetHandle(), r.GetMessage())
	return &node.Signature{Signature: sig}, wire.ToStatus(err)
}

func (s *nodeServer) Admit(ctx context.Context, r *node.AdmitRequest) (*node.AdmitReply, error) {
	k, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	e, err := wire.EndpointFrom(r.GetEndpoint())
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	admit := k.AdmitClient
	if r.GetServer() {
		admit = k.AdmitServer
	}
	p, err := admit(ctx, r.GetCertificate(), e)
	return &node.AdmitReply{Node: wire.NodeIDTo(p.Node), Caller: p.Caller, Key: p.Key}, wire.ToStatus(err)
}

func (s *nodeServer) Sign(ctx context.Context, r *node.SignRequest) (*node.Signature, error) {
	k, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	sig, err := k.Sign(ctx, r.GetLabel(), r.GetMessage())
	return &node.Signature{Signature: sig}, wire.ToStatus(err)
}

func (s *nodeServer) Verify(ctx context.Context, r *node.VerifyRequest) (*node.VerifyReply, error) {
	k, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	id, err := wire.NodeIDFrom(r.GetNode())
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	return &node.VerifyReply{}, wire.ToStatus(k.Verify(ctx, id, r.GetLabel(), r.GetMessage(), r.GetSignature()))
}
