package steward

import (
	"time"
	"unique"

	"fulcrum.example/crux"
)

const (
	// remember is how long a withdrawn row, and the last digest of a node
	// without rows, are remembered, so that late copies do not come back.
	remember = 10 * time.Minute
	// maxRows bounds the rows that one node may have, whatever it signs.
	maxRows = 1 << 14
)

// Table is a set of rows. The zero Table is not usable; see New.
type Table struct {
	base   time.Time // what instants count from
	owners map[crux.NodeID]*owner
	index  index
	live   int
}

// owner is what the table holds of one node.
type owner struct {
	rows    map[crux.RowKey]entry
	live    int
	soonest instant // no entry ends before

	digest *crux.Digest // the latest, or nil
	ends   instant      // of the lease that it gives
	holds  bool         // the rows that it counts are held, all and no others

	// Rows that were said at or before past in its incarnation, or in one below
	// floor, are held, or are known to have been and gone.
	past  Word
	floor uint64
}

// entry is a row without what the index keeps.
type entry struct {
	incarnation, seq uint64
	ends             instant // of the lease; for a Gone row, of its being remembered
	hash             [16]byte
	gone             bool
}

// Word is an owner's place in the order of what it says: that of a row or a
// digest.
type Word struct{ Incarnation, Seq uint64 }

func (w Word) before(o Word) bool {
	return w.Incarnation < o.Incarnation || w.Incarnation == o.Incarnation && w.Seq < o.Seq
}

func (e entry) word() Word { return Word{e.incarnation, e.seq} }

func wordOf(d *crux.Digest) Word { return Word{d.Incarnation, d.Seq} }

// instant is a time in nanoseconds after the table's base.
type instant int64

// New makes an empty table. Times given to it later count from now, by the
// monotonic clock where they have one.
func New(now time.Time) *Table {
	t := &Table{base: now, owners: map[crux.NodeID]*owner{}}
	t.index.init()
	return t
}

func (t *Table) at(now time.Time) instant { return instant(now.Sub(t.base)) }

func (t *Table) owner(id crux.NodeID) *owner {
	o := t.owners[id]
	if o == nil {
		o = &owner{rows: map[crux.RowKey]entry{}}
		t.owners[id] = o
	}
	return o
}

// Knows says that a row would change nothing, because it or a later one is
// held: its signature need not be checked.
func (t *Table) Knows(r *crux.Row) bool {
	o := t.owners[r.Node]
	if o == nil {
		return false
	}
	e, ok := o.rows[r.RowKey()]
	return ok && !newer(r, e)
}

// KnowsDigest says the same of a digest.
func (t *Table) KnowsDigest(d *crux.Digest) bool {
	o := t.owners[d.Node]
	return o != nil && o.digest != nil && !d.Newer(o.digest)
}

func newer(r *crux.Row, e entry) bool { return e.word().before(Word{r.Incarnation, r.Seq}) }

// Apply takes in a row, for left or its own time to live, whichever is less
// (0: its own), and says whether that changed anything.
func (t *Table) Apply(now time.Time, r crux.Row, left time.Duration) bool {
	o := t.owner(r.Node)
	e, held := o.rows[r.RowKey()]
	if held && !newer(&r, e) || o.leftBehind(&r) || !held && len(o.rows) >= maxRows || r.API != r.Inst.API() {
		return false
	}
	t.put(o, r, t.at(now)+lease(r.TTL, left))
	if d := o.digest; d != nil && !o.holds && o.fits(d) {
		t.settle(o)
	}
	return true
}

// leftBehind says whether a row that the table lacks has been and gone.
func (o *owner) leftBehind(r *crux.Row) bool {
	return r.Incarnation < o.floor || r.Incarnation == o.past.Incarnation && r.Seq <= o.past.Seq
}

// leave notes that nothing that was said in w's incarnation up to w comes back
// but in a full set.
func (o *owner) leave(w Word) {
	if o.past.before(w) {
		o.past = w
	}
}

func lease(ttl, left time.Duration) instant {
	if left > 0 && left < ttl {
		return instant(left)
	}
	return instant(ttl)
}

// put enters a row, in place of the one with its key.
func (t *Table) put(o *owner, r crux.Row, ends instant) {
	k := r.RowKey()
	old, held := o.rows[k]
	e := entry{incarnation: r.Incarnation, seq: r.Seq, ends: ends, hash: r.SetHash(), gone: r.Status == crux.Gone}
	if e.gone {
		e.ends += instant(remember)
	}
	wasLive := held && !old.gone
	if wasLive || !e.gone {
		r.Horde = unique.Make(r.Horde).Value() // one copy of a name, for however many rows
		r.Inst = unique.Make(r.Inst).Value()
		r.API = r.Inst.API()
		k.Horde, k.Inst = r.Horde, r.Inst
		t.index.set(r)
	}
	t.count(o, wasLive, !e.gone)
	o.rows[k] = e
	if len(o.rows) == 1 || e.ends < o.soonest {
		o.soonest = e.ends
	}
}

// remove takes an entry out.
func (t *Table) remove(o *owner, k crux.RowKey, e entry) {
	delete(o.rows, k)
	if !e.gone {
		t.index.set(crux.Row{Node: k.Node, Horde: k.Horde, API: k.Inst.API(), Inst: k.Inst, NetID: k.NetID, Status: crux.Gone})
	}
	t.count(o, !e.gone, false)
}

func (t *Table) count(o *owner, was, is bool) {
	switch {
	case is && !was:
		o.live, t.live = o.live+1, t.live+1
	case was && !is:
		o.live, t.live = o.live-1, t.live-1
	}
}

// Expire drops the rows whose lease has ended, and returns their keys.
func (t *Table) Expire(now time.Time) (gone []crux.RowKey) {
	at := t.at(now)
	for id, o := range t.owners {
		if at >= o.soonest {
			gone = t.expire(o, at, gone)
		}
		if len(o.rows) == 0 && (o.digest == nil || at >= o.ends+instant(remember)) {
			delete(t.owners, id)
		}
	}
	return gone
}

func (t *Table) expire(o *owner, at instant, gone []crux.RowKey) []crux.RowKey {
	o.soonest = 1<<63 - 1
	for k, e := range o.rows {
		if at < e.ends {
			o.soonest = min(o.soonest, e.ends)
			continue
		}
		t.remove(o, k, e)
		if !e.gone {
			gone = append(gone, k)
			o.lapse(e)
		}
	}
	return gone
}

// lapse notes that the lease of a row has ended: it, and what the digest counts
// beside it, is not to come back by old words.
func (o *owner) lapse(e entry) {
	o.leave(e.word())
	if d := o.digest; d != nil && d.Incarnation == e.incarnation {
		o.holds = false
		o.leave(wordOf(d))
	}
}

// Len is the number of live rows.
func (t *Table) Len() int { return t.live }
