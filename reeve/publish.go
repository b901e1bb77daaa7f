package reeve

import (
	"context"

	"fulcrum.example/crux"
)

// ownRows is what this node says of itself.
type ownRows struct {
	seq       uint64
	rows      map[crux.RowKey]crux.Row // Gone ones too, until they were handed to a stream
	digest    crux.Digest              // the last one made; its Seq is 0 before the first
	digestDue bool                     // rows changed, or it is time to renew
	complete  bool
}

func newOwnRows() ownRows { return ownRows{rows: map[crux.RowKey]crux.Row{}} }

// Put implements crux.Publisher.
func (r *Reeve) Put(_ context.Context, s crux.Fservice, key []byte, generation uint32) error {
	if s.Status < crux.Starting || s.Status > crux.Draining {
		return crux.Errorf("register "+string(s.Inst), crux.Invalid, "status %v", s.Status)
	}
	return r.say(crux.Row{
		Node: r.cfg.ID, Horde: s.Horde, API: s.Inst.API(), Inst: s.Inst, NetID: s.NetID,
		Status: s.Status, Key: key, Generation: generation, Issued: s.Issued,
	})
}

// Drop implements crux.Publisher.
func (r *Reeve) Drop(_ context.Context, horde crux.Horde, inst crux.Inst, at crux.NetID) error {
	k := crux.RowKey{Node: r.cfg.ID, Horde: horde, Inst: inst, NetID: at}
	r.mu.Lock()
	row, ok := r.own.rows[k]
	r.mu.Unlock()
	if !ok || row.Status == crux.Gone {
		return nil
	}
	row.Status = crux.Gone
	row.Issued = r.cfg.Clock.Now()
	return r.say(row)
}

// Ready says that the node has found all services that outlived its last
// fulcrum: from now on its digests are complete, and rows of earlier
// incarnations that they do not count are gone. Until then this node's snapshots
// are not whole.
func (r *Reeve) Ready() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.own.complete {
		r.own.complete, r.own.digestDue = true, true
		r.publishLocked(false)
		r.sayLocked()
	}
}

// say signs a row of this node and enters it in the own table; the stream to
// the steward sends it on.
func (r *Reeve) say(row crux.Row) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own.seq++
	row.Incarnation, row.Seq, row.TTL = r.cfg.Incarnation, r.own.seq, r.cfg.TTL
	sig, err := r.cfg.Sign(crux.LabelRow, row.SignedBytes())
	if err != nil {
		return crux.Wrap("sign row of "+string(row.Inst), err)
	}
	row.Signature = sig
	r.own.rows[row.RowKey()] = row
	r.own.digestDue = true
	r.table.Apply(r.cfg.Clock.Now(), row, 0)
	r.publishLocked(true)
	r.sayLocked()
	return nil
}

// ownDigestLocked returns the digest of what this node has now, made anew if it is
// due.
func (r *Reeve) ownDigestLocked() (crux.Digest, error) {
	o := &r.own
	if !o.digestDue && o.digest.Seq != 0 {
		return o.digest, nil
	}
	o.seq++
	d := crux.Digest{Node: r.cfg.ID, Incarnation: r.cfg.Incarnation, Seq: o.seq, Complete: o.complete, TTL: r.cfg.TTL}
	for _, row := range o.rows {
		if row.Status == crux.Gone {
			continue
		}
		d.Count++
		h := row.SetHash()
		for i := range d.Hash {
			d.Hash[i] ^= h[i]
		}
	}
	sig, err := r.cfg.Sign(crux.LabelDigest, d.SignedBytes())
	if err != nil {
		return d, crux.Wrap("sign digest", err)
	}
	d.Signature = sig
	o.digest, o.digestDue = d, false
	r.applyOwnLocked(d)
	return d, nil
}

// applyOwnLocked renews this node's leases in its own table. A complete digest
// also ends what an earlier incarnation left there.
func (r *Reeve) applyOwnLocked(d crux.Digest) {
	var live []crux.Row
	for _, row := range r.own.rows {
		if row.Status != crux.Gone {
			live = append(live, row)
		}
	}
	changed, ok := r.table.Full(r.cfg.Clock.Now(), d, 0, live)
	if !ok {
		r.log.Error("this node's own digest does not fit its own table", "incarnation", d.Incarnation, "seq", d.Seq)
	}
	r.publishLocked(changed)
}

// news is what this node has to say to its steward.
type news struct {
	rows   []crux.Row
	digest *crux.Digest
}

// newsLocked collects what was said after sequence sent; full: everything that
// lives, and the digest.
func (r *Reeve) newsLocked(sent uint64, full bool) (n news, upTo uint64, err error) {
	d, err := r.ownDigestLocked()
	if err != nil {
		return news{}, sent, err
	}
	for k, row := range r.own.rows {
		gone := row.Status == crux.Gone
		if full && !gone || !full && row.Seq > sent {
			n.rows = append(n.rows, row)
		}
		if gone { // this stream has it now, and the next one begins with the full set
			delete(r.own.rows, k)
		}
	}
	if full || d.Seq > sent {
		n.digest = &d
	}
	return n, r.own.seq, nil
}
