package replica

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

const (
	// chunkSize is the size of a Chunk, in bytes, beyond its last item.
	chunkSize = 48 << 10
	// fragmentSize is the size of a state from which on a part of it is sent,
	// if the receiver can do with one.
	fragmentSize = 512
	// maxGiven bounds what is remembered of a pull.
	maxGiven = 1 << 16
	// maxTouched bounds the values that a Chunk, or a payload, is about, in bytes:
	// the receiver writes all of them to disk.
	maxTouched = 16 << 20
)

// serving is the making of a Chunk.
type serving struct {
	r       *Replica
	want    *Want
	vec     *vector
	mine    []uint64 // sums
	given   map[*record]uint64
	here    map[*record]bool
	bundler bundler
	cards   []Card
	covered crdt.Context
	touched int  // bytes of whole values
	full    bool // there is no room for more
}

// takeWant answers.
func (r *Replica) takeWant(p *peer, m *Want) {
	if !m.Volatile && m.Settled != r.settle.base.ID.hash() {
		r.send(p, &Status{Settled: r.settle.base.ID, Round: r.settle.latest()})
		return
	}
	i := planeIndex(m.Volatile)
	if m.First || p.given[i] == nil || len(p.given[i]) > maxGiven {
		p.given[i] = map[*record]uint64{}
	}
	vec := r.plane(m.Volatile)
	s := &serving{r: r, want: m, vec: vec, mine: vec.groups(len(m.Sums)), given: p.given[i], here: map[*record]bool{}}
	out := &Chunk{Nonce: m.Nonce, Volatile: m.Volatile}
	for _, id := range vec.ids() {
		if m.Groups.has(groupOf(id, len(m.Sums))) && !s.node(id) {
			out.More = true
			break
		}
	}
	out.Bundle, out.Covered = s.bundler.bundle(r.valueSum), s.covered
	sortCards(s.cards)
	out.Cards = s.cards
	r.send(p, out)
	if m.First && !vec.covers(m.Have) && r.mayPull(p, m.Volatile) {
		r.startPull(p, m.Volatile, s.mine, m.Sums)
	}
}

// node answers what is lacking of a node's operations, the latest ones first, and
// says whether that is all. A key is sent if the end of a span of its context is
// not in the receiver's vector. So an operation after the mark that was reached is
// in what was sent, or the receiver has a later one on the same key, and with it
// all that the node had done to the key before.
func (s *serving) node(id crux.NodeID) bool {
	t := s.vec.nodes[id]
	have := s.want.Have.Intersect(allOf(id))
	lacks := t.seen.Minus(have)
	if lacks.Empty() {
		return true
	}
	lowest := crdt.Mark{}
	for x := range lacks.All() {
		lowest = x.Lo
		break
	}
	at, ok := t.keys.prev(spot{len(t.keys.chunks), 0})
	for ok && t.keys.n > 0 {
		x := t.keys.at(at)
		if x.mark.Compare(lowest) <= 0 {
			break
		}
		if lo, in := within(have, x.mark); in {
			at, ok = t.keys.prev(t.after(lo))
			continue
		}
		if s.full {
			rest := crdt.Span{Node: id, Lo: x.mark, Hi: topOf(t.seen, id)}
			s.covered.Union(t.seen.Intersect(spanContext(rest)))
			return false
		}
		s.offer(x.rec)
		at, ok = t.keys.prev(at)
	}
	s.covered.Union(t.seen)
	return true
}

// within says whether a mark is in c, which is of one node, and where the span
// begins that it is in.
func within(c crdt.Context, m crdt.Mark) (lo crdt.Mark, ok bool) {
	for s := range c.All() {
		if s.Lo.Compare(m) < 0 && m.Compare(s.Hi) <= 0 {
			return s.Lo, true
		}
	}
	return crdt.Mark{}, false
}

// offer adds a record, unless the neighbour has got it in this pull already.
func (s *serving) offer(rec *record) {
	if s.here[rec] || s.given[rec] == rec.version || s.r.doomed(rec) {
		return
	}
	if len(rec.enc) > 0 && len(rec.enc) <= fragmentSize || rec.proof != nil {
		s.add(rec, s.r.encoded(rec))
		return
	}
	state := s.r.state(rec)
	part := state.Fragment(s.has(state.Context()))
	s.add(rec, part.Append(make([]byte, 0, part.Size())))
}

// has is what the neighbour has received of the nodes in c.
func (s *serving) has(c crdt.Context) crdt.Context {
	n := len(s.mine)
	var out crdt.Context
	for id := range tops(c) {
		switch g := groupOf(id, n); {
		case s.want.Groups.has(g):
			out.Union(s.want.Have.Intersect(allOf(id)))
		case s.mine[g] == s.want.Sums[g]:
			out.Union(s.vec.seen(id))
		}
	}
	return out
}

func (s *serving) add(rec *record, state []byte) {
	if s.here[rec] {
		return
	}
	s.here[rec] = true
	s.given[rec] = rec.version
	s.bundler.add(Value{Key: rec.key, State: state, Whole: rec.proof != nil}, rec.proof)
	if p := rec.proof; p != nil {
		s.cards = addCard(s.cards, p.batch)
	}
	s.touched += max(len(rec.enc), s.r.hotSizes[rec])
	s.full = s.bundler.size >= chunkSize || s.touched >= maxTouched || len(s.bundler.items) >= maxItems/2
}

// addCard adds the card of a batch to a list, once.
func addCard(list []Card, b *batch) []Card {
	for i := range list {
		if list[i].Node == b.node && list[i].Incarnation == b.incarnation {
			return list
		}
	}
	return append(list, Card{b.node, b.incarnation, b.card})
}
