package replica

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// A process hands its replica over to a successor: what is on disk is read by
// Load; Export and Import carry the rest, so that the successor goes on as the same
// incarnation, with the versions that watchers know.

// maxRecent is how many of the latest versions are handed over. Watchers that are
// further behind start over. It is twice what waits for a watch (Limits.WatchEvents),
// and not more, for each takes microseconds in which nobody can write. mostRecent is
// how many are taken.
const (
	maxRecent  = 1 << 13
	mostRecent = 1 << 16
	// maxExport bounds the volatile keys that are handed over, in bytes. What is left
	// out the others have still, or it is written again.
	maxExport = 32 << 20
)

const handoverVersion = 1

// Export is what the successor needs beside the disk. All batches have been
// persisted, and nothing is written afterwards. Unavailable: some have not.
func (r *Replica) Export(now time.Duration) ([]byte, error) {
	if len(r.disk.pending) > 0 || r.disk.failed {
		return nil, crux.Errorf("hand the store over", crux.Unavailable, "not everything is on disk")
	}
	r.now = max(r.now, now)
	b := append([]byte{handoverVersion}, r.self[:]...)
	for _, v := range []uint64{r.cfg.Incarnation, r.seq, r.volatileSeq, r.number, uint64(r.clock.last), uint64(bit(r.early.over, 1))} {
		b = binary.AppendUvarint(b, v)
	}
	b = r.exportVersions(b)
	b = r.exportEarly(b)
	return r.exportVolatile(b), nil
}

// exportVolatile appends the volatile keys, this node's first: nobody else has
// those. If there are too many, the successor fetches the others.
func (r *Replica) exportVolatile(b []byte) []byte {
	var list bundler
	var cards []Card
	whole, own := true, true
	owners := slices.SortedFunc(maps.Keys(r.volatileKeys), crux.NodeID.Compare)
	slices.SortStableFunc(owners, func(a, b crux.NodeID) int { return int(bit(b == r.self, 1)) - int(bit(a == r.self, 1)) })
	for _, id := range owners {
		r.below(namespace(id)+volatileElement+"\x00", func(rec *record) bool {
			if !rec.is(recVolatile) {
				return true
			}
			if whole = len(list.items) < maxItems && list.size < maxExport; whole {
				list.add(Value{Key: rec.key, State: r.encoded(rec), Whole: true}, rec.proof)
				cards = addCard(cards, rec.proof.batch)
			}
			return whole
		})
		own = own && (whole || id != r.self)
		if !whole {
			break
		}
	}
	sortCards(cards)
	b = appendContext(b, r.volatile.context(func(id crux.NodeID) bool { return whole || own && id == r.self }))
	bundle := list.bundle(r.valueSum)
	return bundle.append(appendCards(b, cards))
}

// exportVersions appends the latest versions, newest first, and up to which
// version others may have changed. Keys that have not changed since they were loaded
// have the same version when they are loaded again.
func (r *Replica) exportVersions(b []byte) []byte {
	n, rec := 0, r.newest
	for ; rec != nil && rec.version > loadedVersion && n < maxRecent; rec = rec.older {
		n++
	}
	floor := r.floor
	if rec != nil {
		floor = max(floor, rec.version)
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, floor), uint64(n))
	for rec = r.newest; n > 0; rec, n = rec.older, n-1 {
		b = binary.AppendUvarint(appendText(b, rec.key), rec.version)
	}
	return b
}

func (r *Replica) exportEarly(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.early.deltas)))
	keys := make(map[string]bool, len(r.early.deltas))
	for key := range r.early.deltas {
		keys[key] = true
	}
	for _, key := range sortedKeys(keys) {
		b = appendText(appendText(b, key), r.early.deltas[key].Append(nil))
	}
	return b
}

// Import takes over from the process that made an Export; it is called after
// LoadDone, before anything else. Errors: Corrupt, b is no export; Conflict, it is
// another node's, or another incarnation's.
func (r *Replica) Import(now time.Duration, b []byte) (Ready, error) {
	const op = "take the store over"
	r.begin(now)
	in := newReader(b)
	in.Check(in.Byte() == handoverVersion)
	self := in.Node()
	var v [6]uint64
	for i := range v {
		v[i] = in.Uvarint()
	}
	if !in.Bad() && (self != r.self || v[0] != r.cfg.Incarnation) {
		return r.end(), crux.Errorf(op, crux.Conflict, "it is of incarnation %d of %s, and this is %d of %s", v[0], self, r.cfg.Incarnation, r.self)
	}
	versions, floor := in.versions()
	early := in.early()
	seen, cards, bundle := in.context(), in.cards(), in.bundleOf(maxItems)
	if !in.Done() {
		return r.end(), crux.Errorf(op, crux.Corrupt, "%d bytes are not what a replica exports", len(b))
	}
	r.seq, r.volatileSeq = max(r.seq, v[1]), max(r.volatileSeq, v[2])
	r.clock.last = max(r.clock.last, crdt.Timestamp(v[4]))
	r.early = early
	r.early.over = v[5] == 1
	r.takeBundle(&bundle, taking{volatile: true, cards: cards})
	for s := range seen.All() {
		r.incarnations[s.Node] = max(r.incarnations[s.Node], s.Hi.Incarnation)
		r.volatile.add(s)
	}
	r.renumber(versions, max(v[3], r.number), floor)
	return r.end(), nil
}

type keyVersion struct {
	key     string
	version uint64
}

func (r *reader) versions() (list []keyVersion, floor uint64) {
	floor = r.Uvarint()
	for i, n := 0, r.Count(mostRecent, 3); i < n && !r.Bad(); i++ {
		list = append(list, keyVersion{r.key(), r.Uvarint()})
		r.Check(i == 0 || list[i-1].version >= list[i].version)
	}
	return list, floor
}

func (r *reader) early() early {
	e := early{deltas: map[string]*crdt.State{}}
	for i, n := 0, r.Count(maxEarly, 4); i < n && !r.Bad(); i++ {
		key := r.key()
		s, err := crdt.Decode(r.bytes(maxState))
		r.Check(err == nil)
		if err == nil {
			e.deltas[key] = s
			e.bytes += len(key) + s.Size()
		}
	}
	return e
}

// renumber gives records the versions that they had. Those that are not listed have
// not changed after floor, and keep the version of what is loaded: no watch resumes
// from before that.
func (r *Replica) renumber(list []keyVersion, number, floor uint64) {
	for rec := r.newest; rec != nil && rec.version > loadedVersion; rec = rec.older {
		rec.version = loadedVersion // the volatile ones, which have just come
	}
	for i := len(list) - 1; i >= 0; i-- {
		if rec := r.find(list[i].key); rec != nil {
			rec.version = list[i].version
			r.unlink(rec)
			r.link(rec)
		}
	}
	r.number, r.floor = number, max(floor, loadedVersion)
}
