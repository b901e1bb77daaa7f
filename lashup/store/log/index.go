package log

import "crypto/sha256"

// name stands for a key in the index: nobody finds two keys with the same one.
type name [16]byte

func nameOf(key []byte) name {
	sum := sha256.Sum256(key)
	return name(sum[:16])
}

// place is where the latest entry of a key is.
type place struct {
	seg, off uint32
	n        uint32 // its length; with the highest bit set, it is a deletion
}

const deletion = 1 << 31

func placeOf(seg, off uint32, n int, e *Entry) place {
	p := place{seg, off, uint32(n)}
	if e.Value == nil {
		p.n |= deletion
	}
	return p
}

func (p place) deleted() bool { return p.n&deletion != 0 }
func (p place) size() int64   { return int64(p.n &^ deletion) }

// put is a change of the index.
type put struct {
	name name
	at   place // of no length: the entry is to be forgotten
}

// table is the index, with the segments that it points into.
type table struct {
	at   map[name]place
	segs []*segment // oldest first, without gaps
	dels int        // entries that are deletions
	note bool       // superseded entries are noted in their segments
}

// segment is a file of the log.
type segment struct {
	header
	end     uint32   // of what is valid
	live    int64    // bytes of it to which the index points
	missing bool     // the file is not there
	holes   []hole   // what cannot be read
	dead    []uint32 // where entries were superseded while the log was read
}

// hole is a part of a segment that does not match its checksums.
type hole struct{ from, to uint32 }

func newTable() *table { return &table{at: make(map[name]place)} }

// segment finds a segment by its id, or nil.
func (t *table) segment(id uint32) *segment {
	if len(t.segs) == 0 || id < t.segs[0].id || id-t.segs[0].id >= uint32(len(t.segs)) {
		return nil
	}
	return t.segs[id-t.segs[0].id]
}

// count notes bytes that have become live, or dead, at p.
func (t *table) count(p place, sign int64) {
	if s := t.segment(p.seg); s != nil {
		s.live += sign * p.size()
	}
	if p.deleted() {
		t.dels += int(sign)
	}
}

// put makes a change.
func (t *table) put(p put) {
	if old, ok := t.at[p.name]; ok {
		t.count(old, -1)
		if t.note {
			s := t.segment(old.seg)
			s.dead = append(s.dead, old.off)
		}
	}
	if p.at.n == 0 {
		delete(t.at, p.name)
		return
	}
	t.at[p.name] = p.at
	t.count(p.at, 1)
}

// latest says whether the entry of a key at p is the one that counts.
func (t *table) latest(n name, seg, off uint32) bool {
	p, ok := t.at[n]
	return ok && p.seg == seg && p.off == off
}

// sizes adds up the segments.
func (t *table) sizes() (total, live int64) {
	for _, s := range t.segs {
		total += int64(s.end)
		live += s.live
	}
	return total, live
}
