package pastiche

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/pastiche/store"
	pb "fulcrum.example/protos/pastiche"
)

const (
	askedAtOnce = 8                // members asked whether they happen to have it
	askTimeout  = time.Second      // for each answer
	badFor      = 10 * time.Minute // a peer that sent wrong bytes is left alone
)

// badPeer is what is remembered of a peer that sent wrong bytes.
type badPeer struct {
	times int
	until time.Time
}

// jitter is d, give or take a half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// peers are the living members, without this node and without those that sent
// wrong bytes lately, in random order.
func (p *Pastiche) peers() []crux.Member {
	v, now := p.cfg.Members.View(), p.cfg.Clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []crux.Member
	for _, m := range v.Members {
		if m.ID != p.cfg.ID && m.State == crux.Alive && now.After(p.bad[m.ID].until) {
			out = append(out, m)
		}
	}
	shuffle(out)
	return out
}

func (p *Pastiche) markBad(m crux.Member, sum crux.Checksum) {
	p.counts.badArtifacts.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bad[m.ID]
	b.times++
	b.until = p.cfg.Clock.Now().Add(badFor)
	p.bad[m.ID] = b
	p.log.Warn("a peer sent wrong bytes for an artifact and is left alone for a while",
		"node", m.ID, "addr", m.Addr, "sum", sum, "times", b.times)
}

// askAround asks a few members at random whether they have an artifact.
func (p *Pastiche) askAround(ctx context.Context, sum crux.Checksum) []crux.NodeID {
	peers := p.peers()
	peers = peers[:min(len(peers), askedAtOnce)]
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	has := make([]bool, len(peers))
	var group sync.WaitGroup
	for i, m := range peers {
		group.Go(func() {
			conn, err := p.cfg.Dial(ctx, m)
			if err != nil {
				return
			}
			reply, err := pb.NewPasticheClient(conn).Has(ctx, &pb.HasRequest{Sums: [][]byte{sum[:]}})
			has[i] = err == nil && len(reply.GetHeld()) == 1
		})
	}
	group.Wait()
	var out []crux.NodeID
	for i, m := range peers {
		if has[i] {
			out = append(out, m.ID)
		}
	}
	return out
}

// pulled is how it went with a list of holders: err is nil when the artifact is
// here; missed are those that will not serve it; busy says that one may later.
type pulled struct {
	missed []crux.NodeID
	busy   bool
	err    error
}

// download is an artifact that is on its way from one peer or, when that one
// fails midway, from the next.
type download struct {
	w    *store.Writer
	size int64
	from []crux.Member // who sent bytes
}

func (d *download) discard() {
	if d.w != nil {
		d.w.Abort()
	}
	*d = download{}
}

// fromPeers pulls an artifact from one of holders, tried in random order. Where
// one fails midway the next goes on from there; where the bytes of several do
// not match, each is tried alone, so that it is known whose were wrong.
func (p *Pastiche) fromPeers(ctx context.Context, sum crux.Checksum, holders []crux.NodeID, progress func()) (res pulled) {
	res.err = crux.Errorf("fetch "+sum.String(), crux.NotFound, "no member that has it can be asked")
	queue := p.peers()
	for _, h := range holders {
		if !slices.ContainsFunc(queue, func(m crux.Member) bool { return m.ID == h }) {
			res.missed = append(res.missed, h)
		}
	}
	queue = slices.DeleteFunc(queue, func(m crux.Member) bool { return !slices.Contains(holders, m.ID) })
	var d download
	defer func() { d.discard() }()
	resume := true
	for len(queue) > 0 && ctx.Err() == nil {
		m := queue[0]
		queue = queue[1:]
		if !resume {
			d.discard()
		}
		err := p.pullFrom(ctx, m, sum, &d, progress)
		if err == nil {
			res.err = nil
			p.counts.peerFetches.Add(1)
			return res
		}
		res.err = crux.Errorf("fetch "+sum.String()+" from "+m.Addr.String(), crux.KindOf(err), "%w", err)
		switch {
		case crux.KindOf(err) == crux.Corrupt && len(d.from) > 1:
			queue = append(queue, d.from...)
			d.discard()
			resume = false
		case crux.KindOf(err) == crux.Corrupt && len(d.from) == 1:
			d.discard()
			p.markBad(m, sum)
			res.missed = append(res.missed, m.ID)
		case errors.Is(err, errBusy):
			res.busy = true
		default:
			res.missed = append(res.missed, m.ID)
		}
	}
	return res
}

// errBusy says that a peer sends as much as it wants to at the moment.
var errBusy = errors.New("busy")

// pullFrom continues d from one peer and commits it.
func (p *Pastiche) pullFrom(ctx context.Context, m crux.Member, sum crux.Checksum, d *download, progress func()) error {
	ctx, alive, stop := watchdog(ctx, p.cfg.Stagger, "it sent nothing for "+p.cfg.Stagger.String())
	defer stop()
	conn, err := p.cfg.Dial(ctx, m)
	if err != nil {
		return stalled(ctx, err)
	}
	var offset int64
	if d.w != nil {
		offset = d.w.Offset()
	}
	stream, err := pb.NewPasticheClient(conn).Fetch(ctx, &pb.FetchRequest{Sum: sum[:], Offset: offset})
	if err != nil {
		return stalled(ctx, wire.FromStatus(err))
	}
	first, err := stream.Recv()
	if err != nil {
		if err = wire.FromStatus(err); crux.KindOf(err) == crux.Exhausted {
			return errBusy
		}
		return stalled(ctx, err)
	}
	alive()
	done, err := p.begin(ctx, m, sum, first.GetSize(), d)
	if done || err != nil {
		return err
	}
	for {
		c, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return stalled(ctx, wire.FromStatus(err))
		}
		alive()
		progress()
		if _, err := d.w.Write(c.GetData()); err != nil {
			return err
		}
		p.counts.peerBytes.Add(uint64(len(c.GetData())))
	}
	return d.w.Commit()
}

// begin opens the file of a download, or checks that the next peer speaks of
// the same size; done says that the artifact came here meanwhile.
func (p *Pastiche) begin(ctx context.Context, m crux.Member, sum crux.Checksum, size int64, d *download) (done bool, err error) {
	d.from = append(d.from, m)
	if d.w != nil {
		if size != d.size {
			return false, crux.Errorf("", crux.Corrupt, "it has %d bytes, another peer %d", size, d.size)
		}
		return false, nil
	}
	d.w, err = p.store.Create(ctx, sum, size)
	d.size = size
	if crux.KindOf(err) == crux.Exists && err != nil {
		return true, nil
	}
	return false, err
}
