package pastiche

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/pastiche/plan"
	pb "fulcrum.example/protos/pastiche"
)

const (
	chunkBytes = 64 << 10 // the longest chunk
	maxAsked   = 1024     // sums in one HasRequest
	maxAdvised = 16       // holders in one Advice
)

// server answers other nodes.
type server struct {
	pb.UnimplementedPasticheServer
	p *Pastiche
}

func sumFrom(b []byte) (crux.Checksum, error) {
	var sum crux.Checksum
	if len(b) != len(sum) {
		return sum, crux.Errorf("read request", crux.Invalid, "a checksum of %d bytes: want %d", len(b), len(sum))
	}
	copy(sum[:], b)
	return sum, nil
}

// Has answers from memory.
func (s *server) Has(_ context.Context, req *pb.HasRequest) (*pb.HasReply, error) {
	if len(req.GetSums()) > maxAsked {
		return nil, wire.ToStatus(crux.Errorf("has", crux.Invalid, "%d sums at once: at most %d", len(req.GetSums()), maxAsked))
	}
	reply := &pb.HasReply{}
	for _, b := range req.GetSums() {
		sum, err := sumFrom(b)
		if err != nil {
			return nil, wire.ToStatus(err)
		}
		if size, ok := s.p.store.Has(sum); ok {
			reply.Held = append(reply.Held, &pb.Held{Sum: b, Size: size})
		}
	}
	return reply, nil
}

// Sums lists the cache.
func (s *server) Sums(_ *pb.SumsRequest, out grpc.ServerStreamingServer[pb.Held]) error {
	for _, e := range s.p.store.List() {
		if err := out.Send(&pb.Held{Sum: e.Sum[:], Size: e.Size}); err != nil {
			return err
		}
	}
	return nil
}

// Fetch sends an artifact of the cache.
func (s *server) Fetch(req *pb.FetchRequest, out grpc.ServerStreamingServer[pb.Chunk]) error {
	sum, err := sumFrom(req.GetSum())
	if err != nil {
		return wire.ToStatus(err)
	}
	select {
	case s.p.uploads <- struct{}{}:
		defer func() { <-s.p.uploads }()
	default:
		s.p.counts.refused.Add(1)
		return wire.ToStatus(crux.Errorf("send artifact", crux.Exhausted,
			"this node sends %d artifacts already", cap(s.p.uploads)))
	}
	f, size, err := s.p.store.Get(out.Context(), sum)
	if err != nil {
		return wire.ToStatus(err)
	}
	defer f.Close()
	if req.GetOffset() < 0 || req.GetOffset() > size {
		return wire.ToStatus(crux.Errorf("send artifact", crux.Invalid, "offset %d of %d bytes", req.GetOffset(), size))
	}
	s.p.counts.served.Add(1)
	return s.send(io.NewSectionReader(f, req.GetOffset(), size-req.GetOffset()), size, out)
}

func (s *server) send(r io.Reader, size int64, out grpc.ServerStreamingServer[pb.Chunk]) error {
	if err := out.Send(&pb.Chunk{Size: size}); err != nil {
		return err
	}
	for {
		buf := make([]byte, chunkBytes) // gRPC may keep what it is given
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := out.Send(&pb.Chunk{Data: buf[:n]}); err != nil {
				return err
			}
			s.p.counts.servedBytes.Add(uint64(n))
		}
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return wire.ToStatus(crux.Errorf("send artifact", crux.Unavailable, "%w", err))
		}
	}
}

// Want is a requester's stream at its arbiter.
func (s *server) Want(stream grpc.BidiStreamingServer[pb.WantRequest, pb.Advice]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	sum, err := sumFrom(first.GetSum())
	if err != nil {
		return wire.ToStatus(err)
	}
	node, err := s.p.caller(stream.Context(), first.GetNode())
	if err != nil {
		return wire.ToStatus(err)
	}
	if first.GetDone() { // an announcement, as after publishing
		s.p.arbiter.holds(sum, node)
		return nil
	}
	ticket, advice := s.p.arbiter.open(sum, node)
	defer s.p.arbiter.close(ticket)
	heard := make(chan error, 1)
	go func() { heard <- s.hear(ticket, stream) }() // ends with the stream
	for {
		select {
		case err := <-heard:
			return err
		case e := <-advice:
			if err := stream.Send(adviceTo(e)); err != nil {
				return err
			}
		}
	}
}

// hear takes the requester's news until it has no more.
func (s *server) hear(ticket plan.Ticket, stream grpc.BidiStreamingServer[pb.WantRequest, pb.Advice]) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		n := news{done: m.GetDone(), failed: m.GetFailed(), progress: m.GetProgress() > 0}
		for _, b := range m.GetMissed().GetNodes() {
			id, err := wire.NodeIDFrom(b)
			if err != nil {
				return wire.ToStatus(err)
			}
			n.missed = append(n.missed, id)
		}
		s.p.arbiter.tell(ticket, n)
	}
}

func adviceTo(e plan.Effect) *pb.Advice {
	a := &pb.Advice{Do: pb.Advice_Do(e.Do)}
	for _, h := range e.Holders[:min(len(e.Holders), maxAdvised)] {
		a.Holders = append(a.Holders, wire.NodeIDTo(h))
	}
	return a
}

// caller says which node calls, and refuses one that speaks for another.
func (p *Pastiche) caller(ctx context.Context, claimed []byte) (crux.NodeID, error) {
	id, err := wire.NodeIDFrom(claimed)
	if err != nil || p.cfg.Peer == nil {
		return id, err
	}
	peer, err := p.cfg.Peer(ctx)
	if err != nil {
		return id, err
	}
	if peer.Node != id {
		return id, crux.Errorf("read request", crux.Denied, "node %s may not ask for node %s", peer.Node, id)
	}
	return id, nil
}
