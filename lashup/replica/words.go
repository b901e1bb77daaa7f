package replica

import (
	"slices"

	"fulcrum.example/crux"
)

// maxStrangers is how many words of nodes that are no members are kept and passed
// on: they may be, and this node has not heard.
const maxStrangers = 256

// heardWord is a word, to be passed on to those who did not tell it.
type heardWord struct {
	Word
	from crux.NodeID // who passed it on
}

// saved is called when more is on disk.
func (r *Replica) saved() {
	t := &r.settle
	if t.batch > 0 && !t.spoken && r.disk.saved >= t.batch {
		t.spoken = true
		r.addWord(Word{r.self, t.mark}, r.self)
		r.tryEnd()
	}
}

func (r *Replica) addWord(w Word, from crux.NodeID) {
	t := &r.settle
	old, ok := t.words[w.Node]
	if !ok && len(t.list) > 2*len(r.members)+maxStrangers {
		return
	}
	if !ok {
		t.list = append(t.list, heardWord{w, from})
	}
	if w.At.Compare(old) > 0 {
		t.words[w.Node] = w.At
	}
}

// takeVouch takes in words that a neighbour passes on.
func (r *Replica) takeVouch(p *peer, m *Vouch) {
	t := &r.settle
	if t.round == nil || m.ID != t.round.ID {
		if m.ID.Compare(t.latest()) > 0 {
			r.send(p, &Ask{Round: true})
		}
		return
	}
	for _, w := range m.Words {
		if w.Node == r.self && w.At.Incarnation >= r.actor.Incarnation {
			continue // nobody else gives this node's word
		}
		r.addWord(w, p.id)
	}
	r.tryEnd()
}

// tellWords passes words on to a neighbour, those that it has not been told and did
// not tell.
func (r *Replica) tellWords(p *peer) {
	t := &r.settle
	if t.round == nil {
		return
	}
	if p.wordsOf != t.round.ID {
		p.wordsOf, p.words = t.round.ID, 0
	}
	m := &Vouch{ID: t.round.ID}
	for ; p.words < len(t.list) && len(m.Words) < maxNodes/16; p.words++ {
		if w := &t.list[p.words]; w.from != p.id {
			m.Words = append(m.Words, w.Word)
		}
	}
	if len(m.Words) > 0 {
		r.send(p, m)
	}
}

// knowsWriters says whether all who have written anything that is not settled are
// known as members, or as none: a new member may have written before it was
// announced. After a while it is taken for one that has gone.
func (r *Replica) knowsWriters() bool {
	ok := true
	for id, x := range r.durable.nodes {
		if _, member := r.members[id]; member || r.settle.base.Vector.Covers(x.seen) {
			delete(r.unknown, id)
			continue
		}
		since, noted := r.unknown[id]
		if !noted {
			since = r.now
			r.unknown[id] = since
		}
		ok = ok && r.now >= since+r.cfg.Params.Grace
	}
	return ok
}

// closing says whether this node has vouched for a round that closes an
// incarnation: what is still on its way from there comes too late, or the round
// does not end.
func (r *Replica) closing(id crux.NodeID, incarnation uint64) bool {
	t := &r.settle
	if t.round == nil || t.batch == 0 || t.latest() == t.base.ID {
		return false
	}
	i, ok := slices.BinarySearchFunc(t.round.Close, id, func(c Closing, id crux.NodeID) int { return c.Node.Compare(id) })
	return ok && incarnation < t.round.Close[i].Before
}
