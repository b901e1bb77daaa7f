package node

import (
	"context"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/wire"
	flockpb "fulcrum.example/protos/flock"
)

// maxFile lets a whole bloc file through.
var maxFile = grpc.MaxCallRecvMsgSize(bloc.MaxSize + 1024)

// Register puts the flock's gRPC service on the node port. Callers are known by
// crux/rpc.
func (n *Node) Register(r grpc.ServiceRegistrar) {
	flockpb.RegisterFlockServer(r, &service{n: n})
}

// service is what other nodes' drivers may ask.
type service struct {
	flockpb.UnimplementedFlockServer
	n *Node
}

// Upgrade implements protos/flock.
func (s *service) Upgrade(ctx context.Context, q *flockpb.UpgradeRequest) (*flockpb.UpgradeReply, error) {
	caller, ok := rpc.PeerFrom(ctx)
	if !ok {
		return nil, wire.ToStatus(crux.Errorf("upgrade keys", crux.Unknown, "the call did not come through the node port"))
	}
	var reply *flockpb.UpgradeReply
	err := s.n.do(ctx, func(c *core) (err error) {
		reply, err = c.answerUpgrade(caller.Node, q)
		return err
	})
	return reply, wire.ToStatus(err)
}

// BlocFile implements protos/flock.
func (s *service) BlocFile(context.Context, *flockpb.BlocFileRequest) (*flockpb.BlocFileReply, error) {
	d := s.n.cfg.Policy.Document()
	if d == nil {
		return nil, wire.ToStatus(crux.Errorf("get bloc file", crux.NotFound, "this node runs without a bloc file"))
	}
	b, err := d.Marshal()
	return &flockpb.BlocFileReply{File: b}, wire.ToStatus(err)
}
