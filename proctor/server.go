package proctor

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pwire "fulcrum.example/proctor/wire"
	pb "fulcrum.example/protos/proctor"
)

// server answers deans.
type server struct {
	pb.UnimplementedProctorServer
	p *Proctor
}

// Plan is a dean's subscription.
func (s *server) Plan(stream grpc.BidiStreamingServer[pb.Report, pb.Assignment]) error {
	return wire.ToStatus(s.plan(stream))
}

func (s *server) plan(stream grpc.BidiStreamingServer[pb.Report, pb.Assignment]) error {
	ctx := stream.Context()
	first, err := s.recv(stream, crux.NodeID{})
	if err != nil {
		return err
	}
	r := s.p.current()
	if r == nil {
		return s.notLeading()
	}
	sub := &subscription{node: first.Node, lists: make(chan list, 1), replaced: make(chan struct{})}
	if !r.tell(ctx, event{sub: sub, report: first}) {
		return s.notLeading()
	}
	defer r.tell(context.WithoutCancel(ctx), event{sub: sub, left: true})
	heard := make(chan error, 1)
	go func() { heard <- s.hear(r, sub, stream) }() // ends with the stream
	for {
		select {
		case l := <-sub.lists:
			if err := stream.Send(pwire.AssignmentTo(l.rev, l.units)); err != nil {
				return err
			}
		case err := <-heard:
			return err
		case <-sub.replaced:
			return crux.Errorf("subscribe", crux.Conflict, "node %s has subscribed again", sub.node)
		case <-r.done:
			return s.notLeading()
		}
	}
}

// hear passes reports on until the dean has no more.
func (s *server) hear(r *reign, sub *subscription, stream grpc.BidiStreamingServer[pb.Report, pb.Assignment]) error {
	for {
		rep, err := s.recv(stream, sub.node)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !r.tell(stream.Context(), event{sub: sub, report: rep}) {
			return s.notLeading()
		}
	}
}

// recv reads one report and checks that it is from node, or, where node is
// zero, from whoever the connection says.
func (s *server) recv(stream grpc.BidiStreamingServer[pb.Report, pb.Assignment], node crux.NodeID) (pwire.Report, error) {
	m, err := stream.Recv()
	if err != nil {
		return pwire.Report{}, err
	}
	rep, err := pwire.ReportFrom(m)
	if err != nil {
		return rep, err
	}
	if node.IsZero() && s.p.cfg.Peer != nil {
		peer, err := s.p.cfg.Peer(stream.Context())
		if err != nil {
			return rep, err
		}
		node = peer.Node
	}
	if !node.IsZero() && rep.Node != node {
		return rep, crux.Errorf("subscribe", crux.Denied, "node %s may not speak for node %s", node, rep.Node)
	}
	return rep, nil
}

func (s *server) notLeading() error {
	v := s.p.cfg.Members.View()
	if leader, ok := v.Member(v.Leader); ok && leader.ID != v.Self {
		return crux.Errorf("subscribe", crux.Unavailable, "this node does not lead: node %s at %s does", leader.ID, leader.Addr)
	}
	return crux.Errorf("subscribe", crux.Unavailable, "this node does not act as leader at the moment")
}

// Progress answers for the leader alone.
func (s *server) Progress(_ context.Context, req *pb.ProgressRequest) (*pb.ProgressReply, error) {
	horde, err := crux.ParseHorde(req.GetHorde())
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	r := s.p.current()
	if r == nil {
		return nil, wire.ToStatus(s.notLeading())
	}
	pr, err := r.progressOf(horde, crux.API(req.GetApi()))
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	return pwire.ProgressTo(pr), nil
}
