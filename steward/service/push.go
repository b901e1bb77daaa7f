package service

import (
	"context"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

const (
	maxRows = 2000 // of one message
	maxDocs = 32   // of one message; a document has at most 64 KiB
)

// Between two pushes, so that what comes together goes together: pause for each row
// of the one before, restMost at most. Where much happens, as when a bloc is powered
// up, all reeves would otherwise verify every state that a service goes through.
const (
	pause    = 3 * time.Millisecond
	restMost = 60 * time.Millisecond
)

// pusher sends one reeve what it lacks. One goroutine owns it.
type pusher struct {
	r      *reign
	sub    *subscriber
	stream syncStream

	sent        uint64               // changes up to this one were sent
	todo        map[crux.NodeID]bool // nodes whose digest is to be sent; true: and all their rows
	docs        []crux.Doc
	docsChanged <-chan struct{}
	whole       bool   // as last said
	epoch       uint64 // as last said
}

// push runs until ctx ends or the stream breaks.
func (r *reign) push(ctx context.Context, sub *subscriber, stream syncStream) error {
	p := &pusher{r: r, sub: sub, stream: stream, todo: map[crux.NodeID]bool{}}
	p.docs, p.docsChanged = r.cfg.Reeve.AllDocs()
	if err := p.begin(sub.words); err != nil {
		return err
	}
	sub.words = nil
	for {
		m, news, behind := p.next()
		if behind {
			if err := p.begin(nil); err != nil {
				return err
			}
			continue
		}
		if m != nil {
			if err := stream.Send(m); err != nil {
				return err
			}
			if !p.rest(ctx, max(1, len(m.Rows), len(m.Digests))) {
				return nil
			}
			continue
		}
		select {
		case <-news:
		case <-p.docsChanged:
		case <-sub.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// rest lets some milliseconds pass after a push of so many rows; false: ctx has
// ended.
func (p *pusher) rest(ctx context.Context, rows int) bool {
	select {
	case <-p.r.cfg.Clock.After(min(time.Duration(rows)*pause, restMost)):
		return true
	case <-ctx.Done():
		return false
	}
}

// begin sends what a reeve lacks that holds the rows of these words.
func (p *pusher) begin(words map[crux.NodeID]steward.Word) error {
	r := p.r
	r.mu.Lock()
	d := r.table.Since(r.cfg.Clock.Now(), words)
	rev := wire.RevisionTo(r.revisionLocked())
	p.sent = r.n
	r.mu.Unlock()
	// A node's full set counts only in one message with its digest, and sets are
	// cut by messages here: what they would drop, reeve asks for by itself.
	if len(d.Rows) <= maxRows {
		m := &pb.FromSteward{Rev: rev, More: true}
		addDelta(m, d)
		return p.stream.Send(m)
	}
	for len(d.Rows) > 0 {
		n := min(len(d.Rows), maxRows)
		m := &pb.FromSteward{Rev: rev, More: true}
		addDelta(m, steward.Delta{Rows: d.Rows[:n]})
		if err := p.stream.Send(m); err != nil {
			return err
		}
		d.Rows = d.Rows[n:]
	}
	m := &pb.FromSteward{Rev: rev, More: true}
	addDelta(m, steward.Delta{Digests: d.Digests})
	return p.stream.Send(m)
}

func addDelta(m *pb.FromSteward, d steward.Delta) {
	for i := range d.Rows {
		h := &d.Rows[i]
		m.Rows = append(m.Rows, &pb.Held{Row: wire.RowTo(&h.Row), LeftNano: int64(h.Left)})
	}
	for i := range d.Digests {
		x := wire.DigestTo(&d.Digests[i].Digest)
		x.LeftNano = int64(d.Digests[i].Left)
		m.Digests = append(m.Digests, x)
	}
	for _, id := range d.Full {
		m.Full = append(m.Full, wire.NodeIDTo(id))
	}
}

// next makes the next message, or none and the channel that closes at the next
// news. behind: the log no longer has what follows.
func (p *pusher) next() (m *pb.FromSteward, news <-chan struct{}, behind bool) {
	select {
	case <-p.docsChanged:
		p.docs, p.docsChanged = p.r.cfg.Reeve.AllDocs()
	default:
	}
	r := p.r
	r.mu.Lock()
	news = r.news
	if r.n > p.sent && (len(r.log) == 0 || r.log[0].n > p.sent+1) {
		r.mu.Unlock()
		return nil, nil, true
	}
	m = &pb.FromSteward{}
	p.changesLocked(m)
	p.nodesLocked(m)
	rev := r.revisionLocked()
	m.More = p.sent < r.n || len(p.todo) > 0
	m.Whole = r.whole && !m.More
	r.mu.Unlock()
	rev.N = p.sent
	m.Rev = wire.RevisionTo(rev)
	p.sub.requests(m)
	p.sub.lacking(m, p.docs)
	if !hasContent(m) && m.Whole == p.whole && rev.Epoch == p.epoch {
		return nil, news, false
	}
	p.epoch = rev.Epoch
	if !m.More {
		p.whole = m.Whole
	}
	return m, news, false
}

func hasContent(m *pb.FromSteward) bool {
	return len(m.Rows) > 0 || len(m.Digests) > 0 || len(m.Docs) > 0 || len(m.Want) > 0 || m.Resync || len(m.Full) > 0
}

// changesLocked adds rows of the log that were not sent yet, as many as a
// message holds, and notes the nodes of which more is to be sent. Of a row that
// changed again the last counts.
func (p *pusher) changesLocked(m *pb.FromSteward) {
	if p.sent == p.r.n {
		return
	}
	now := p.r.cfg.Clock.Now()
	var rows []steward.Held
	last := map[crux.RowKey]uint64{}
	for _, c := range p.r.log[p.sent+1-p.r.log[0].n:] {
		if len(rows) == maxRows {
			break
		}
		p.sent = c.n
		if c.row == nil {
			p.todo[c.node] = p.todo[c.node] || c.full
			continue
		}
		if left := c.row.TTL - now.Sub(c.at); left > 0 || c.row.Status == crux.Gone {
			last[c.row.RowKey()] = c.row.Seq
			rows = append(rows, steward.Held{Row: *c.row, Left: left})
		}
	}
	rows = slices.DeleteFunc(rows, func(h steward.Held) bool { return h.Row.Seq != last[h.Row.RowKey()] })
	addDelta(m, steward.Delta{Rows: rows})
}

// nodesLocked adds the digests, and where wanted all rows, of nodes that are
// to be sent, as many as a message holds.
func (p *pusher) nodesLocked(m *pb.FromSteward) {
	p.sub.asked(p.todo)
	now := p.r.cfg.Clock.Now()
	for id, full := range p.todo {
		if len(m.Rows) >= maxRows {
			return
		}
		delete(p.todo, id)
		if full {
			addDelta(m, p.r.table.Owned(now, id))
		} else if d, ok := p.r.table.Said(now, id); ok {
			addDelta(m, steward.Delta{Digests: []steward.HeldDigest{d}})
		}
	}
}

// asked adds the owners of whom the reeve wants the full set.
func (sub *subscriber) asked(to map[crux.NodeID]bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, id := range sub.full {
		to[id] = true
	}
	sub.full = nil
}

// requests adds what this node wants of the reeve.
func (sub *subscriber) requests(m *pb.FromSteward) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	m.Resync, sub.resync = sub.resync, false
	for _, k := range sub.want {
		m.Want = append(m.Want, wire.DocKeyTo(k))
	}
	sub.want = nil
}

// lacking adds some of the documents of which the reeve has no or a lower
// version.
func (sub *subscriber) lacking(m *pb.FromSteward, docs []crux.Doc) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for i := range docs {
		if d := &docs[i]; d.Version > sub.has[d.DocKey] && len(m.Docs) < maxDocs {
			m.Docs = append(m.Docs, wire.DocTo(d))
			sub.has[d.DocKey] = d.Version
		}
	}
}
