package replica

import (
	"slices"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// loadedProof is a proof as a line has it, until all cards have been read.
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
	if n := r.Count(maxLeaves, hashSize); n > 0 {
		p.path = make([]hash, n)
	}
	for i := range p.path {
		copy(p.path[i][:], r.Take(hashSize))
	}
	return p
}

// loading is what is known while lines are being read.
type loading struct {
	proofs map[*record]*loadedProof
	deltas map[string][]loadedDelta
	list   []*record
	seen   map[crux.NodeID]genContext
}

type genContext struct {
	gen  uint16
	seen crdt.Context
}

// Load takes in a line of the disk, in any order; of two with one key the later
// one counts. It is called before anything else. Corrupt: the line cannot be read;
// it is left out, and what is missing is fetched from the neighbours.
func (r *Replica) Load(key, value []byte) error {
	if r.load == nil {
		r.load = &loading{proofs: map[*record]*loadedProof{}, deltas: map[string][]loadedDelta{}, seen: map[crux.NodeID]genContext{}}
	}
	if len(key) > 0 && r.loadLine(key[0], string(key[1:]), newReader(value)) {
		return nil
	}
	r.stats.Corrupt++
	return crux.Errorf("read the store", crux.Corrupt, "the line %q with %d bytes cannot be read", key, len(value))
}

func (r *Replica) loadLine(kind byte, key string, in *reader) bool {
	switch kind {
	case lineKey:
		return r.loadRecord(key, in)
	case lineDelta:
		return r.loadDelta(key, in)
	case lineVector:
		gen := in.Uvarint()
		seen, err := crdt.DecodeContext(in.rest())
		in.Check(err == nil && len(key) == len(crux.NodeID{}) && gen < 1<<16)
		if in.Bad() {
			return false
		}
		r.load.seen[crux.NodeID([]byte(key))] = genContext{uint16(gen), seen}
	case lineCard:
		if len(key) != 16 || in.Len() > MaxCard {
			return false
		}
		r.cards[readCardID(key)] = &keptCard{data: slices.Clone(in.rest()), saved: true}
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
		r.resync, r.gen = resync, uint16(gen[0])<<8|uint16(gen[1])
	default:
		return false
	}
	return in.Done()
}

func (r *Replica) loadRecord(key string, in *reader) bool {
	gen := in.Uvarint()
	p := in.loadedProof()
	where, ok := placeOf(key)
	if in.Bad() || gen >= 1<<16 || !ok || where.volatile || !validKey(key) || (p == nil) != where.owner.IsZero() {
		return false
	}
	rec := &record{key: key, version: r.number, gen: uint16(gen), enc: string(in.rest())}
	r.load.list = append(r.load.list, rec)
	if p != nil {
		r.load.proofs[rec] = p
	}
	return true
}

// loadKeys puts the records in order. Of two with one key the later one counts.
func (r *Replica) loadKeys() {
	list := r.load.list
	slices.SortStableFunc(list, func(a, b *record) int { return strings.Compare(a.key, b.key) })
	n := 0
	for i, rec := range list {
		if i+1 < len(list) && list[i+1].key == rec.key {
			continue
		}
		list[n] = rec
		n++
		r.link(rec)
	}
	r.keys.fill(list[:n])
}

// LoadDone ends the reading of the disk. The replica is ready then.
func (r *Replica) LoadDone(now time.Duration) Ready {
	r.begin(now)
	if r.load == nil {
		r.load = &loading{}
	}
	for id, c := range r.load.seen {
		if c.gen == r.gen {
			r.durable.replace(id, c.seen)
			for s := range c.seen.All() {
				r.incarnations[id] = max(r.incarnations[id], s.Hi.Incarnation)
			}
		}
	}
	r.loadKeys()
	r.loadIndex()
	r.dropDeltas()
	for id, k := range r.cards {
		if k.refs == 0 {
			delete(r.cards, id)
			r.persist(lineCard, id.lineKey())
		}
	}
	r.load, r.loaded = nil, true
	r.settle.loaded(r)
	r.begun()
	return r.end()
}

// loadIndex reads the values of all records and makes what is derived from them.
func (r *Replica) loadIndex() {
	marks := map[crux.NodeID][]lastMark{}
	var bad []*record
	for rec := r.newest; rec != nil; rec = rec.older {
		s, err := crdt.Decode([]byte(rec.enc))
		if err != nil || !r.joinDeltas(rec, s) || !r.loadProof(rec, s) {
			r.stats.Corrupt++
			bad = append(bad, rec)
			continue
		}
		r.stats.Bytes += len(rec.enc)
		if _, ok := r.logs[rec]; ok {
			r.keep(rec, s)
		}
		if rec.set(recAbsent, s.Absent()); rec.is(recAbsent) {
			r.bury(rec)
		}
		if r.doomed(rec) {
			continue
		}
		ctx := s.Context()
		for x := range ctx.All() {
			marks[x.Node] = append(marks[x.Node], lastMark{x.Hi, rec})
		}
		if !rec.is(recAbsent) {
			rec.hash = valueHash(rec.key, s.Value())
			r.values += rec.hash
		}
		r.clock.hear(s.Latest(), r.now)
	}
	for id, list := range marks {
		slices.SortFunc(list, func(a, b lastMark) int {
			if c := a.mark.Compare(b.mark); c != 0 {
				return c
			}
			return strings.Compare(a.rec.key, b.rec.key)
		})
		r.durable.track(id).keys.fill(list)
	}
	for _, rec := range bad {
		rec.enc = ""
		r.persist(lineKey, rec.key)
		r.discard(rec)
	}
}

// loadProof checks the proof of a record that needs one.
func (r *Replica) loadProof(rec *record, s *crdt.State) bool {
	p := r.load.proofs[rec]
	if p == nil {
		return true
	}
	id := cardID{ownerOf(rec.key), p.mark.Incarnation}
	at := leafHash(r.cfg.Bloc, rec.key, p.mark, sumOf(s.Value()))
	root, ok := rootOf(p.leaves, p.leaf, at, p.path)
	if !ok {
		return false
	}
	b, t := r.check(id, root, &Proof{Leaves: p.leaves, Sig: p.sig}, nil)
	if t != proven {
		return false
	}
	r.holdProof(rec, &proof{batch: b, mark: p.mark, leaf: p.leaf, path: p.path})
	return true
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
	if r.actor.Incarnation > 1 {
		r.cast(&Update{Incarnation: r.actor.Incarnation, Clock: r.clock.today(r.now)})
	}
	for _, id := range r.peerIDs {
		r.greet(r.peers[id])
	}
}
