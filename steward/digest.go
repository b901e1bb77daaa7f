package steward

import (
	"time"

	"fulcrum.example/crux"
)

// Outcome is what became of a digest.
type Outcome uint8

// The outcomes of a digest.
const (
	Stale    Outcome = iota // not later than what is known: nothing was done
	Renewed                 // leases renewed; the rows held are those counted
	Dropped                 // the same, and rows went away that it leaves behind
	Mismatch                // the rows held are not those counted: get the full set
)

// Digest takes in an owner's digest, for left or its own time to live,
// whichever is less (0: its own). Leases are renewed once the rows held are those
// counted, at once or when the missing ones come, and not before: whoever keeps
// an owner's withdrawal from this table does not keep the row alive.
func (t *Table) Digest(now time.Time, d crux.Digest, left time.Duration) Outcome {
	o := t.owner(d.Node)
	if o.digest != nil && !d.Newer(o.digest) {
		return Stale
	}
	o.say(&d, t.at(now)+lease(d.TTL, left))
	if o.holds = o.fits(&d); !o.holds {
		return Mismatch
	}
	if t.settle(o) {
		return Dropped
	}
	return Renewed
}

// say makes d the latest digest.
func (o *owner) say(d *crux.Digest, ends instant) {
	o.digest, o.ends = d, ends
	if d.Complete {
		o.floor = max(o.floor, d.Incarnation)
	}
}

// renew lengthens the leases of the rows that the digest counts.
func (o *owner) renew() {
	for k, e := range o.rows {
		if !e.gone && e.incarnation == o.digest.Incarnation && e.seq <= o.digest.Seq && e.ends < o.ends {
			e.ends = o.ends
			o.rows[k] = e
		}
	}
}

// fits says whether the rows held are those that d counts. Rows that the owner
// gave later than d are no part of the answer.
func (o *owner) fits(d *crux.Digest) bool {
	var count uint32
	var hash [16]byte
	for _, e := range o.rows {
		if !e.gone && e.incarnation == d.Incarnation && e.seq <= d.Seq {
			count++
			xor(&hash, &e.hash)
		}
	}
	return count == d.Count && hash == d.Hash
}

func xor(a, b *[16]byte) {
	for i := range a {
		a[i] ^= b[i]
	}
}

// settle notes that the digest's rows are held, and renews their leases. If it is
// complete, what was of earlier incarnations goes, and withdrawn rows need not be remembered any more.
func (t *Table) settle(o *owner) (dropped bool) {
	d := o.digest
	o.holds = true
	o.renew()
	o.leave(wordOf(d))
	if !d.Complete {
		return false
	}
	for k, e := range o.rows {
		if e.incarnation < d.Incarnation || e.gone && e.incarnation == d.Incarnation && e.seq <= d.Seq {
			t.remove(o, k, e)
			dropped = dropped || !e.gone
		}
	}
	return dropped
}

// Full takes in all rows that a digest counts, and drops what it leaves out:
// rows of its incarnation and, if it is complete, of earlier ones. It says
// whether live rows changed. ok=false means that nothing was done: the rows are
// not those counted, or the digest is stale.
//
// Rows that Knows knows may be given unchecked, and a digest that KnowsDigest
// knows: of such rows only the key and the sequence are looked at, and such a
// digest must say what the one held says.
func (t *Table) Full(now time.Time, d crux.Digest, left time.Duration, rows []crux.Row) (changed, ok bool) {
	o := t.owner(d.Node)
	later := o.digest == nil || d.Newer(o.digest)
	again := !later && sameWord(&d, o.digest) && t.at(now) < o.ends
	keep, fit := counted(&d, rows)
	if !fit || !later && !again {
		return false, false
	}
	if later { // the same word a second time lengthens no lease
		o.say(&d, t.at(now)+lease(d.TTL, left))
	}
	for k, e := range o.rows {
		out := e.incarnation == d.Incarnation && e.seq <= d.Seq || d.Complete && e.incarnation < d.Incarnation
		if out && !keep[k] {
			t.remove(o, k, e)
			changed = changed || !e.gone
		}
	}
	for i := range rows {
		r := &rows[i]
		if e, held := o.rows[r.RowKey()]; (!held || newer(r, e)) && len(o.rows) < maxRows {
			t.put(o, *r, o.ends)
			changed = true
		}
	}
	t.settle(o)
	return changed, true
}

// sameWord says whether two digests of a node say the same: a signature that was
// checked for the one then holds for the other.
func sameWord(a, b *crux.Digest) bool {
	return wordOf(a) == wordOf(b) && a.Count == b.Count && a.Hash == b.Hash && a.Complete == b.Complete
}

// counted says whether rows are just those that d counts, and gives their keys.
func counted(d *crux.Digest, rows []crux.Row) (keys map[crux.RowKey]bool, ok bool) {
	var hash [16]byte
	keys = make(map[crux.RowKey]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		k := r.RowKey()
		if r.Node != d.Node || r.Incarnation != d.Incarnation || r.Seq > d.Seq || r.Status == crux.Gone || keys[k] || r.API != r.Inst.API() {
			return nil, false
		}
		keys[k] = true
		h := r.SetHash()
		xor(&hash, &h)
	}
	return keys, uint32(len(rows)) == d.Count && hash == d.Hash
}

// Holds says whether the table holds the rows of a node's latest digest, all
// and no others, if that is of the given incarnation.
func (t *Table) Holds(id crux.NodeID, incarnation uint64) bool {
	o := t.owners[id]
	return o != nil && o.holds && o.digest.Incarnation == incarnation
}
