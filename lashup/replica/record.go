package replica

import (
	"slices"
	"strings"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// record is a key. Its value is kept encoded, for that takes the least memory; large
// ones that are being changed are kept decoded (Replica.hot), for they would take
// the most time.
type record struct {
	key     string // encoded
	enc     string // the state, encoded; "" while it is hot
	proof   *proof // of keys with an owner
	hash    uint64 // its share of Replica.values
	version uint64 // number of its last change
	// All records, by version.
	older, newer *record
	settled      uint32 // folded up to this round
	gen          uint16 // see resync.go
	flags        uint8
}

const (
	recAbsent   = 1 << iota // nothing is there: a tombstone
	recVolatile             // of the volatile plane
	recDirty                // hash is not up to date
	recHot                  // decoded
	recListed               // among Replica.tombs, or the volatile ones
)

// loadedVersion is the version of what was loaded; versions of changes are greater.
const loadedVersion = 1

// bury lists a record among the tombstones, once.
func (r *Replica) bury(rec *record) {
	if !rec.is(recListed) {
		rec.set(recListed, true)
		r.tombs = append(r.tombs, rec)
	}
}

func (rec *record) is(f uint8) bool { return rec.flags&f != 0 }

func (rec *record) set(f uint8, on bool) {
	rec.flags &^= f
	if on {
		rec.flags |= f
	}
}

// hotSize is the encoded size from which on states are kept decoded while they
// change, and saved as deltas; hotBudget is how much of such states is kept.
const (
	hotSize   = 2 << 10
	hotBudget = 8 << 20
)

// find gives the record of a key, or nil.
func (r *Replica) find(key string) *record {
	if p := r.keys.at(r.seek(key)); p != nil && (*p).key == key {
		return *p
	}
	return nil
}

// seek finds the first record whose key is not before key.
func (r *Replica) seek(key string) spot {
	return r.keys.seek(func(p **record) bool { return (*p).key < key })
}

// below calls f for the records whose keys begin with prefix, in their order,
// until it says false. Keys may not come or go meanwhile.
func (r *Replica) below(prefix string, f func(*record) bool) {
	for s := r.seek(prefix); ; s = r.keys.next(s) {
		p := r.keys.at(s)
		if p == nil || !strings.HasPrefix((*p).key, prefix) || !f(*p) {
			return
		}
	}
}

// state is a record's state; whoever changes it must put it back by keep.
func (r *Replica) state(rec *record) *crdt.State {
	if rec.is(recHot) {
		return r.hot[rec]
	}
	if rec.enc == "" {
		return &crdt.State{}
	}
	s, err := crdt.Decode([]byte(rec.enc))
	if err != nil { // it was decoded before: memory is at fault, and compare.go will notice
		r.stats.Corrupt++
		return &crdt.State{}
	}
	return s
}

// encoded is a record's state in its encoding.
func (r *Replica) encoded(rec *record) []byte {
	if rec.is(recHot) {
		s := r.hot[rec]
		return s.Append(make([]byte, 0, s.Size()))
	}
	return []byte(rec.enc)
}

// keep puts a record's state back.
func (r *Replica) keep(rec *record, s *crdt.State) {
	n := s.Size()
	if rec.is(recHot) {
		r.hotBytes -= r.hotSizes[rec]
		delete(r.hotSizes, rec)
	} else {
		r.stats.Bytes -= len(rec.enc)
	}
	if n < r.hotSize {
		r.cool(rec, s)
		return
	}
	if !rec.is(recHot) {
		rec.enc = ""
		rec.set(recHot, true)
		r.hotOrder = append(r.hotOrder, rec)
	}
	r.hot[rec], r.hotSizes[rec] = s, n
	r.hotBytes += n
	for r.hotBytes > hotBudget && len(r.hotOrder) > 1 {
		r.coolFirst()
	}
	if len(r.hotOrder) > 2*len(r.hot)+16 { // some have cooled by themselves, or are gone
		r.hotOrder = slices.DeleteFunc(r.hotOrder, func(rec *record) bool { return r.hot[rec] == nil })
	}
}

// cool keeps a state in its encoding.
func (r *Replica) cool(rec *record, s *crdt.State) {
	rec.enc = string(s.Append(make([]byte, 0, s.Size())))
	r.stats.Bytes += len(rec.enc)
	if rec.is(recHot) {
		rec.set(recHot, false)
		delete(r.hot, rec)
	}
}

// coolFirst encodes the state that has been hot for the longest.
func (r *Replica) coolFirst() {
	rec := r.hotOrder[0]
	r.hotOrder = r.hotOrder[1:]
	if n, ok := r.hotSizes[rec]; ok {
		r.hotBytes -= n
		delete(r.hotSizes, rec)
		r.cool(rec, r.hot[rec])
	}
}

// plane is the vector of the plane that a record is in.
func (r *Replica) plane(volatile bool) *vector {
	if volatile {
		return r.volatile
	}
	return r.durable
}

// insert adds a new record, as the newest.
func (r *Replica) insert(rec *record) {
	r.keys.insert(r.seek(rec.key), rec)
	r.link(rec)
}

// discard takes a record out of everything. It tells nobody.
func (r *Replica) discard(rec *record) {
	r.endLog(rec)
	r.detach(rec, r.state(rec).Context())
	r.floor = max(r.floor, rec.version)
	if rec.is(recVolatile) {
		r.volatileKeys[ownerOf(rec.key)]--
	}
	rec.flags, rec.enc = recAbsent, ""
}

// detach takes a record, whose marks are those of ctx, out of the indexes.
func (r *Replica) detach(rec *record, ctx crdt.Context) {
	r.plane(rec.is(recVolatile)).move(rec, ctx, ctx, crdt.Context{})
	r.unhash(rec)
	if rec.is(recHot) {
		r.hotBytes -= r.hotSizes[rec]
		delete(r.hotSizes, rec)
		delete(r.hot, rec)
	} else {
		r.stats.Bytes -= len(rec.enc)
	}
	r.release(rec.proof)
	r.keys.remove(r.seek(rec.key))
	r.unlink(rec)
}

func ownerOf(key string) crux.NodeID {
	p, _ := placeOf(key)
	return p.owner
}

// link makes rec the newest.
func (r *Replica) link(rec *record) {
	rec.older, rec.newer = r.newest, nil
	if r.newest != nil {
		r.newest.newer = rec
	}
	r.newest = rec
}

func (r *Replica) unlink(rec *record) {
	if rec.newer != nil {
		rec.newer.older = rec.older
	} else {
		r.newest = rec.older
	}
	if rec.older != nil {
		rec.older.newer = rec.newer
	}
	rec.older, rec.newer = nil, nil
}

// unhash takes a record's share out of the sum.
func (r *Replica) unhash(rec *record) {
	if rec.is(recVolatile) {
		return
	}
	r.values -= rec.hash
	rec.hash = 0
}

// soil notes that a record's hash must be computed again.
func (r *Replica) soil(rec *record) {
	r.unhash(rec)
	if !rec.is(recVolatile) && !rec.is(recDirty) {
		rec.set(recDirty, true)
		r.dirty = append(r.dirty, rec)
	}
}

// sum is the hash of all keys and what they hold.
func (r *Replica) sum() uint64 {
	for _, rec := range r.dirty {
		if !rec.is(recDirty) {
			continue // it is gone
		}
		rec.set(recDirty, false)
		if !rec.is(recAbsent) && !r.doomed(rec) {
			rec.hash = valueHash(rec.key, r.state(rec).Value())
			r.values += rec.hash
		}
	}
	r.dirty = r.dirty[:0]
	return r.values
}

func valueHash(key string, v crdt.Value) uint64 {
	var room [256]byte
	return hashOf(appendValue(appendText(room[:0], key), v))
}
