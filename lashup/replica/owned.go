package replica

import (
	"slices"

	"fulcrum.example/lashup/crdt"
)

// batchID names a verified batch.
type batchID struct {
	root hash
	sig  [sigSize]byte
}

// maxVerified bounds the batches that are remembered as verified beside those that
// keys refer to.
const maxVerified = 4096

// trust is what came of checking a batch.
type trust uint8

const (
	forged  trust = iota + 1
	unknown       // there is no card to check it by
	proven
)

// check finds a batch that was verified, or verifies it. offered are cards that
// came with it.
func (r *Replica) check(id cardID, root hash, p *Proof, offered []Card) (*batch, trust) {
	memo := batchID{root, p.Sig}
	if b := r.batches[memo]; b != nil && b.cardID == id && b.leaves == p.Leaves {
		return b, proven
	}
	result := unknown
	try := func(card []byte) bool {
		if len(card) == 0 || len(card) > MaxCard {
			return false
		}
		result = forged
		return r.cfg.Verify(id.node, id.incarnation, card, root[:], p.Sig[:])
	}
	card := r.cardData(id)
	if !try(card) {
		i, ok := slices.BinarySearchFunc(offered, id, func(c Card, id cardID) int { return c.id().compare(id) })
		if !ok || !try(offered[i].Data) {
			return nil, result
		}
		card = slices.Clone(offered[i].Data)
	}
	b := &batch{cardID: id, card: card, leaves: p.Leaves, sig: p.Sig}
	if len(r.batches) >= maxVerified {
		clear(r.batches)
	}
	r.batches[memo] = b
	return b, proven
}

// signedItem is an item of a bundle whose key has an owner.
type signedItem struct {
	*Value
	place place
	state *crdt.State // what came
	mark  crdt.Mark
}

// takeBatch takes in the items of one batch. It says whether nothing is missing
// now of what they tell.
func (r *Replica) takeBatch(p *Proof, list []*Value, t *taking) bool {
	items := make([]signedItem, 0, len(list))
	for _, v := range list {
		x, ok := r.readSigned(v)
		if !ok || len(items) > 0 && (x.place.owner != items[0].place.owner || x.mark.Incarnation != items[0].mark.Incarnation) {
			r.stats.Forged++
			return true // nothing of it is the owner's word
		}
		items = append(items, x)
	}
	if r.members[items[0].place.owner] == Evicted {
		return true
	}
	slices.SortFunc(items, func(a, b signedItem) int { return a.Leaf - b.Leaf })
	if p.Leaves == 1 {
		return r.takeLone(p, &items[0], t)
	}
	return r.takeProven(p, items, t)
}

// readSigned reads an item, which must be of its owner alone.
func (r *Replica) readSigned(v *Value) (x signedItem, ok bool) {
	x.Value = v
	if x.place, ok = placeOf(v.Key); !ok || len(v.State) > r.largest(v.Whole) {
		return x, false
	}
	s, err := crdt.Decode(v.State)
	if err != nil {
		return x, false
	}
	for span := range s.Context().All() {
		if span.Node != x.place.owner {
			return x, false
		}
		x.mark = span.Hi
	}
	x.state = s
	return x, x.mark.Seq > 0 && (x.place.owner != r.self || r.isPast(x.mark))
}

// isPast says whether this node has used a mark.
func (r *Replica) isPast(m crdt.Mark) bool {
	return m.Incarnation < r.actor.Incarnation ||
		m.Incarnation == r.actor.Incarnation && m.Seq <= max(r.seq, r.volatileSeq)
}

// takeLone takes in the item of a batch of one: its value is the proof's only leaf.
func (r *Replica) takeLone(p *Proof, x *signedItem, t *taking) bool {
	if r.isOld(x) {
		return true
	}
	c, ok := r.candidate(x)
	if !ok {
		return true
	}
	leaf := leafHash(r.cfg.Bloc, x.Key, x.mark, sumOf(c.state.Value()))
	b, how := r.check(cardID{x.place.owner, x.mark.Incarnation}, leaf, p, t.cards)
	switch {
	case how == proven:
		c.proof = &proof{batch: b, mark: x.mark}
		r.settleOwned(x, c)
		return true
	case how == forged && x.Whole:
		r.stats.Forged++
		return true
	}
	return false // no card yet, or what is here is not what the owner had
}

// takeProven takes in items of a batch of several. Their sums prove the batch, and
// then each value must have its sum.
func (r *Replica) takeProven(p *Proof, items []signedItem, t *taking) bool {
	at, leaves := make([]int, len(items)), make([]hash, len(items))
	for i := range items {
		x := &items[i]
		at[i] = x.Leaf
		leaves[i] = leafHash(r.cfg.Bloc, x.Key, x.mark, x.Sum)
		if i > 0 && at[i-1] == at[i] {
			r.stats.Forged++
			return true
		}
	}
	root, ways, ok := spread(p.Leaves, at, leaves, p.Hashes)
	if !ok {
		r.stats.Forged++
		return true
	}
	b, how := r.check(cardID{items[0].place.owner, items[0].mark.Incarnation}, root, p, t.cards)
	if how == forged {
		r.stats.Forged++
		return true
	}
	whole := true
	for i := range items {
		x := &items[i]
		if r.isOld(x) {
			continue
		}
		if how == unknown {
			whole = false
			continue
		}
		c, ok := r.candidate(x)
		if ok && sumOf(c.state.Value()) == x.Sum {
			c.proof = &proof{batch: b, mark: x.mark, leaf: x.Leaf, path: ways[i]}
			r.settleOwned(x, c)
			continue
		}
		if ok && x.Whole {
			r.stats.Forged++ // the sender's doing, not the owner's
		}
		whole = false
	}
	return whole
}

// isOld says whether what an item says is known, or has been superseded.
func (r *Replica) isOld(x *signedItem) bool {
	if x.Key == r.mending {
		return false
	}
	if x.place.volatile && x.mark.Incarnation < r.incarnations[x.place.owner] {
		return true
	}
	if rec := r.find(x.Key); rec != nil && rec.proof != nil && !r.doomed(rec) {
		return x.mark.Compare(rec.proof.mark) <= 0
	}
	return r.plane(x.place.volatile).seen(x.place.owner).Contains(crdt.Dot{
		Actor: crdt.Actor{Node: x.place.owner, Incarnation: x.mark.Incarnation}, Seq: x.mark.Seq,
	})
}

// candidate is the change that an item makes if it is proven. It is not ok if
// there is no room for it.
func (r *Replica) candidate(x *signedItem) (*change, bool) {
	if r.find(x.Key) == nil && !r.roomForOthers(x.place) {
		return nil, false
	}
	c := r.open(x.Key, x.place)
	c.what = x.state.Context()
	if x.Whole {
		c.state = x.state
		return c, true
	}
	if c.rec != nil && c.rec.is(recHot) {
		c.state = c.state.Clone() // it may turn out to be wrong
	}
	if c.rec == nil {
		c.state = seenOnly(r.plane(x.place.volatile).upTo(c.what))
	}
	c.state.Join(x.state)
	if !c.before.Empty() {
		c.joined = x.state
	}
	return c, true
}

// settleOwned carries out the change of a key that has an owner.
func (r *Replica) settleOwned(x *signedItem, c *change) {
	r.hear(x.place.owner, x.mark.Incarnation)
	r.emit(c)
	r.close(c)
}
