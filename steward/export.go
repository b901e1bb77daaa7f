package steward

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// Held is a row with what is left of its lease.
type Held struct {
	Row  crux.Row
	Left time.Duration
}

// HeldDigest is a digest with what is left of the lease that it gives.
type HeldDigest struct {
	Digest crux.Digest
	Left   time.Duration
}

// Words returns the digests whose rows the table holds: what need not be sent
// to it.
func (t *Table) Words() map[crux.NodeID]Word {
	out := make(map[crux.NodeID]Word, len(t.owners))
	for id, o := range t.owners {
		if o.holds {
			out[id] = wordOf(o.digest)
		}
	}
	return out
}

// Delta is what one table has for another.
type Delta struct {
	Rows    []Held
	Digests []HeldDigest
	Full    []crux.NodeID // nodes of which Rows has all that their digest counts
}

// Since returns what a table lacks that holds the rows of these words: of a
// node of the same word, the rows given later; of another, its digest and all
// its live rows. Whose lease has ended is not given.
func (t *Table) Since(now time.Time, words map[crux.NodeID]Word) (out Delta) {
	for id, o := range t.owners {
		w, known := words[id]
		if known && o.holds && w == wordOf(o.digest) {
			t.collect(now, o, &out, func(e entry) bool { return w.before(e.word()) })
			continue
		}
		t.whole(now, id, o, &out)
	}
	slices.SortFunc(out.Rows, func(a, b Held) int { return order(&a.Row, &b.Row) })
	return out
}

// Owned returns all that the table has of one node, as Since does.
func (t *Table) Owned(now time.Time, id crux.NodeID) (out Delta) {
	if o := t.owners[id]; o != nil {
		t.whole(now, id, o, &out)
	}
	return out
}

// Said returns a node's latest digest, while the lease that it gives lasts.
func (t *Table) Said(now time.Time, id crux.NodeID) (d HeldDigest, ok bool) {
	o := t.owners[id]
	if o == nil || o.digest == nil || o.ends <= t.at(now) {
		return HeldDigest{}, false
	}
	return HeldDigest{*o.digest, time.Duration(o.ends - t.at(now))}, true
}

func (t *Table) whole(now time.Time, id crux.NodeID, o *owner, out *Delta) {
	t.collect(now, o, out, func(entry) bool { return true })
	d, ok := t.Said(now, id)
	if !ok {
		return
	}
	out.Digests = append(out.Digests, d)
	if o.holds {
		out.Full = append(out.Full, id)
	}
}

// collect adds the live rows of a node that want wants.
func (t *Table) collect(now time.Time, o *owner, out *Delta, want func(entry) bool) {
	at := t.at(now)
	for k, e := range o.rows {
		if e.gone || e.ends <= at || !want(e) {
			continue
		}
		if r, ok := t.index.get(k); ok {
			out.Rows = append(out.Rows, Held{r, time.Duration(e.ends - at)})
		}
	}
}

// Import takes in what Since gave, and says whether live rows changed.
func (t *Table) Import(now time.Time, d Delta) (changed bool) {
	for _, h := range d.Rows {
		changed = t.Apply(now, h.Row, h.Left) || changed
	}
	for _, h := range d.Digests {
		changed = t.Digest(now, h.Digest, h.Left) == Dropped || changed
	}
	return changed
}
