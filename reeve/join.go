package reeve

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

// stream is one stream to a steward. Its sender goroutine owns sent and known;
// the receiver leaves requests under mu.
type stream struct {
	r      *Reeve
	s      grpc.BidiStreamingClient[pb.FromReeve, pb.FromSteward]
	leader crux.NodeID
	flock  crux.FlockID
	sent   uint64                 // this node's rows up to this sequence were sent
	known  map[crux.DocKey]uint64 // versions that the steward has, as far as we know

	mu   sync.Mutex
	full bool          // the steward wants all our rows
	want []crux.DocKey // and these documents
	has  map[crux.DocKey]uint64
	wake chan struct{} // capacity 1
}

// join runs one stream to the steward until it ends. It says whether the
// steward ever answered.
func (r *Reeve) join(ctx context.Context, leader crux.Member, flock crux.FlockID) (joined bool, err error) {
	conn, err := r.cfg.Dial(ctx, leader)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := pb.NewStewardClient(conn).Sync(ctx)
	if err != nil {
		return false, wire.FromStatus(err)
	}
	st := &stream{
		r: r, s: s, leader: leader.ID, flock: flock,
		known: map[crux.DocKey]uint64{}, has: map[crux.DocKey]uint64{}, wake: make(chan struct{}, 1),
	}
	if err := st.hello(); err != nil {
		return false, st.why(err)
	}
	sent := make(chan error, 1)
	go func() {
		err := st.send(ctx)
		if err != nil {
			cancel()
		}
		sent <- err
	}()
	for {
		m, rerr := s.Recv()
		if rerr != nil {
			err = rerr
			break
		}
		joined = true
		if err = st.take(m); err != nil {
			break
		}
	}
	cancel()
	if serr := <-sent; serr != nil && !errors.Is(serr, context.Canceled) {
		err = serr
	}
	return joined, wire.FromStatus(err)
}

// why finds out why a send failed: Send itself says only that it did.
func (st *stream) why(err error) error {
	if _, rerr := st.s.Recv(); rerr != nil {
		return wire.FromStatus(rerr)
	}
	return err
}

// hello sends what this node has: its own rows in full, whose rows it holds, the
// rows of nodes that cannot speak for themselves, and which documents are on
// disk.
func (st *stream) hello() error {
	r := st.r
	r.mu.Lock()
	n, upTo, err := r.newsLocked(0, true)
	words := r.table.Words()
	all := r.table.Since(r.cfg.Clock.Now(), nil)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	m := &pb.FromReeve{Full: true, Hello: &pb.Hello{}}
	for id, w := range words {
		m.Hello.Has = append(m.Hello.Has, &pb.Word{Node: wire.NodeIDTo(id), Incarnation: w.Incarnation, Seq: w.Seq})
	}
	for _, d := range r.docs.list() {
		sum := sha256.Sum256(d.Body)
		m.Hello.Docs = append(m.Hello.Docs, &pb.DocVersion{Key: wire.DocKeyTo(d.DocKey), Version: d.Version, Sum: sum[:]})
		st.known[d.DocKey] = d.Version // the steward asks for what it lacks
	}
	addNews(m, n)
	st.sent = upTo
	if err := st.s.Send(m); err != nil {
		return err
	}
	return st.sendMute(all.Rows)
}

// Bounds of one message; a document has at most 64 KiB.
const (
	maxRows = 2000
	maxDocs = 32
)

// sendMute sends the rows of nodes that are not living members.
func (st *stream) sendMute(rows []steward.Held) error {
	v := st.r.cfg.Members.View()
	m := &pb.FromReeve{}
	for i := range rows {
		h := &rows[i]
		if owner, member := v.Member(h.Row.Node); h.Row.Node == st.r.cfg.ID || member && owner.State == crux.Alive {
			continue
		}
		m.Rows = append(m.Rows, &pb.Held{Row: wire.RowTo(&h.Row), LeftNano: int64(h.Left)})
		if len(m.Rows) == maxRows {
			if err := st.s.Send(m); err != nil {
				return err
			}
			m = &pb.FromReeve{}
		}
	}
	if len(m.Rows) == 0 {
		return nil
	}
	return st.s.Send(m)
}

func addNews(m *pb.FromReeve, n news) {
	for i := range n.rows {
		m.Rows = append(m.Rows, &pb.Held{Row: wire.RowTo(&n.rows[i])})
	}
	if n.digest != nil {
		m.Digest = wire.DigestTo(n.digest)
	}
}

