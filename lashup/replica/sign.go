package replica

import (
	"cmp"

	"fulcrum.example/crux"
)

// cardID names a card.
type cardID struct {
	node        crux.NodeID
	incarnation uint64
}

func (id cardID) compare(o cardID) int {
	return cmp.Or(id.node.Compare(o.node), cmp.Compare(id.incarnation, o.incarnation))
}

// keptCard is a card of which keys here have proofs.
type keptCard struct {
	data  []byte
	refs  int  // keys
	saved bool // it is on disk, for it is a durable key's
}

// sign signs changes of this node's own keys.
func (r *Replica) sign(list []*change) {
	for len(list) > 0 {
		n := min(len(list), maxLeaves)
		r.signBatch(list[:n])
		list = list[n:]
	}
}

func (r *Replica) signBatch(list []*change) {
	leaves := make([]hash, len(list))
	for i, c := range list {
		c.proof = &proof{mark: topOf(c.state.Context(), r.self), leaf: i}
		leaves[i] = leafHash(r.cfg.Bloc, c.key, c.proof.mark, sumOf(c.state.Value()))
	}
	root, ways := paths(leaves)
	b := &batch{cardID: cardID{r.self, r.actor.Incarnation}, leaves: len(list)}
	b.card = r.cardData(b.cardID)
	copy(b.sig[:], r.cfg.Sign(root[:]))
	for i, c := range list {
		c.proof.batch, c.proof.path = b, ways[i]
	}
}

func (r *Replica) cardData(id cardID) []byte {
	if k := r.cards[id]; k != nil {
		return k.data
	}
	return r.cfg.Card(id.node, id.incarnation)
}

// holdProof gives a record its proof, and keeps the card that belongs to it.
func (r *Replica) holdProof(rec *record, p *proof) {
	if p == nil {
		return
	}
	old := rec.proof
	rec.proof = p
	k := r.cards[p.batch.cardID]
	if k == nil {
		k = &keptCard{data: p.batch.card}
		r.cards[p.batch.cardID] = k
	}
	k.refs++
	if r.load == nil && !k.saved && !rec.is(recVolatile) {
		k.saved = true
		r.persist(lineCard, p.batch.lineKey())
	}
	r.release(old)
}

// release lets go of a proof.
func (r *Replica) release(p *proof) {
	if p == nil {
		return
	}
	id := p.batch.cardID
	k := r.cards[id]
	if k == nil {
		return
	}
	if k.refs--; k.refs > 0 {
		return
	}
	switch {
	case r.load == nil:
		delete(r.cards, id)
		if k.saved {
			r.persist(lineCard, id.lineKey())
		}
	case !k.saved:
		r.dropCard(id)
	} // else its line is there, and another key may come that needs it
}
