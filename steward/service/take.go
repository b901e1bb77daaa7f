package service

import (
	"context"
	"log/slog"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/reeve"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

// take takes in a reeve's message: rows and digests whose owners signed them,
// documents that count.
func (r *reign) take(sub *subscriber, m *pb.FromReeve) {
	for _, x := range m.GetDocs() {
		r.takeDoc(sub, x)
	}
	rows := r.verifiedRows(m.GetRows())
	d := r.verifiedDigest(m.GetDigest(), sub.node)
	sub.ask(m.GetResync())
	if len(rows) > 0 || d != nil {
		r.takeRows(sub, rows, d, m.GetFull())
	}
	sub.wakeUp()
}

// takeRows takes in rows, and the digest of the node that sends them: full says
// that the rows are all that it counts.
func (r *reign) takeRows(sub *subscriber, rows []checkedRow, d *steward.HeldDigest, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, urgent, later := r.cfg.Clock.Now(), false, false
	if d != nil {
		later = !r.table.KnowsDigest(&d.Digest)
		if full {
			if changed, _ := r.table.Full(now, d.Digest, d.Left, r.ownLocked(rows, &d.Digest)); changed {
				r.logLocked(change{node: sub.node, full: true})
				urgent, later = true, false
			}
		}
	}
	for i := range rows {
		x := &rows[i]
		if x.checked && r.table.Apply(now, x.Row, x.Left) {
			r.logLocked(change{row: &x.Row})
			urgent = true
		}
	}
	if d != nil {
		switch r.table.Digest(now, d.Digest, d.Left) { // Stale, if it came with the full set
		case steward.Dropped:
			r.logLocked(change{node: sub.node, full: true})
			urgent, later = true, false
		case steward.Mismatch:
			sub.demandAll()
		}
		if later {
			r.logLocked(change{node: sub.node})
		}
		urgent = r.reportLocked(sub.node, d.Digest.Incarnation) && later || urgent
	}
	r.table.Publish()
	if urgent {
		r.newsLocked()
	} else {
		r.lazy = r.lazy || later
	}
}

// reportLocked notes that a node has reported, if its rows are held, and says
// whether that is new.
func (r *reign) reportLocked(id crux.NodeID, incarnation uint64) bool {
	if !r.table.Holds(id, incarnation) || r.reported[id] == incarnation {
		return false
	}
	r.reported[id] = incarnation
	r.judgeLocked()
	return true
}

// checkedRow is a row whose owner signed it, or one that was known when it came.
type checkedRow struct {
	steward.Held
	checked bool
}

// ownLocked returns the rows that a full set may be made of.
func (r *reign) ownLocked(rows []checkedRow, d *crux.Digest) (out []crux.Row) {
	for i := range rows {
		row := &rows[i].Row
		if row.Node == d.Node && row.Incarnation == d.Incarnation && row.Status != crux.Gone && (rows[i].checked || r.table.Knows(row)) {
			out = append(out, *row)
		}
	}
	return out
}

// verifiedRows decodes rows and leaves out those whose owners did not sign them.
// What is known already changes nothing, and is not checked again.
func (r *reign) verifiedRows(in []*pb.Held) (out []checkedRow) {
	for _, x := range in {
		row, err := wire.RowFrom(x.GetRow())
		if err != nil {
			r.cfg.Log.Warn("a row was refused", "error", err)
			continue
		}
		h := steward.Held{Row: row, Left: time.Duration(x.GetLeftNano())}
		r.mu.Lock()
		known := r.table.Knows(&row)
		r.mu.Unlock()
		if !known {
			if err := r.cfg.Reeve.VerifyRow(&row); err != nil {
				level := slog.LevelWarn
				if crux.KindOf(err) == crux.Unknown {
					level = slog.LevelDebug // of a node of a flock that was left: it speaks for itself once it is here
				}
				r.cfg.Log.Log(context.Background(), level, "a row was refused", "error", err)
				continue
			}
		}
		out = append(out, checkedRow{h, !known})
	}
	return out
}

// verifiedDigest takes a digest from its own node only.
func (r *reign) verifiedDigest(m *pb.Digest, from crux.NodeID) *steward.HeldDigest {
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
	return &steward.HeldDigest{Digest: d, Left: time.Duration(m.GetLeftNano())}
}

func (r *reign) takeDoc(sub *subscriber, m *reeve.Doc) {
	d, err := wire.DocFrom(m)
	if err == nil {
		err = r.cfg.Reeve.StoreDoc(d)
	}
	if err != nil {
		r.cfg.Log.Warn("a document was refused", "from", sub.node, "error", err)
		return
	}
	sub.mu.Lock()
	sub.has[d.DocKey] = max(sub.has[d.DocKey], d.Version)
	sub.mu.Unlock()
}