// send sends what is new until ctx ends.
func (st *stream) send(ctx context.Context) error {
	for {
		st.r.mu.Lock()
		ownNews := st.r.ownNews
		st.r.mu.Unlock()
		docs := st.r.docs.changes()
		m, err := st.next()
		if err != nil {
			return err
		}
		if m != nil {
			if err := st.s.Send(m); err != nil {
				return nil // Recv says why
			}
			continue
		}
		select {
		case <-ownNews:
		case <-docs:
		case <-st.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// next collects a message of what the steward does not have yet; nil: nothing.
func (st *stream) next() (*pb.FromReeve, error) {
	st.mu.Lock()
	full, want := st.full, st.want
	st.full, st.want = false, nil
	for k, v := range st.has {
		st.known[k] = max(st.known[k], v)
	}
	clear(st.has)
	st.mu.Unlock()
	for _, k := range want {
		delete(st.known, k)
	}

	r := st.r
	m := &pb.FromReeve{Full: full}
	r.mu.Lock()
	n, upTo, err := r.newsLocked(st.sent, full)
	for id := range r.wanted {
		m.Resync = append(m.Resync, wire.NodeIDTo(id))
	}
	clear(r.wanted)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	st.sent = upTo
	addNews(m, n)
	for _, d := range r.docs.list() {
		if d.Version > st.known[d.DocKey] && len(m.Docs) < maxDocs {
			m.Docs = append(m.Docs, wire.DocTo(&d))
			st.known[d.DocKey] = d.Version
		}
	}
	if len(m.Rows) == 0 && m.Digest == nil && len(m.Docs) == 0 && len(m.Resync) == 0 {
		return nil, nil
	}
	return m, nil
}

// take takes in a push. Errors end the stream: they mean that the steward is
// not to be followed.
func (st *stream) take(m *pb.FromSteward) error {
	rev, err := wire.RevisionFrom(m.GetRev())
	if err != nil {
		return err
	}
	if err := st.fresh(rev); err != nil {
		return err
	}
	st.r.takeRows(m, rev, st.leader)
	st.takeDocs(m)
	return nil
}

// fresh refuses pushes of a flock that was left and of an epoch that is over.
func (st *stream) fresh(rev crux.Revision) error {
	if rev.Flock != st.flock || st.r.cfg.Members.View().Flock != st.flock {
		return crux.Errorf("follow steward", crux.Conflict, "it speaks for flock %v, which this node is not in", rev.Flock)
	}
	if have := st.r.state.Load().rev; have.Flock == rev.Flock && rev.Epoch < have.Epoch {
		return crux.Errorf("follow steward", crux.Conflict, "it speaks for epoch %d, which ended: this node has seen epoch %d", rev.Epoch, have.Epoch)
	}
	return nil
}

// takeRows takes in the rows and digests of a push.
func (r *Reeve) takeRows(m *pb.FromSteward, rev crux.Revision, from crux.NodeID) {
	rows := r.verifiedRows(m.GetRows())
	digests := r.verifiedDigests(m.GetDigests())
	full := map[crux.NodeID]bool{}
	for _, b := range m.GetFull() {
		if id, err := wire.NodeIDFrom(b); err == nil {
			full[id] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.applyLocked(rows, digests, full)
	if !m.GetMore() {
		r.claimed = m.GetWhole()
	}
	r.steward = from
	r.table.Publish()
	r.state.Store(&state{rev, r.state.Load().whole})
	r.publishLocked(changed)
	if len(r.wanted) > 0 {
		r.sayLocked()
	}
}

// applyLocked enters what a push brought into the table, and notes whose full
// set is wanted. Of itself this node hears nothing new.
func (r *Reeve) applyLocked(rows []checkedRow, digests []steward.HeldDigest, full map[crux.NodeID]bool) (changed bool) {
	now := r.cfg.Clock.Now()
	for i := range digests {
		if d := &digests[i]; full[d.Digest.Node] {
			c, _ := r.table.Full(now, d.Digest, d.Left, r.setLocked(rows, &d.Digest))
			changed = changed || c
		}
	}
	for i := range rows {
		if x := &rows[i]; x.checked {
			changed = r.table.Apply(now, x.Row, x.Left) || changed
		}
	}
	for i := range digests {
		d := &digests[i]
		switch r.table.Digest(now, d.Digest, d.Left) { // Stale, if it came with the full set
		case steward.Dropped:
			changed = true
		case steward.Mismatch:
			r.wanted[d.Digest.Node] = true
		}
	}
	return changed
}

// checkedRow is a row whose owner signed it, or one that was known when it came.
type checkedRow struct {
	steward.Held
	checked bool
}

// setLocked returns the rows that a full set may be made of.
func (r *Reeve) setLocked(rows []checkedRow, d *crux.Digest) (out []crux.Row) {
	for i := range rows {
		row := &rows[i].Row
		if row.Node == d.Node && row.Incarnation == d.Incarnation && row.Seq <= d.Seq && row.Status != crux.Gone &&
			(rows[i].checked || r.table.Knows(row)) {
			out = append(out, *row)
		}
	}
	return out
}

// verifiedRows decodes the rows of a push and leaves out this node's own, and
// those whose owners did not sign them. What is known already changes nothing,
// and is not checked again.
func (r *Reeve) verifiedRows(in []*pb.Held) (out []checkedRow) {
	for _, x := range in {
		row, err := wire.RowFrom(x.GetRow())
		if err != nil {
			r.log.Warn("a row was refused", "error", err)
			continue
		}
		if row.Node == r.cfg.ID {
			continue
		}
		r.mu.Lock()
		known := r.table.Knows(&row)
		r.mu.Unlock()
		if !known {
			if err := r.VerifyRow(&row); err != nil {
				r.refused("a row was refused", row.Node, err)
				continue
			}
		}
		out = append(out, checkedRow{steward.Held{Row: row, Left: time.Duration(x.GetLeftNano())}, !known})
	}
	return out
}

// verifiedDigests does the same for digests.
func (r *Reeve) verifiedDigests(in []*pb.Digest) (out []steward.HeldDigest) {
	for _, x := range in {
		d, err := wire.DigestFrom(x)
		if err != nil {
			r.log.Warn("a digest was refused", "error", err)
			continue
		}
		r.mu.Lock()
		known := r.table.KnowsDigest(&d)
		r.mu.Unlock()
		if !known {
			if err := r.VerifyDigest(&d); err != nil {
				r.refused("a digest was refused", d.Node, err)
				continue
			}
		}
		if d.Node == r.cfg.ID {
			r.hearOwn(&d)
			continue
		}
		out = append(out, steward.HeldDigest{Digest: d, Left: time.Duration(x.GetLeftNano())})
	}
	return out
}

// refused notes why something was not taken in. What a node said whose key has
// not reached us yet is asked for again when it has: the steward may hear of a
// new member before we do.
func (r *Reeve) refused(what string, owner crux.NodeID, err error) {
	if crux.KindOf(err) != crux.Unknown {
		r.log.Warn(what, "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.keys[owner]; ok {
		r.wanted[owner] = true // it has arrived just now
	} else if len(r.strangers) < maxStrangers {
		r.strangers[owner] = true
	}
}

// maxStrangers bounds how many unknown owners are remembered.
const maxStrangers = 1 << 16

// hearOwn complains of a digest of this node that is later than what it said.
func (r *Reeve) hearOwn(d *crux.Digest) {
	r.mu.Lock()
	later := r.own.digest.Seq != 0 && d.Newer(&r.own.digest)
	r.mu.Unlock()
	if later {
		r.log.Error("another process speaks with this node's key, and later: end one of the two", "incarnation", d.Incarnation)
	}
}

// VerifyRow checks that a row's owner signed it.
func (r *Reeve) VerifyRow(row *crux.Row) error {
	return r.verify(row.Node, crux.LabelRow, row.SignedBytes(), row.Signature)
}

// VerifyDigest checks that a digest's owner signed it.
func (r *Reeve) VerifyDigest(d *crux.Digest) error {
	return r.verify(d.Node, crux.LabelDigest, d.SignedBytes(), d.Signature)
}

func (r *Reeve) verify(id crux.NodeID, label string, msg, sig []byte) error {
	key, ok := r.Key(id)
	if !ok {
		return crux.Errorf("verify", crux.Unknown, "node %v is not known", id)
	}
	if !ed25519.Verify(key, crux.Labelled(label, msg), sig) {
		return crux.Errorf("verify", crux.Corrupt, "the signature of node %v does not fit", id)
	}
	return nil
}

// takeDocs takes in documents of a push, and notes which the steward wants.
func (st *stream) takeDocs(m *pb.FromSteward) {
	for _, x := range m.GetDocs() {
		d, err := wire.DocFrom(x)
		if err == nil {
			err = st.r.StoreDoc(d)
		}
		if err != nil {
			st.r.log.Warn("a document was refused", "error", err)
		}
		st.mu.Lock()
		st.has[d.DocKey] = d.Version
		st.mu.Unlock()
	}
	st.mu.Lock()
	for _, x := range m.GetWant() {
		if k, err := wire.DocKeyFrom(x); err == nil {
			st.want = append(st.want, k)
		}
	}
	st.full = st.full || m.GetResync()
	wake := len(st.want) > 0 || st.full
	st.mu.Unlock()
	if wake {
		select {
		case st.wake <- struct{}{}:
		default:
		}
	}
}
