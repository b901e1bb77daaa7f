package bed

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/rpc"
)

func secrets(b *Bed) []bloc.Secondary { return []bloc.Secondary{b.secret} }

// routine is the node as one service on it sees it.
type routine struct {
	crux.Confab
	n    *Node
	name string
}

var _ crux.Node = (*routine)(nil)

// As is the node as the service or client of that name sees it. The bed needs
// Options.Registry.
func (n *Node) As(name string) crux.Node { return &routine{n.Net, n, name} }

func (r *routine) ID() crux.NodeID         { return r.n.id }
func (r *routine) Service() string         { return r.name }
func (r *routine) Horde() crux.Horde       { return crux.DefaultHorde }
func (r *routine) Registry() crux.Registry { return r.n.Reeve }
func (r *routine) Keys() crux.Keys         { return r.n.Keys.For(r.name, crux.DefaultHorde) }
func (r *routine) Members() crux.Members   { return r.n.Flock }
func (r *routine) Dir() string             { return r.n.dir }
func (r *routine) Log() *slog.Logger       { return slog.New(slog.DiscardHandler) }

// Serve runs an instance on the node and registers it. The caller closes the
// server.
func (n *Node) Serve(ctx context.Context, inst crux.Inst, register func(grpc.ServiceRegistrar)) (*rpc.Server, error) {
	s, err := rpc.Serve(n.As(string(inst)), rpc.Options{Inst: inst}, register)
	if err != nil {
		return nil, err
	}
	if err := n.Put(ctx, s.Endpoint()); err != nil {
		_ = s.Close() // the error to tell is the other
		return nil, err
	}
	return s, nil
}

// Put registers an endpoint of this node as serving.
func (n *Node) Put(ctx context.Context, e crux.Endpoint) error {
	key, generation, err := n.Keys.PublicKey(e)
	if err != nil {
		return err
	}
	return n.Reeve.Put(ctx, crux.Fservice{
		Horde: e.Horde, API: e.Inst.API(), Inst: e.Inst, NetID: e.NetID, Status: crux.Serving,
	}, key, generation)
}
