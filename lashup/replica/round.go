package replica

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// What is settled is known to be on the disk of every member that counts, and to
// have been seen by every operation that has not come here yet. Only then may a
// tombstone be forgotten, and the floors of counters in it (causal stability), and
// a closed incarnation be folded.
//
// Keeping every member's vector at every member would take memory with the square
// of their number. Instead one of them proposes what it has received (a Round,
// multicast). Each member vouches for the round once it has all of that on disk,
// and says at which of its own operations it was: those up to there may not know
// of what is settled, later ones do. Neighbours pass these words on, each once over
// each link. Who has the words of all stable members knows that the round has
// ended; and once he has received their operations up to what they said, nothing
// that does not know of what is settled can come any more.

// settling is this replica's part in rounds.
type settling struct {
	base  Settled // the last round that has ended
	ready bool    // all of base.Own has been received

	round  *Round // the latest, or nil
	came   time.Duration
	words  map[crux.NodeID]crdt.Mark
	list   []heardWord // in the order in which they came
	mark   crdt.Mark   // where this node was when it had everything
	batch  uint64      // which has everything on disk; 0: it has not got it yet
	spoken bool

	vouched []RoundID // the rounds after base that this node vouched for
	tries   int       // rounds since base
	at      time.Duration
	propose time.Duration // not before
	work    bool          // there are tombstones
}

const (
	settleEvery = time.Second // while a round is under way
	maxVouched  = 64
	// maxLeap bounds how far ahead the number of a round may be.
	maxLeap = 1 << 20
)

func (t *settling) init(r *Replica) {
	t.words = map[crux.NodeID]crdt.Mark{}
	t.at = r.now + settleEvery
	t.propose = r.now + r.jitterUp(r.cfg.Params.Settle)
}

// jitterUp is d to 2d.
func (r *Replica) jitterUp(d time.Duration) time.Duration {
	return d + time.Duration(r.cfg.Rand.Int64N(int64(d)))
}

// latest is the ID of the latest round.
func (t *settling) latest() RoundID {
	if t.round != nil && t.round.ID.Compare(t.base.ID) > 0 {
		return t.round.ID
	}
	return t.base.ID
}

// tickSettle goes on with the round, or proposes one.
func (r *Replica) tickSettle() {
	t := &r.settle
	t.at = r.now + settleEvery
	if !t.ready && r.durable.covers(t.base.Own) {
		t.ready = true
		r.sweep.restart(r.now)
	}
	r.tryVouch()
	r.tryEnd()
	open := t.latest() != t.base.ID
	switch {
	case r.now < t.propose || open && r.now < t.came+t.patience(r.cfg.Params.Settle):
	case r.resync || !r.counts() || !t.work && !r.mayClose():
		t.propose = r.now + r.jitterUp(r.cfg.Params.Settle)
	default:
		r.proposeRound()
	}
	if !open && t.ready {
		t.at = min(r.now+30*settleEvery, max(t.propose, t.at))
	}
}

// patience is how long a round may take before there is another one. It grows: most
// often a member is down, and another round would not end any sooner.
func (t *settling) patience(d time.Duration) time.Duration { return 3 * d << min(t.tries, 6) }

// mayClose says whether there are incarnations to close.
func (r *Replica) mayClose() bool {
	for _, x := range r.durable.nodes {
		if x.seen.Len() > 1 {
			return true
		}
	}
	return false
}

// counts says whether this node may propose: it must be a stable member, and so
// must most of all members be, so that two parts of the bloc that do not hear each
// other never settle different things.
func (r *Replica) counts() bool {
	stable, all := 0, 0
	for _, s := range r.members {
		if s != Evicted {
			all++
		}
		if s == Stable {
			stable++
		}
	}
	return r.members[r.self] == Stable && 2*stable > all
}

