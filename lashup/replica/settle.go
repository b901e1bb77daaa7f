package replica

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"fulcrum.example/lashup/crdt"
)

// behindFor is how long a replica that knows the round which a neighbour says has
// ended waits for the words that would tell itself.
const behindFor = 20 * time.Second

// adopt makes a round the last that has ended. This replica has all of its vector.
func (r *Replica) adopt(m Settled) {
	t := &r.settle
	t.base, t.ready, t.work, t.tries = m, false, false, 0
	t.vouched = slices.DeleteFunc(t.vouched, func(id RoundID) bool { return id.Compare(m.ID) < 0 })
	for s := range m.Vector.All() {
		r.received(false, s) // closed incarnations have no more than was received
	}
	t.propose = max(t.propose, r.now+r.jitterUp(r.cfg.Params.Settle))
	t.at = min(t.at, r.now+settleEvery)
	r.stats.Rounds++
	r.persist(lineSettle, "")
	r.checkClosed()
}

// checkClosed asks for another incarnation if the others have closed this one.
func (r *Replica) checkClosed() {
	if top := topOf(r.settle.base.Vector, r.self); top.Incarnation > r.actor.Incarnation {
		r.out.Renew = true
	}
}

// takeStatus compares rounds with a neighbour's.
func (r *Replica) takeStatus(p *peer, m *Status) {
	t := &r.settle
	want := &Ask{Round: m.Round.Compare(t.latest()) > 0}
	if m.Settled.Compare(t.base.ID) > 0 {
		known := t.round != nil && t.round.ID == m.Settled
		switch {
		case !known:
			want.Settled = true
		case p.behindAt == 0:
			p.behindAt = r.now
		default:
			want.Settled = r.now >= p.behindAt+behindFor
		}
	} else {
		p.behindAt = 0
	}
	if want.Settled || want.Round {
		r.send(p, want)
	}
	if !m.Answer && (m.Settled.Compare(t.base.ID) < 0 || m.Round.Compare(t.latest()) < 0) {
		r.send(p, &Status{Answer: true, Settled: t.base.ID, Round: t.latest()})
	}
}

// takeAsk answers.
func (r *Replica) takeAsk(p *peer, m *Ask) {
	t := &r.settle
	if m.Settled && t.base.ID.Number > 0 {
		base := t.base
		r.send(p, &base)
	}
	if m.Round && t.round != nil {
		p.words = 0 // it could not take them before
		r.send(p, t.round)
	}
}

// takeSettled learns that a round has ended. Who vouched for it, or has everything
// of it, goes on from there; who has not was not waited for, and starts over.
func (r *Replica) takeSettled(p *peer, m *Settled) {
	t := &r.settle
	if m.ID.Compare(t.base.ID) <= 0 || m.ID.Number > t.base.ID.Number+maxLeap {
		return
	}
	p.behindAt = 0
	if slices.Contains(t.vouched, m.ID) || r.durable.covers(m.Vector) {
		r.adopt(*m)
		return
	}
	if !r.confirmed(p, m) {
		return
	}
	r.startOver(*m)
	r.send(p, r.freshDigest())
}

// confirmed says whether two neighbours say the same of a round that makes this
// node start over (or the one, where there is one only): the word of a single one
// must not cost what is here. The others are asked.
func (r *Replica) confirmed(p *peer, m *Settled) bool {
	p.claim = sha256.Sum256(m.Vector.Append(m.ID.append(nil))) // Own may have grown
	same := 0
	for _, id := range r.peerIDs {
		if other := r.peers[id]; other.claim == p.claim {
			same++
		}
	}
	if same >= min(2, len(r.peerIDs)) {
		return true
	}
	for _, id := range r.peerIDs {
		if other := r.peers[id]; other != p {
			r.send(other, &Ask{Settled: true})
		}
	}
	return false
}

func (r *Replica) freshDigest() *Digest {
	d := r.digest()
	d.Fresh = true
	return d
}

// fold brings a change's state into the form that it has when the incarnations
// that are closed now are folded: see crdt.State.Fold.
func (r *Replica) fold(rec *record, c *change) {
	t := &r.settle
	if !t.ready || rec.settled == uint32(t.base.ID.Number) || !c.place.owner.IsZero() && c.delta == nil {
		return
	}
	rec.settled = uint32(t.base.ID.Number)
	if r.foldState(c.state) {
		c.what.Union(c.before)
		c.what.Union(c.state.Context())
	}
}

func (r *Replica) foldState(s *crdt.State) (changed bool) {
	last := crdt.Span{}
	for x := range s.Context().All() {
		if x.Node == last.Node && last != (crdt.Span{}) {
			continue
		}
		last = x
		before := topOf(r.settle.base.Vector, x.Node).Incarnation
		if x.Lo.Incarnation < before && s.Fold(x.Node, before) {
			changed = true
		}
	}
	return changed
}

// appendVouched and loadVouched are the line of the rounds vouched for.
func (t *settling) appendVouched(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.vouched)))
	for _, id := range t.vouched {
		b = id.append(b)
	}
	return b
}

func (t *settling) loadVouched(in *reader) bool {
	t.vouched = nil
	for i, n := 0, in.Count(maxVouched, 9); i < n && !in.Bad(); i++ {
		t.vouched = append(t.vouched, in.roundID())
	}
	return in.Done()
}

// loaded is called when the disk was read.
func (t *settling) loaded(r *Replica) {
	t.work = len(r.tombs) > 0
	r.checkClosed()
}
