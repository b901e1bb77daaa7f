package replica

import (
	"slices"

	"fulcrum.example/lashup/crdt"
)

// takeFetch answers.
func (r *Replica) takeFetch(p *peer, m *Fetch) {
	if !r.mayCompare(p) {
		return
	}
	out := &Repair{Asked: m.Keys}
	var b bundler
	r.eachLeafRecord(m.Keys, func(rec *record, _ uint64) {
		if b.size < maxMessage/2 {
			b.add(Value{Key: rec.key, State: r.encoded(rec), Whole: rec.proof != nil}, rec.proof)
			if rec.proof != nil {
				out.Cards = addCard(out.Cards, rec.proof.batch)
			}
		}
	})
	out.Bundle = b.bundle(r.valueSum)
	sortCards(out.Cards)
	r.send(p, out)
}

func (r *Replica) eachLeafRecord(keys []uint64, f func(*record, uint64)) {
	for rec := r.newest; rec != nil; rec = rec.older {
		if rec.is(recVolatile|recAbsent) || r.doomed(rec) {
			continue
		}
		h := hashOf([]byte(rec.key))
		if _, ok := slices.BinarySearch(keys, h); ok {
			f(rec, h)
		}
	}
}

// takeRepair replaces values that two neighbours agree on.
func (r *Replica) takeRepair(p *peer, m *Repair) {
	items := make(map[uint64]*Value, len(m.Items))
	for i := range m.Items {
		items[hashOf([]byte(m.Items[i].Key))] = &m.Items[i]
	}
	here := map[uint64]*record{}
	r.eachLeafRecord(m.Asked, func(rec *record, h uint64) { here[h] = rec })
	for _, h := range m.Asked {
		s, ok := r.suspect[h]
		if !ok || !s.sure || s.peer != p.id {
			continue
		}
		delete(r.suspect, h)
		r.mend(here[h], items[h], s.value, m)
	}
}

// mend puts a neighbour's value in place of what is here; either may be nil.
func (r *Replica) mend(rec *record, v *Value, value uint64, m *Repair) {
	switch {
	case v == nil && rec == nil, v == nil && value != 0, v != nil && value == 0:
		return // it has changed meanwhile
	case v == nil:
		if rec.proof != nil && r.proves(rec) {
			return // the owner's word is here
		}
		r.repaired(rec.key)
		r.dropOne(rec)
	case v.Batch > 0:
		r.mendOwned(v, m)
	default:
		state, err := crdt.Decode(v.State)
		if err != nil || valueHash(v.Key, state.Value()) != value || !r.plausible(state.Context()) {
			return
		}
		c := r.open(v.Key, place{})
		c.what = c.before.Clone()
		c.state = state
		c.what.Union(state.Context())
		r.repaired(v.Key)
		r.emit(c)
		r.close(c)
	}
}

// mendOwned puts what an owner has signed in place of what he has not.
func (r *Replica) mendOwned(v *Value, m *Repair) {
	rec := r.find(v.Key)
	if rec != nil && r.proves(rec) {
		return
	}
	if rec != nil {
		r.discard(rec)
	}
	before := r.stats.Forged
	r.mending = v.Key
	r.takeBatch(&m.Batches[v.Batch-1], r.ofBatch(m, v.Batch), &taking{cards: m.Cards})
	r.mending = ""
	if r.stats.Forged == before {
		r.repaired(v.Key)
	}
}

func (r *Replica) ofBatch(m *Repair, batch int) (list []*Value) {
	for i := range m.Items {
		if m.Items[i].Batch == batch {
			list = append(list, &m.Items[i])
		}
	}
	return list
}

// proves says whether a record is what its proof says.
func (r *Replica) proves(rec *record) bool {
	p := rec.proof
	at := leafHash(r.cfg.Bloc, rec.key, p.mark, sumOf(r.state(rec).Value()))
	root, ok := rootOf(p.batch.leaves, p.leaf, at, p.path)
	if !ok {
		return false
	}
	_, t := r.check(p.batch.cardID, root, &Proof{Leaves: p.batch.leaves, Sig: p.batch.sig}, nil)
	return t == proven
}

func (r *Replica) repaired(key string) {
	r.stats.Repaired++
	if elements, err := DecodeKey(key); err == nil {
		r.out.Repaired = append(r.out.Repaired, elements)
	}
}
