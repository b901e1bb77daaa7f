package replica

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// loadedProof is a proof as a line has it; its card may not have been read yet.
type loadedProof struct {
	mark         crdt.Mark
	leaves, leaf int
	sig          [sigSize]byte
	path         []hash
}

func (r *reader) loadedProof() *loadedProof {
	if r.flags(1) == 0 {
		return nil
	}
	p := &loadedProof{mark: crdt.Mark{Incarnation: r.Uvarint(), Seq: r.Uvarint()}}
	leaves, leaf := r.Uvarint(), r.Uvarint()
	r.Check(leaves > 0 && leaves <= maxLeaves && leaf < leaves)
	p.leaves, p.leaf = int(leaves), int(leaf)
	copy(p.sig[:], r.Take(sigSize))
	p.path = r.hashes()
	return p
}

func (p *loadedProof) equal(o *loadedProof) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.mark == o.mark && p.leaves == o.leaves && p.leaf == o.leaf && p.sig == o.sig && slices.Equal(p.path, o.path)
}

// loadedKey is what a key's own line says. Its record is in no index. Without a
// value there is no such line, or not any more.
type loadedKey struct {
	rec   *record
	proof *loadedProof
}

func (k loadedKey) gone() bool { return k.rec == nil || k.rec.enc == "" }

func (k loadedKey) equal(o loadedKey) bool {
	return k.rec.enc == o.rec.enc && k.rec.gen == o.rec.gen && k.proof.equal(o.proof)
}

// loading is what is known while lines are being read, and not yet, or not only, in
// the indexes (index.go). Another process may own the disk meanwhile: nothing is
// persisted before LoadDone.
type loading struct {
	keys   []loadedKey              // to be indexed; of two of one key the later counts
	deltas map[string]*loadedDeltas // by key
	// stirred are keys whose deltas are others than those that are indexed.
	stirred map[string]bool
	// apart are keys that are in no index, for what they say cannot be read, or
	// not proved yet.
	apart map[string]loadedKey
	seen  map[crux.NodeID]genContext
	again bool // what is indexed does not hold any more, all of it
	dead  bool // there are records among the tombstones that are none any more
}

func newLoading() *loading {
	return &loading{
		deltas: map[string]*loadedDeltas{}, stirred: map[string]bool{},
		apart: map[string]loadedKey{}, seen: map[crux.NodeID]genContext{},
	}
}

type genContext struct {
	gen  uint16
	seen crdt.Context
}

// Load takes in a line of the disk, in any order; of two with one key the later one
// counts. A nil value takes the line back: it was deleted. It is called before
// anything but Index. Corrupt: the line cannot be read; it is left out, and what is
// missing is fetched from the neighbours.
func (r *Replica) Load(key, value []byte) error {
	if r.load == nil {
		r.load = newLoading()
	}
	switch {
	case len(key) == 0:
	case value == nil:
		r.unload(key[0], string(key[1:]))
		return nil
	case r.loadLine(key[0], string(key[1:]), value):
		return nil
	default:
		r.unload(key[0], string(key[1:])) // what it said before does not count either
	}
	r.stats.Corrupt++
	return crux.Errorf("read the store", crux.Corrupt, "the line %q with %d bytes cannot be read", key, len(value))
}

func (r *Replica) loadLine(kind byte, key string, value []byte) bool {
	in := newReader(value)
	switch kind {
	case lineKey:
		return r.loadRecord(key, in)
	case lineDelta:
		return r.loadDelta(key, value)
	case lineVector:
		gen := in.Uvarint()
		seen, err := crdt.DecodeContext(in.rest())
		in.Check(err == nil && len(key) == len(crux.NodeID{}) && gen < 1<<16)
		if in.Bad() {
			return false
		}
		r.load.seen[crux.NodeID([]byte(key))] = genContext{uint16(gen), seen}
	case lineCard:
		if len(key) != cardKeySize || in.Len() > MaxCard {
			return false
		}
		r.loadCard(readCardID(key), value)
		return true
	case lineSettle:
		m := in.settled()
		if !in.Done() {
			return false
		}
		r.settle.base = *m
	case lineWords:
		return r.settle.loadVouched(in)
	case lineGen:
		resync, gen := in.flags(1) == 1, in.Take(2)
		if !in.Done() {
			return false
		}
		r.loadGen(resync, uint16(gen[0])<<8|uint16(gen[1]))
	default:
		return false
	}
	return in.Done()
}

// unload takes back what a line said.
func (r *Replica) unload(kind byte, key string) {
	switch kind {
	case lineKey:
		r.load.keys = append(r.load.keys, loadedKey{rec: &record{key: key}})
	case lineDelta:
		r.unloadDelta(key)
	case lineVector:
		if len(key) == len(crux.NodeID{}) {
			delete(r.load.seen, crux.NodeID([]byte(key)))
		}
	case lineCard:
		if len(key) == cardKeySize {
			r.unloadCard(readCardID(key))
		}
	case lineSettle:
		r.settle.base = Settled{}
	case lineWords:
		r.settle.vouched = nil
	case lineGen:
		r.loadGen(false, 0)
	}
}

