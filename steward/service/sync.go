package service

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

// subscriber is one reeve's stream.
type subscriber struct {
	node   crux.NodeID
	cancel context.CancelFunc

	mu     sync.Mutex
	wake   chan struct{}          // capacity 1: the receiver left something below
	resync bool                   // ask it for all its rows
	full   []crux.NodeID          // owners of whom it wants the full set
	want   []crux.DocKey          // documents that it has and we lack
	has    map[crux.DocKey]uint64 // versions that it has
}

// batch bounds the rows of one message.
const batch = 2000

// serve runs a reeve's stream until either side ends it, the reign ends, or
// the node is a member no longer.
func (r *reign) serve(stream grpc.BidiStreamingServer[pb.FromReeve, pb.FromSteward], id crux.NodeID) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHello() == nil {
		return crux.Errorf("sync", crux.Invalid, "the stream does not begin with hello")
	}
	have, err := wire.RevisionFrom(first.GetHello().GetHave())
	if err != nil {
		return err
	}
	ctx, done, err := r.live(stream.Context())
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sub, leave, err := r.enter(id, cancel)
	if err != nil {
		return err
	}
	defer leave()

	sub.hear(first.GetHello(), r.cfg.Reeve)
	r.take(sub, first)
	received := make(chan error, 1)
	go func() { // ends with the stream's context, when serve returns
		for {
			m, err := stream.Recv()
			if err != nil {
				received <- err
				cancel()
				return
			}
			r.take(sub, m)
		}
	}()
	if err := r.push(ctx, sub, stream, have); err != nil {
		return err
	}
	select {
	case err := <-received:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	default:
		return crux.Errorf("sync", crux.Unavailable, "this steward's reign has ended, or another stream of node %v has begun", id)
	}
}

// enter registers a stream; an earlier one of the same node ends.
func (r *reign) enter(id crux.NodeID, cancel context.CancelFunc) (_ *subscriber, leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.view.Member(id); !ok {
		return nil, nil, crux.Errorf("sync", crux.Unavailable, "node %v is not a member of the flock (yet)", id)
	}
	if old := r.subs[id]; old != nil {
		old.cancel()
	}
	sub := &subscriber{node: id, cancel: cancel, wake: make(chan struct{}, 1), has: map[crux.DocKey]uint64{}}
	r.subs[id] = sub
	return sub, func() {
		r.mu.Lock()
		if r.subs[id] == sub {
			delete(r.subs, id)
			delete(r.reported, id)
			r.judgeLocked()
		}
		r.mu.Unlock()
	}, nil
}

// hear notes which documents a reeve has, and which of them this node lacks.
func (sub *subscriber) hear(h *pb.Hello, local Local) {
	docs, _ := local.AllDocs()
	mine := map[crux.DocKey]uint64{}
	for _, d := range docs {
		mine[d.DocKey] = d.Version
	}
	for _, x := range h.GetDocs() {
		k, err := wire.DocKeyFrom(x.GetKey())
		if err != nil {
			continue
		}
		sub.has[k] = x.GetVersion()
		if x.GetVersion() > mine[k] {
			sub.want = append(sub.want, k)
		}
	}
}

