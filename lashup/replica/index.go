package replica

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// What is derived from the lines on disk (the order of the keys, marks, hashes,
// references to cards, tombstones, sizes) is made at once for all that was read by
// the first Index, and then kept up to date as lines change. A successor does that
// while the owner still works, and is left with little when that one stops.

// Index takes up what was loaded so far, so that LoadDone has less to do. It may be
// called as often as one likes, between calls of Load.
func (r *Replica) Index(now time.Duration) {
	r.now = max(r.now, now)
	if r.load == nil {
		r.load = newLoading()
	}
	r.index()
}

func (r *Replica) index() {
	l := r.load
	if l.again {
		r.unindex()
	}
	list := l.latest()
	if r.keys.n == 0 && len(l.apart) == 0 {
		r.indexAll(list)
		clear(l.stirred)
		return
	}
	for _, k := range list {
		r.indexKey(k)
	}
	for _, key := range slices.Sorted(maps.Keys(l.stirred)) {
		r.indexDeltas(key)
	}
	clear(l.stirred)
	for _, key := range slices.Sorted(maps.Keys(l.apart)) { // cards may have come
		r.replaceKey(l.apart[key])
	}
	if l.dead {
		l.dead = false
		r.tombs = slices.DeleteFunc(r.tombs, func(rec *record) bool { return !rec.is(recListed) })
	}
}

// latest are the keys to be indexed, in order, each as it was read last.
func (l *loading) latest() []loadedKey {
	list := l.keys
	l.keys = nil
	slices.SortStableFunc(list, func(a, b loadedKey) int { return strings.Compare(a.rec.key, b.rec.key) })
	n := 0
	for i, k := range list {
		if i+1 < len(list) && list[i+1].rec.key == k.rec.key {
			continue
		}
		list[n] = k
		n++
	}
	clear(list[n:])
	return list[:n]
}

// unindex begins again: nothing is indexed then, and everything that was read is to
// be.
func (r *Replica) unindex() {
	l := r.load
	var list []loadedKey
	for at := r.seek(""); ; at = r.keys.next(at) {
		p := r.keys.at(at)
		if p == nil {
			break
		}
		list = append(list, r.lineOf((*p).key))
	}
	for _, k := range l.apart {
		list = append(list, k)
	}
	l.keys = append(list, l.keys...)
	for _, d := range l.deltas {
		d.reset()
	}
	clear(l.apart)
	l.again, l.dead = false, false

	r.keys, r.newest, r.tombs, r.values, r.stats.Bytes = order[*record]{}, nil, nil, 0, 0
	clear(r.hot)
	clear(r.hotSizes)
	clear(r.logs)
	r.hotOrder, r.hotBytes = nil, 0
	for _, t := range r.durable.nodes {
		t.keys = order[lastMark]{}
	}
	clear(r.batches)
	maps.DeleteFunc(r.cards, func(_ cardID, k *keptCard) bool {
		k.refs = 0
		return !k.saved
	})
}

// lineOf is what the line of a key says that was taken up.
func (r *Replica) lineOf(key string) loadedKey {
	if k, ok := r.load.apart[key]; ok {
		return k
	}
	if d := r.load.deltas[key]; d != nil && !d.base.gone() {
		return d.base
	}
	rec := r.find(key)
	if rec == nil {
		return loadedKey{}
	}
	k := loadedKey{rec: &record{key: rec.key, version: rec.version, gen: rec.gen, enc: rec.enc}}
	if p := rec.proof; p != nil {
		k.proof = &loadedProof{mark: p.mark, leaves: p.batch.leaves, leaf: p.leaf, sig: p.batch.sig, path: p.path}
	}
	return k
}

// indexAll makes the indexes, which are empty, of all keys, which are in order.
func (r *Replica) indexAll(list []loadedKey) {
	marks := map[crux.NodeID][]lastMark{}
	recs := make([]*record, 0, len(list))
	for _, k := range list {
		if k.gone() {
			continue
		}
		d, ok := r.derive(k)
		if !ok {
			continue
		}
		for x := range r.enter(&d).All() {
			marks[x.Node] = append(marks[x.Node], lastMark{x.Hi, d.rec})
		}
		r.link(d.rec)
		recs = append(recs, d.rec)
	}
	r.keys.fill(recs)
	for id, list := range marks {
		slices.SortFunc(list, func(a, b lastMark) int {
			if c := a.mark.Compare(b.mark); c != 0 {
				return c
			}
			return strings.Compare(a.rec.key, b.rec.key)
		})
		r.durable.track(id).keys.fill(list)
	}
}

// indexKey puts what the line of a key says now in place of what it said. The owner
// copies lines as they are when it cleans its log.
func (r *Replica) indexKey(k loadedKey) {
	was := r.lineOf(k.rec.key)
	if was.gone() && k.gone() || !was.gone() && k.equal(was) {
		return
	}
	delete(r.load.stirred, k.rec.key)
	r.replaceKey(k)
}

