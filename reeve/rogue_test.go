package reeve_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "fulcrum.example/protos/reeve"
)

// boaster is a member that says it has a version that nobody signed.
type boaster struct{ pb.UnimplementedReeveServer }

func (boaster) Read(_ context.Context, k *pb.DocKey) (*pb.Doc, error) {
	return &pb.Doc{Key: k, Version: 1 << 60, Body: []byte("{}")}, nil
}

func (boaster) Store(context.Context, *pb.Doc) (*pb.StoreReply, error) { return &pb.StoreReply{}, nil }

func TestMemberThatBoastsOfAVersionStopsNoPublication(t *testing.T) {
	t.Parallel()
	g := makeGroup(t, 3, time.Minute, nil)
	g.nodes[2].instead = func(s *grpc.Server) { pb.RegisterReeveServer(s, boaster{}) }
	g.start()
	for version := uint64(1); version <= 5; version++ {
		if err := g.nodes[1].propose(intent(t, version, 3, g.nodes[1].key)); err != nil {
			t.Fatal(err)
		}
	}
}
