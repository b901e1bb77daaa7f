package steward

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// keepTombstones is how long a withdrawn row is remembered, so that a late copy
// of it does not come back: longer than any copy is under way.
const keepTombstones = 10 * time.Minute

// Table is a set of rows. The zero Table is not usable; see New.
type Table struct {
	owners map[crux.NodeID]*owner
	index  map[indexKey][]crux.Row // live rows, sorted; copied on change
	live   int
}

type indexKey struct {
	horde crux.Horde
	api   crux.API
}

// owner is what the table holds of one node.
type owner struct {
	rows   map[crux.RowKey]*entry
	digest *crux.Digest // the latest
	at     time.Time    // when it was first taken in
}

type entry struct {
	row  crux.Row
	ends time.Time // of the lease; for a tombstone, of its being remembered
}

// New makes an empty table.
func New() *Table {
	return &Table{owners: map[crux.NodeID]*owner{}, index: map[indexKey][]crux.Row{}}
}

func (t *Table) owner(id crux.NodeID) *owner {
	o := t.owners[id]
	if o == nil {
		o = &owner{rows: map[crux.RowKey]*entry{}}
		t.owners[id] = o
	}
	return o
}

// Apply takes in a row and says whether that changed anything. A row that a
// complete digest has already left behind changes nothing.
func (t *Table) Apply(now time.Time, r crux.Row) bool {
	o := t.owner(r.Node)
	k := r.RowKey()
	old := o.rows[k]
	if old != nil && !r.Newer(&old.row) {
		return false
	}
	if old == nil && o.digest != nil && o.digest.Complete && r.Incarnation < o.digest.Incarnation {
		return false // the owner has since said what it has, and this was not in it
	}
	ends := now.Add(r.TTL)
	if r.Status == crux.Gone {
		ends = now.Add(keepTombstones)
	}
	o.rows[k] = &entry{r, ends}
	t.reindex(old, &r)
	return true
}

// Outcome is what became of a digest.
type Outcome uint8

// The outcomes of a digest.
const (
	Stale    Outcome = iota // not later than what is known: nothing was done
	Renewed                 // leases renewed
	Mismatch                // the rows held are not those counted: get the full set
)

// Digest takes in an owner's digest. On Mismatch it has renewed what it could:
// the owner lives, and what of its rows the digest may still count stays.
func (t *Table) Digest(now time.Time, d crux.Digest) Outcome {
	o := t.owner(d.Node)
	if o.digest != nil && !d.Newer(o.digest) {
		return Stale
	}
	o.digest, o.at = &d, now
	for _, e := range o.rows {
		if e.row.Status != crux.Gone && e.row.Incarnation == d.Incarnation {
			e.ends = now.Add(d.TTL)
		}
	}
	count, hash := o.sum(&d)
	if count != d.Count || hash != d.Hash || d.Complete && o.leftBehind(&d) {
		return Mismatch
	}
	return Renewed
}

// sameWord says whether a digest is the one held.
func sameWord(a, b *crux.Digest) bool {
	return a.Incarnation == b.Incarnation && a.Seq == b.Seq && a.Hash == b.Hash && a.Complete == b.Complete
}

// sum counts and hashes the rows that a digest of this incarnation counts.
func (o *owner) sum(d *crux.Digest) (count uint32, hash [16]byte) {
	for _, e := range o.rows {
		if e.row.Status == crux.Gone || e.row.Incarnation != d.Incarnation {
			continue
		}
		count++
		h := e.row.SetHash()
		for i := range hash {
			hash[i] ^= h[i]
		}
	}
	return count, hash
}

// leftBehind says whether rows of earlier incarnations are held that a complete
// digest does not count.
func (o *owner) leftBehind(d *crux.Digest) bool {
	for _, e := range o.rows {
		if e.row.Status != crux.Gone && e.row.Incarnation < d.Incarnation {
			return true
		}
	}
	return false
}