// replaceKey indexes a key anew.
func (r *Replica) replaceKey(k loadedKey) {
	l, key := r.load, k.rec.key
	if old := r.find(key); old != nil {
		r.withdraw(old, r.state(old).Context())
	}
	delete(l.apart, key)
	if d := l.deltas[key]; d != nil {
		d.reset()
	}
	if k.gone() {
		return
	}
	if d, ok := r.derive(k); ok {
		ctx := r.enter(&d)
		r.insert(d.rec)
		r.durable.move(d.rec, ctx, crdt.Context{}, ctx)
	}
}

// derived is what the lines of a key make.
type derived struct {
	rec   *record
	state *crdt.State
	proof *proof
	log   *deltaLog // nil: it has no deltas
}

// derive reads the lines of a key. A key of which they cannot be read, or not be
// proved, is set apart.
func (r *Replica) derive(k loadedKey) (d derived, ok bool) {
	s, err := crdt.Decode([]byte(k.rec.enc))
	d = derived{rec: k.rec, state: s}
	claim := k.proof
	if x := r.load.deltas[k.rec.key]; err == nil && x != nil && len(x.list) > 0 {
		copied := *k.rec
		d.rec, x.base, x.proof = &copied, k, k.proof
		err = x.joinAll(k.rec.gen, s)
		log := x.log(k.rec.gen)
		d.log, claim = &log, x.proof
	}
	if err == nil {
		d.proof, ok = r.loadProof(k.rec.key, claim, s)
	}
	if !ok {
		r.load.apart[k.rec.key] = k
	}
	return d, ok
}

// enter takes up what follows from a record, but for its place among the keys and its
// marks; those are of the context that it gives.
func (r *Replica) enter(d *derived) crdt.Context {
	rec := d.rec
	r.stats.Bytes += len(rec.enc)
	if d.log != nil {
		r.logs[rec] = *d.log
		r.keep(rec, d.state)
	}
	r.holdProof(rec, d.proof)
	return r.read(rec, d.state)
}

// read takes up what a record reads as, and gives the context of which its marks are.
func (r *Replica) read(rec *record, s *crdt.State) crdt.Context {
	rec.set(recAbsent, s.Absent())
	switch {
	case rec.is(recAbsent):
		r.bury(rec)
	case rec.is(recListed):
		rec.set(recListed, false)
		r.load.dead = true
	}
	if r.doomed(rec) {
		return crdt.Context{}
	}
	if !rec.is(recAbsent) {
		rec.hash = valueHash(rec.key, s.Value())
		r.values += rec.hash
	}
	r.clock.hear(s.Latest(), r.now)
	return s.Context()
}

// withdraw takes a record out of the indexes, where it has the context ctx. Nothing
// on disk changes by it.
func (r *Replica) withdraw(rec *record, ctx crdt.Context) {
	r.detach(rec, ctx)
	delete(r.logs, rec)
	r.load.dead = r.load.dead || rec.is(recListed)
	rec.flags, rec.enc = 0, ""
}

// indexDeltas takes up what became of the deltas of a key. Those that have come are
// joined into what is there; if one has gone, or what it says has changed, the key is
// read anew.
func (r *Replica) indexDeltas(key string) {
	k := r.lineOf(key)
	if k.gone() {
		return // they wait for it
	}
	d, rec := r.load.deltas[key], r.find(key)
	if rec == nil || d.base.gone() || d.cut || !r.joinMore(rec, d) {
		r.replaceKey(k)
	}
}

// joinMore joins the deltas of a record that have come since. It is false, and
// nothing is changed, if one cannot be read.
func (r *Replica) joinMore(rec *record, d *loadedDeltas) bool {
	more, changed, err := d.more(rec.gen)
	if err != nil {
		return false
	}
	s := r.state(rec)
	before := s.Context()
	for _, x := range more {
		s.Join(x)
	}
	p, ok := r.loadProof(rec.key, d.proof, s)
	if !ok {
		k := d.base
		r.withdraw(rec, before)
		d.reset()
		r.load.apart[rec.key] = k
		return true
	}
	r.logs[rec] = d.log(rec.gen)
	r.holdProof(rec, p)
	r.keep(rec, s)
	r.unhash(rec)
	if ctx := r.read(rec, s); !ctx.Empty() {
		r.durable.move(rec, changed, before, ctx)
	}
	return true
}

// loadProof checks the proof of a key, if it needs one.
func (r *Replica) loadProof(key string, p *loadedProof, s *crdt.State) (*proof, bool) {
	if p == nil {
		return nil, true
	}
	id := cardID{ownerOf(key), p.mark.Incarnation}
	at := leafHash(r.cfg.Bloc, key, p.mark, sumOf(s.Value()))
	root, ok := rootOf(p.leaves, p.leaf, at, p.path)
	if !ok {
		return nil, false
	}
	b, t := r.check(id, root, &Proof{Leaves: p.leaves, Sig: p.sig}, nil)
	if t != proven {
		return nil, false
	}
	return &proof{batch: b, mark: p.mark, leaf: p.leaf, path: p.path}, true
}