// wakeUp has the sender look at what the receiver left.
func (sub *subscriber) wakeUp() {
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// take takes in a reeve's message: rows and digests whose owners signed them,
// documents that count.
func (r *reign) take(sub *subscriber, m *pb.FromReeve) {
	rows := r.verifiedRows(m.GetRows())
	d := r.verifiedDigest(m.GetDigest(), sub.node)
	for _, x := range m.GetDocs() {
		r.takeDoc(sub, x)
	}
	sub.mu.Lock()
	for _, b := range m.GetResync() {
		if id, err := wire.NodeIDFrom(b); err == nil && len(sub.full) < 1024 {
			sub.full = append(sub.full, id)
		}
	}
	sub.mu.Unlock()

	r.mu.Lock()
	now := r.cfg.Clock.Now()
	if d != nil && m.GetFull() {
		own := slices.DeleteFunc(slices.Clone(rows), func(x crux.Row) bool {
			return x.Node != sub.node || x.Incarnation != d.Incarnation || x.Status == crux.Gone
		})
		if _, ok := r.table.Full(now, *d, own); ok {
			for i := range own {
				r.logLocked(change{row: &own[i]})
			}
			r.logLocked(change{digest: d})
		}
	}
	for i := range rows {
		if r.table.Apply(now, rows[i]) {
			r.logLocked(change{row: &rows[i]})
		}
	}
	mismatch := false
	if d != nil {
		switch r.table.Digest(now, *d) {
		case steward.Renewed:
			r.logLocked(change{digest: d})
		case steward.Mismatch:
			r.logLocked(change{digest: d})
			mismatch = !m.GetFull()
		}
		if r.reported[sub.node] != d.Incarnation {
			r.reported[sub.node] = d.Incarnation
			r.judgeLocked()
		}
	}
	r.mu.Unlock()

	if mismatch {
		sub.mu.Lock()
		sub.resync = true
		sub.mu.Unlock()
	}
	sub.wakeUp()
}

func (r *reign) verifiedRows(in []*node.Row) (out []crux.Row) {
	for _, x := range in {
		row, err := wire.RowFrom(x)
		if err == nil {
			err = r.cfg.Reeve.VerifyRow(&row)
		}
		if err != nil {
			r.cfg.Log.Warn("a row was refused", "error", err)
			continue
		}
		out = append(out, row)
	}
	return out
}

// verifiedDigest takes a digest from its own node only.
func (r *reign) verifiedDigest(m *pb.Digest, from crux.NodeID) *crux.Digest {
	if m == nil {
		return nil
	}
	d, err := wire.DigestFrom(m)
	if err == nil && d.Node != from {
		err = crux.Errorf("sync", crux.Denied, "node %v sent the digest of %v", from, d.Node)
	}
	if err == nil {
		err = r.cfg.Reeve.VerifyDigest(&d)
	}
	if err != nil {
		r.cfg.Log.Warn("a digest was refused", "error", err)
		return nil
	}
	return &d
}

func (r *reign) takeDoc(sub *subscriber, m *docMessage) {
	d, err := wire.DocFrom(m)
	if err == nil {
		err = r.cfg.Reeve.StoreDoc(d)
	}
	switch {
	case err == nil:
		sub.mu.Lock()
		sub.has[d.DocKey] = max(sub.has[d.DocKey], d.Version)
		sub.mu.Unlock()
	case crux.KindOf(err) != crux.Conflict: // of a newer one that we have, it will hear
		r.cfg.Log.Warn("a document was refused", "from", sub.node, "error", err)
	}
}

// push sends a reeve what it lacks, until ctx ends.
func (r *reign) push(ctx context.Context, sub *subscriber, stream grpc.BidiStreamingServer[pb.FromReeve, pb.FromSteward], have crux.Revision) error {
	sent, err := r.begin(stream, have)
	if err != nil {
		return err
	}
	wholeSent, epochSent := false, uint64(0)
	for {
		docs, docsChanged := r.cfg.Reeve.AllDocs()
		r.mu.Lock()
		news := r.news
		m := &pb.FromSteward{Rev: wire.RevisionTo(*r.revisionLocked()), Whole: r.whole}
		behind := r.deltaLocked(m, sent)
		upTo := r.n
		r.fullLocked(m, sub)
		r.mu.Unlock()
		if behind { // the log has moved past us
			if sent, err = r.begin(stream, crux.Revision{}); err != nil {
				return err
			}
			continue
		}
		sub.requests(m)
		sub.lacking(m, docs)
		if hasContent(m) || m.Whole != wholeSent || m.Rev.Epoch != epochSent {
			if err := stream.Send(m); err != nil {
				return err
			}
			sent, wholeSent, epochSent = upTo, m.Whole, m.Rev.Epoch
			continue
		}
		select {
		case <-news:
		case <-docsChanged:
		case <-sub.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func hasContent(m *pb.FromSteward) bool {
	return len(m.Rows) > 0 || len(m.Digests) > 0 || len(m.Docs) > 0 || len(m.Want) > 0 || m.Resync || len(m.Full) > 0
}

// begin sends a snapshot, unless the reeve has a state of this reign that the
// log still reaches back to. It returns up to which change the reeve knows.
func (r *reign) begin(stream grpc.BidiStreamingServer[pb.FromReeve, pb.FromSteward], have crux.Revision) (sent uint64, err error) {
	r.mu.Lock()
	first := r.n + 1
	if len(r.log) > 0 {
		first = r.log[0].n
	}
	if have.Flock == r.flock && have.Epoch >= r.epoch && have.N <= r.n && have.N+1 >= first {
		r.mu.Unlock()
		return have.N, nil
	}
	rows, digests := r.table.Export(r.cfg.Clock.Now())
	rev, upTo := wire.RevisionTo(*r.revisionLocked()), r.n
	r.mu.Unlock()
	m := &pb.FromSteward{Rev: rev}
	for i := range rows {
		m.Rows = append(m.Rows, wire.RowTo(&rows[i].Row))
		if len(m.Rows) == batch {
			if err := stream.Send(m); err != nil {
				return 0, err
			}
			m = &pb.FromSteward{Rev: rev}
		}
	}
	for i := range digests {
		m.Digests = append(m.Digests, wire.DigestTo(&digests[i]))
	}
	return upTo, stream.Send(m)
}

// deltaLocked adds the changes after sent; behind: the log no longer has them.
func (r *reign) deltaLocked(m *pb.FromSteward, sent uint64) (behind bool) {
	if sent == r.n {
		return false
	}
	if len(r.log) == 0 || r.log[0].n > sent+1 {
		return true
	}
	for _, c := range r.log[sent+1-r.log[0].n:] {
		if c.row != nil {
			m.Rows = append(m.Rows, wire.RowTo(c.row))
		} else {
			m.Digests = append(m.Digests, wire.DigestTo(c.digest))
		}
	}
	return false
}

// fullLocked adds the full sets that the reeve asked for, of owners whose rows
// here are those that their digest counts.
func (r *reign) fullLocked(m *pb.FromSteward, sub *subscriber) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, id := range sub.full {
		_, d := r.table.Owned(id, 0)
		if d == nil {
			continue
		}
		rows, _ := r.table.Owned(id, d.Incarnation)
		m.Full = append(m.Full, wire.NodeIDTo(id))
		m.Digests = append(m.Digests, wire.DigestTo(d))
		for i := range rows {
			m.Rows = append(m.Rows, wire.RowTo(&rows[i]))
		}
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

// lacking adds the documents of which the reeve has no or a lower version.
func (sub *subscriber) lacking(m *pb.FromSteward, docs []crux.Doc) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for i := range docs {
		if d := &docs[i]; d.Version > sub.has[d.DocKey] {
			m.Docs = append(m.Docs, wire.DocTo(d))
			sub.has[d.DocKey] = d.Version
		}
	}
}