func (r *Replica) proposeRound() {
	t := &r.settle
	m := &Round{ID: RoundID{t.latest().Number + 1, r.self}}
	for _, id := range r.durable.ids() {
		seen := r.durable.nodes[id].seen
		before := topOf(seen, id).Incarnation
		if r.members[id] == Evicted && topOf(seen, id).Seq > 0 {
			before++
		}
		closed := false
		for s := range seen.All() {
			if s.Lo.Seq == 0 || s.Hi.Incarnation < before { // of what goes on, what is before a hole
				m.Vector.AddSpan(s)
			}
			closed = closed || s.Lo.Incarnation == 0 && s.Hi.Compare(crdt.Mark{Incarnation: before}) >= 0
		}
		if !closed && before > 0 {
			m.Close = append(m.Close, Closing{id, before})
		}
	}
	r.cast(m)
	r.takeRound(m)
}

// takeRound joins a round, if it is later than all that is known.
func (r *Replica) takeRound(m *Round) {
	t := &r.settle
	last := t.latest()
	if m.ID.Compare(last) <= 0 || m.ID.Number > last.Number+maxLeap {
		return
	}
	t.round, t.came = m, r.now
	t.tries++
	t.list, t.mark, t.batch, t.spoken = nil, crdt.Mark{}, 0, false
	clear(t.words)
	t.propose = max(t.propose, r.now+r.jitterUp(r.cfg.Params.Settle))
	t.at = min(t.at, r.now+settleEvery)
	r.tryVouch()
}

// tryVouch notes when everything of the round is here. When that is on disk, so is
// that this node vouches for it.
func (r *Replica) tryVouch() {
	t := &r.settle
	if t.round == nil || t.batch > 0 || r.resync || !r.durable.covers(t.round.Vector) {
		return
	}
	for _, c := range t.round.Close {
		if !r.agrees(c) {
			return
		}
	}
	past := spanContext(crdt.Span{Node: r.self, Hi: crdt.Mark{Incarnation: r.actor.Incarnation}})
	if !t.round.Vector.Covers(r.durable.seen(r.self).Intersect(past)) {
		return // the word is of this incarnation: it cannot speak for what earlier ones did
	}
	t.mark = crdt.Mark{Incarnation: r.actor.Incarnation, Seq: r.seq}
	t.vouched = append(t.vouched, t.round.ID)
	if n := len(t.vouched); n > maxVouched {
		t.vouched = slices.Delete(t.vouched, 0, n-maxVouched)
	}
	r.persist(lineWords, "")
	t.batch = r.disk.batch + 1
}

// agrees says whether the incarnations that a round closes have ended, and the
// round has what this replica has of them.
func (r *Replica) agrees(c Closing) bool {
	top := topOf(r.durable.seen(c.Node), c.Node)
	over := r.members[c.Node] == Evicted ||
		max(r.incarnations[c.Node], top.Incarnation, topOf(r.settle.round.Vector, c.Node).Incarnation) >= c.Before
	if c.Node == r.self {
		over = c.Before <= r.actor.Incarnation
	}
	closed := spanContext(crdt.Span{Node: c.Node, Hi: crdt.Mark{Incarnation: c.Before}})
	return over && r.durable.seen(c.Node).Intersect(closed).Equal(r.settle.round.Vector.Intersect(closed))
}

// tryEnd ends the round when all who count have vouched.
func (r *Replica) tryEnd() {
	t := &r.settle
	if t.round == nil || t.round.ID.Compare(t.base.ID) <= 0 || !t.spoken || !r.counts() {
		return
	}
	for id, s := range r.members {
		if _, ok := t.words[id]; s == Stable && !ok {
			return
		}
	}
	if !r.knowsWriters() {
		return
	}
	end := Settled{ID: t.round.ID, Vector: t.round.Vector.Clone()}
	for _, c := range t.round.Close {
		end.Vector.AddSpan(crdt.Span{Node: c.Node, Hi: crdt.Mark{Incarnation: c.Before}})
	}
	for id, at := range t.words {
		end.Own.AddSpan(crdt.Span{Node: id, Lo: crdt.Mark{Incarnation: at.Incarnation}, Hi: at})
	}
	r.adopt(end)
}
