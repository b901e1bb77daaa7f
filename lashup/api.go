package lashup

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/lashup"
)

// api is what the handlers of all three services share.
type api struct {
	inst     crux.Inst
	self     crux.NodeID
	epoch    uint64
	since    time.Time
	net      network
	store    storage
	hub      *hub
	gate     *gate
	requests *requests
	// local says whether a caller is on this node.
	local func(ctx context.Context) bool
}

// sooner makes an error of a call that came while the fabric was handed over one
// that says to ask again.
func (a *api) sooner(err error) error {
	if crux.KindOf(err) == crux.Unavailable && a.gate.isShut() {
		return errHandover()
	}
	return err
}

// register adds the services to a server.
func (a *api) register(r grpc.ServiceRegistrar) {
	pb.RegisterFabricServer(r, fabricAPI{api: a})
	pb.RegisterStoreServer(r, storeAPI{api: a})
	pb.RegisterMulticastServer(r, multicastAPI{api: a})
}

// fromNode makes api.local for a node, by the endpoint keys of callers.
func fromNode(id crux.NodeID) func(context.Context) bool {
	return func(ctx context.Context) bool {
		p, ok := rpc.PeerFrom(ctx)
		return ok && p.Node == id
	}
}
