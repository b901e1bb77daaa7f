package socket

import (
	"context"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
)

// handlers implements protos/node for whoever identify finds.
type handlers struct {
	node.UnimplementedNodeServer
	cfg *Config
	who identify
}

// Register serves attached clients on a server that NewServer made.
func Register(r grpc.ServiceRegistrar, cfg Config) {
	c := &cfg
	node.RegisterNodeServer(r, &handlers{cfg: c, who: c.byName})
}

// WatchRegistry sends the snapshots of a selector.
func (h *handlers) WatchRegistry(m *node.Selector, s grpc.ServerStreamingServer[node.Snapshot]) error {
	if _, err := h.who(s.Context()); err != nil {
		return err
	}
	sel, err := wire.SelectorFrom(m)
	if err != nil {
		return err
	}
	for snap := range h.cfg.Registry.Watch(s.Context(), sel) {
		if err := s.Send(wire.SnapshotTo(snap)); err != nil {
			return err
		}
	}
	return ended(s.Context())
}

// WatchMembers sends the views of the flock.
func (h *handlers) WatchMembers(_ *node.WatchMembersRequest, s grpc.ServerStreamingServer[node.View]) error {
	if _, err := h.who(s.Context()); err != nil {
		return err
	}
	for v := range h.cfg.Members.Watch(s.Context()) {
		if err := s.Send(wire.ViewTo(v)); err != nil {
			return err
		}
	}
	return ended(s.Context())
}

// ended is why a watch ended: by its receiver, or because the node closes.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return crux.Wrap("watch", err)
	}
	return crux.Errorf("watch", crux.Unavailable, "the node is closing")
}

// handled is a signer that SignHandshake can name.
type handled interface{ Handle() uint64 }

// handshaker is keys that sign by handle.
type handshaker interface {
	SignHandshake(handle uint64, msg []byte) ([]byte, error)
}

// Credential makes (or finds) an endpoint key and its certificate.
func (h *handlers) Credential(ctx context.Context, m *node.CredentialRequest) (*node.CredentialReply, error) {
	s, err := h.who(ctx)
	if err != nil {
		return nil, err
	}
	ep, err := wire.EndpointFrom(m.GetEndpoint())
	if err != nil {
		return nil, err
	}
	get := s.keys.Client
	if m.GetServer() {
		get = s.keys.Server
	}
	c, err := get(ctx, ep)
	if err != nil {
		return nil, err
	}
	signer, ok := c.Signer.(handled)
	if !ok {
		return nil, crux.Errorf("get credential", crux.NotSupported, "this node's keys cannot sign for a process beside it")
	}
	return &node.CredentialReply{Certificate: c.Certificate, Handle: signer.Handle(), Generation: c.Generation}, nil
}

// SignHandshake signs with an endpoint key of the caller's own.
func (h *handlers) SignHandshake(ctx context.Context, m *node.SignHandshakeRequest) (*node.Signature, error) {
	s, err := h.who(ctx)
	if err != nil {
		return nil, err
	}
	keys, ok := s.keys.(handshaker)
	if !ok {
		return nil, crux.Errorf("sign handshake", crux.NotSupported, "this node's keys cannot sign for a process beside it")
	}
	sig, err := keys.SignHandshake(m.GetHandle(), m.GetMessage())
	if err != nil {
		return nil, err
	}
	return &node.Signature{Signature: sig}, nil
}

// Admit decides on a peer's certificate.
func (h *handlers) Admit(ctx context.Context, m *node.AdmitRequest) (*node.AdmitReply, error) {
	s, err := h.who(ctx)
	if err != nil {
		return nil, err
	}
	ep, err := wire.EndpointFrom(m.GetEndpoint())
	if err != nil {
		return nil, err
	}
	admit := s.keys.AdmitClient
	if m.GetServer() {
		admit = s.keys.AdmitServer
	}
	p, err := admit(ctx, m.GetCertificate(), ep)
	if err != nil {
		return nil, err
	}
	return &node.AdmitReply{Node: wire.NodeIDTo(p.Node), Caller: p.Caller, Key: p.Key}, nil
}

// Sign signs with the node key under a label of the service's own API.
func (h *handlers) Sign(ctx context.Context, m *node.SignRequest) (*node.Signature, error) {
	s, err := h.who(ctx)
	if err != nil {
		return nil, err
	}
	sig, err := s.keys.Sign(ctx, m.GetLabel(), m.GetMessage())
	if err != nil {
		return nil, err
	}
	return &node.Signature{Signature: sig}, nil
}

// Verify checks a signature of another node.
func (h *handlers) Verify(ctx context.Context, m *node.VerifyRequest) (*node.VerifyReply, error) {
	s, err := h.who(ctx)
	if err != nil {
		return nil, err
	}
	id, err := wire.NodeIDFrom(m.GetNode())
	if err != nil {
		return nil, err
	}
	return &node.VerifyReply{}, s.keys.Verify(ctx, id, m.GetLabel(), m.GetMessage(), m.GetSignature())
}

// WatchRevoked sends a message at once, for nobody told a process that was away
// what was revoked meanwhile, and after every revocation.
func (h *handlers) WatchRevoked(_ *node.WatchRevokedRequest, s grpc.ServerStreamingServer[node.Revoked]) error {
	who, err := h.who(s.Context())
	if err != nil {
		return err
	}
	for {
		next := who.keys.Revoked()
		if err := s.Send(&node.Revoked{}); err != nil {
			return err
		}
		select {
		case <-next:
		case <-s.Context().Done():
			return ended(s.Context())
		}
	}
}