func (r *Replica) loadRecord(key string, in *reader) bool {
	gen := in.Uvarint()
	p := in.loadedProof()
	where, ok := placeOf(key)
	if in.Bad() || in.Len() == 0 || gen >= 1<<16 || !ok || where.volatile || !validKey(key) || (p == nil) != where.owner.IsZero() {
		return false
	}
	rec := &record{key: key, version: loadedVersion, gen: uint16(gen), enc: string(in.rest())}
	r.load.keys = append(r.load.keys, loadedKey{rec, p})
	return true
}

// loadGen takes in a generation. Which keys are doomed may change by it, and nothing
// that is indexed says of itself whether it is.
func (r *Replica) loadGen(resync bool, gen uint16) {
	if (r.resync || resync) && (r.resync != resync || r.gen != gen) {
		r.load.again = true
	}
	r.resync, r.gen = resync, gen
}

// loadCard takes in a card. Cards count as saved while there is a line of them.
func (r *Replica) loadCard(id cardID, data []byte) {
	k := r.cards[id]
	if k != nil && !bytes.Equal(k.data, data) {
		r.load.again = r.load.again || k.refs > 0 // they were proved by another card
		r.forgetBatches(id)
		k.data = slices.Clone(data)
	}
	if k == nil {
		k = &keptCard{data: slices.Clone(data)}
		r.cards[id] = k
	}
	k.saved = true
}

// unloadCard takes a card back. It stays for as long as keys refer to it: those will
// have changed too, on a disk that is in order.
func (r *Replica) unloadCard(id cardID) {
	if k := r.cards[id]; k != nil {
		if k.saved = false; k.refs == 0 {
			r.dropCard(id)
		}
	}
}

// dropCard forgets a card, and what was proved by it.
func (r *Replica) dropCard(id cardID) {
	delete(r.cards, id)
	r.forgetBatches(id)
}

func (r *Replica) forgetBatches(id cardID) {
	maps.DeleteFunc(r.batches, func(_ batchID, b *batch) bool { return b.cardID == id })
}

// LoadDone ends the reading of the disk, which is this replica's own from now on. The
// replica is ready then. What Index has seen to costs nothing here.
func (r *Replica) LoadDone(now time.Duration) Ready {
	r.begin(now)
	if r.load == nil {
		r.load = newLoading()
	}
	r.index()
	if r.cardsMissing() {
		r.load.again = true
		r.index()
	}
	r.loadVectors()
	r.dropUnread()
	for id, k := range r.cards {
		switch {
		case k.refs == 0:
			delete(r.cards, id)
			r.persist(lineCard, id.lineKey())
		case !k.saved:
			k.saved = true
			r.persist(lineCard, id.lineKey())
		}
	}
	r.load, r.loaded = nil, true
	r.settle.loaded(r)
	r.begun()
	return r.end()
}

// cardsMissing says whether keys are indexed by a card that is neither on disk, as it
// was when they were, nor known to the driver.
func (r *Replica) cardsMissing() bool {
	for id, k := range r.cards {
		if k.refs > 0 && !k.saved && !bytes.Equal(k.data, r.cfg.Card(id.node, id.incarnation)) {
			return true
		}
	}
	return false
}

// loadVectors takes up what was received, as far as it is of this generation.
func (r *Replica) loadVectors() {
	for id, c := range r.load.seen {
		if c.gen == r.gen {
			r.durable.replace(id, c.seen)
			for s := range c.seen.All() {
				r.incarnations[id] = max(r.incarnations[id], s.Hi.Incarnation)
			}
		}
	}
	maps.DeleteFunc(r.durable.nodes, func(_ crux.NodeID, t *track) bool { return t.keys.n == 0 && t.seen.Empty() })
}

// dropUnread deletes the lines of keys that cannot be read or proved, and deltas of
// keys that are not there.
func (r *Replica) dropUnread() {
	l := r.load
	for _, key := range slices.Sorted(maps.Keys(l.apart)) {
		r.stats.Corrupt++
		r.persist(lineKey, key)
	}
	for _, key := range slices.Sorted(maps.Keys(l.deltas)) {
		if r.find(key) != nil {
			continue
		}
		for i := range l.deltas[key].list {
			r.disk.lines = append(r.disk.lines, deltaLine(key, l.deltas[key].list[i].n))
		}
	}
}

// sayBegun tells all that those before this incarnation have ended.
func (r *Replica) sayBegun() {
	r.saidBegun = true
	r.cast(&Update{Incarnation: r.actor.Incarnation, Clock: r.clock.today(r.now)})
}

// begun is called once the disk was read: the others learn that the incarnation has
// begun, and those before it have ended.
func (r *Replica) begun() {
	switch top := topOf(r.durable.seen(r.self), r.self); {
	case top.Incarnation > r.actor.Incarnation:
		r.out.Renew = true // it has been used already
	case top.Incarnation == r.actor.Incarnation: // a handover; Import says the rest
		r.seq = top.Seq
	}
	if !r.cfg.First {
		r.sayBegun()
	}
	for _, id := range r.peerIDs {
		r.greet(r.peers[id])
	}
}