// Full takes in all rows that a digest counts, and drops what the digest leaves
// out: rows of its incarnation and, if it is complete, of earlier ones. It says
// whether rows changed, and ok=false if the rows are not those counted, or the
// digest is stale: then nothing was done.
func (t *Table) Full(now time.Time, d crux.Digest, rows []crux.Row) (changed, ok bool) {
	o := t.owner(d.Node)
	at := now
	if o.digest != nil && !d.Newer(o.digest) {
		if !sameWord(o.digest, &d) {
			return false, false
		}
		at = o.at // the same word a second time lengthens no lease
	}
	var hash [16]byte
	keep := make(map[crux.RowKey]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		if r.Node != d.Node || r.Incarnation != d.Incarnation || r.Status == crux.Gone || keep[r.RowKey()] {
			return false, false
		}
		keep[r.RowKey()] = true
		h := r.SetHash()
		for j := range hash {
			hash[j] ^= h[j]
		}
	}
	if uint32(len(rows)) != d.Count || hash != d.Hash {
		return false, false
	}
	for k, e := range o.rows {
		gone := e.row.Incarnation == d.Incarnation && e.row.Seq <= d.Seq || d.Complete && e.row.Incarnation < d.Incarnation
		if e.row.Status != crux.Gone && !keep[k] && gone {
			delete(o.rows, k)
			t.reindex(e, nil)
			changed = true
		}
	}
	o.digest = nil // so that Apply judges the rows by themselves
	for _, r := range rows {
		changed = t.Apply(now, r) || changed
	}
	o.digest, o.at = &d, at
	for k := range keep {
		o.rows[k].ends = at.Add(d.TTL)
	}
	return changed, true
}

// Expire drops the rows whose lease has ended, and returns them.
func (t *Table) Expire(now time.Time) (gone []crux.Row) {
	for id, o := range t.owners {
		for k, e := range o.rows {
			if now.Before(e.ends) {
				continue
			}
			delete(o.rows, k)
			if e.row.Status != crux.Gone {
				t.reindex(e, nil)
				gone = append(gone, e.row)
			}
		}
		if len(o.rows) == 0 && (o.digest == nil || len(gone) > 0) {
			delete(t.owners, id)
		}
	}
	return gone
}

// Len is the number of live rows.
func (t *Table) Len() int { return t.live }

// Owned returns a node's live rows of one incarnation, or of all (0), and its
// latest digest, or nil.
func (t *Table) Owned(id crux.NodeID, incarnation uint64) ([]crux.Row, *crux.Digest) {
	o := t.owners[id]
	if o == nil {
		return nil, nil
	}
	var rows []crux.Row
	for _, e := range o.rows {
		if e.row.Status != crux.Gone && (incarnation == 0 || e.row.Incarnation == incarnation) {
			rows = append(rows, e.row)
		}
	}
	slices.SortFunc(rows, order)
	return rows, o.digest
}

// Held is a row with what is left of its lease.
type Held struct {
	Row  crux.Row
	Left time.Duration
}

// Export returns all live rows with the rest of their leases, and all digests:
// what a new steward begins with.
func (t *Table) Export(now time.Time) (rows []Held, digests []crux.Digest) {
	for _, o := range t.owners {
		for _, e := range o.rows {
			if e.row.Status != crux.Gone {
				rows = append(rows, Held{e.row, e.ends.Sub(now)})
			}
		}
		if o.digest != nil {
			digests = append(digests, *o.digest)
		}
	}
	slices.SortFunc(rows, func(a, b Held) int { return order(a.Row, b.Row) })
	return rows, digests
}

// Import takes in what Export gave, without lengthening a lease.
func (t *Table) Import(now time.Time, rows []Held, digests []crux.Digest) {
	for _, h := range rows {
		if h.Left > 0 && t.Apply(now, h.Row) {
			t.owners[h.Row.Node].rows[h.Row.RowKey()].ends = now.Add(h.Left)
		}
	}
	for _, d := range digests {
		if o := t.owner(d.Node); o.digest == nil || d.Newer(o.digest) {
			o.digest, o.at = &d, now
		}
	}
}
