// Package galumph is the tutorial: a whole service of fulcrum. It remembers in
// memory who galumphed, in two versions of one API; both share everything but
// their name, so that a roll-out can be watched.
//
// A service is a function. Picket calls it with a channel that says when to
// quit, a channel for heartbeats, and the node; rpc.Serve does the rest. The
// folders galumph2_3 and galumph2_4 make executables of it, the folder plugin a
// Go plugin; hello is a client of fifteen lines, client one that counts.
package galumph

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/galumph"
)

// Galumph2_3 is version 2.3 of the service.
func Galumph2_3(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	serve("galumph2_3", quit, alive, network)
}

// Galumph2_4 is version 2.4 of the service.
func Galumph2_4(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	serve("galumph2_4", quit, alive, network)
}

func serve(inst crux.Inst, quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	g := &table{inst: string(inst), node: network.ID().String()}
	s, err := rpc.Serve(network, rpc.Options{Inst: inst, Quit: quit, Alive: alive},
		func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, g) })
	if err == nil {
		err = s.Wait()
	}
	if err != nil {
		network.Log().Error("galumph ended", "why", err)
	}
}

// table is the service: the protos' methods on a list in memory.
type table struct {
	pb.UnimplementedGalumphServer
	inst, node string

	mu      sync.Mutex
	entries []*pb.GalumphInstance // the oldest first
	total   int64
}

const maxEntries = 10_000 // the oldest are forgotten

// Register adds an entry.
func (t *table) Register(_ context.Context, in *pb.GalumphInstance) (*pb.RegisterResp, error) {
	if in.GetName() == "" {
		return nil, crux.Errorf("register", crux.Invalid, "the entry has no name")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) >= maxEntries {
		t.entries = slices.Delete(t.entries, 0, maxEntries/2)
	}
	t.entries = append(t.entries, in)
	t.total++
	return &pb.RegisterResp{Inst: t.inst, Node: t.node, Total: t.total}, nil
}

// Table lists the newest entries.
func (t *table) Table(_ context.Context, req *pb.TableReq) (*pb.TableResp, error) {
	limit := int(req.GetLimit())
	if limit <= 0 {
		limit = 100
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	newest := slices.Clone(t.entries[max(0, len(t.entries)-limit):])
	slices.Reverse(newest)
	return &pb.TableResp{Inst: t.inst, Node: t.node, Entries: newest}, nil
}
