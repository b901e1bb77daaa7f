package pastiche

import (
	"cmp"
	"context"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/pastiche/plan"
	pb "fulcrum.example/protos/pastiche"
)

const (
	// openWait bounds how long an arbiter may take to be reached and to say its
	// first word: it answers from memory.
	openWait = 2 * time.Second
	// closeWait bounds how long the end of a request is given to reach it.
	closeWait = time.Second
)

// desk is a request at an arbiter, near or far. One goroutine uses it.
type desk struct {
	advice <-chan plan.Effect // closed when the arbiter is gone
	tell   func(news)
	end    func()
}

func (d *desk) close() { d.end() }

// progress returns a function that tells the arbiter, now and then, that this
// node is alive.
func (d *desk) progress(c crux.Clock) func() {
	last := c.Now()
	return func() {
		if now := c.Now(); now.Sub(last) >= progressEvery {
			last = now
			d.tell(news{progress: true})
		}
	}
}

// arbiters are the members to consult about an artifact, first choice first.
func (p *Pastiche) arbiters(sum crux.Checksum) []crux.Member {
	v := p.cfg.Members.View()
	ids := make([]crux.NodeID, 0, len(v.Members))
	for _, m := range v.Members {
		if m.State == crux.Alive || m.ID == p.cfg.ID {
			ids = append(ids, m.ID)
		}
	}
	ids = plan.Order(sum, ids)
	out := make([]crux.Member, 0, maxConsults)
	for _, id := range ids[:min(len(ids), maxConsults)] {
		m, _ := v.Member(id)
		out = append(out, m)
	}
	return out
}

// consult opens a request at an arbiter.
func (p *Pastiche) consult(ctx context.Context, m crux.Member, sum crux.Checksum) (*desk, error) {
	if m.ID == p.cfg.ID {
		ticket, advice := p.arbiter.open(sum, p.cfg.ID)
		return &desk{
			advice: advice,
			tell:   func(n news) { p.arbiter.tell(ticket, n) },
			end:    func() { p.arbiter.close(ticket) },
		}, nil
	}
	return p.consultFar(ctx, m, sum)
}

func (p *Pastiche) consultFar(ctx context.Context, m crux.Member, sum crux.Checksum) (*desk, error) {
	// The request outlives ctx by a moment, so that its end is told; it does
	// not outlive openWait before it is open.
	sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	late := time.AfterFunc(openWait, cancel)
	conn, err := p.cfg.Dial(sctx, m)
	if err != nil {
		cancel()
		return nil, err
	}
	stream, err := pb.NewPasticheClient(conn).Want(sctx)
	if err == nil {
		err = stream.Send(&pb.WantRequest{Sum: sum[:], Node: wire.NodeIDTo(p.cfg.ID)})
	}
	if err != nil || !late.Stop() {
		cancel()
		return nil, cmp.Or(wire.FromStatus(err), error(context.DeadlineExceeded))
	}
	advice, gone := make(chan plan.Effect, 1), make(chan struct{})
	p.group.Go(func() {
		defer close(gone)
		defer close(advice)
		for {
			a, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case <-advice:
			default:
			}
			advice <- adviceFrom(a)
		}
	})
	end := func() {
		defer cancel()
		if stream.CloseSend() != nil {
			return
		}
		select {
		case <-gone:
		case <-time.After(closeWait):
		}
	}
	// A failed Send shows as the end of advice.
	tell := func(n news) { _ = stream.Send(newsTo(n)) }
	return &desk{advice: advice, tell: tell, end: end}, nil
}

func newsTo(n news) *pb.WantRequest {
	m := &pb.WantRequest{}
	switch {
	case n.done:
		m.News = &pb.WantRequest_Done{Done: true}
	case n.failed:
		m.News = &pb.WantRequest_Failed{Failed: true}
	case len(n.missed) > 0:
		missed := &pb.Missed{}
		for _, id := range n.missed {
			missed.Nodes = append(missed.Nodes, wire.NodeIDTo(id))
		}
		m.News = &pb.WantRequest_Missed{Missed: missed}
	default:
		m.News = &pb.WantRequest_Progress{Progress: 1}
	}
	return m
}

func adviceFrom(a *pb.Advice) plan.Effect {
	e := plan.Effect{Do: plan.Do(a.GetDo())}
	for _, b := range a.GetHolders() {
		if id, err := wire.NodeIDFrom(b); err == nil && !id.IsZero() {
			e.Holders = append(e.Holders, id)
		}
	}
	return e
}

// announce tells the arbiter of an artifact that this node has it. It is a
// hint: an arbiter that does not hear it loses nothing but a read.
func (p *Pastiche) announce(ctx context.Context, sum crux.Checksum) {
	arbiters := p.arbiters(sum)
	if len(arbiters) == 0 {
		return
	}
	m := arbiters[0]
	if m.ID == p.cfg.ID {
		p.arbiter.holds(sum, p.cfg.ID)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	err := p.announceTo(ctx, m, sum)
	if err != nil {
		p.log.Debug("an arbiter was not told of a new artifact", "sum", sum, "node", m.ID, "err", err)
	}
}

func (p *Pastiche) announceTo(ctx context.Context, m crux.Member, sum crux.Checksum) error {
	conn, err := p.cfg.Dial(ctx, m)
	if err != nil {
		return err
	}
	stream, err := pb.NewPasticheClient(conn).Want(ctx)
	if err != nil {
		return wire.FromStatus(err)
	}
	first := newsTo(news{done: true})
	first.Sum, first.Node = sum[:], wire.NodeIDTo(p.cfg.ID)
	if err := stream.Send(first); err != nil {
		return wire.FromStatus(err)
	}
	if err := stream.CloseSend(); err != nil {
		return wire.FromStatus(err)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
}
