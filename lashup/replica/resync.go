package replica

import (
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/limit"
)

// A replica that learns that others have settled what it never had cannot find out
// by comparing what it lacks: they have forgotten tombstones of keys that it still
// has. It starts over: it keeps its own namespace, and what it has written since it
// was opened until it first agreed with a neighbour; everything else is doomed. It
// can be read still, until the neighbours' values take its place; what nobody had
// when all was fetched is dropped. On disk the lines of what is doomed have a
// generation that is past.

// early is what this incarnation wrote to shared keys before it first agreed with
// a neighbour: it was acknowledged, and is kept when the replica starts over.
type early struct {
	deltas map[string]*crdt.State
	bytes  int
	over   bool
}

// maxEarly bounds the deltas that are kept, in bytes. A node that writes more on
// its own is not waiting for anybody.
const maxEarly = 8 << 20

func (e *early) add(c *change) {
	if e.over || !c.place.owner.IsZero() {
		return
	}
	s := e.deltas[c.key]
	if s == nil {
		s = &crdt.State{}
		e.deltas[c.key] = s
		e.bytes += len(c.key)
	}
	e.bytes -= s.Size()
	s.Join(c.delta)
	if e.bytes += s.Size(); e.bytes > maxEarly {
		e.end()
	}
}

func (e *early) end() { *e = early{over: true} }

// agreed is called when nothing that a neighbour has is missing here.
func (r *Replica) agreed() {
	if !r.resync && !r.early.over {
		r.early.end()
	}
	if len(r.suspect) > 0 {
		clear(r.suspect)
	}
}

// doomed says whether a record is of a generation that is past.
func (r *Replica) doomed(rec *record) bool {
	return r.resync && rec.gen != r.gen && !rec.is(recVolatile) && (rec.proof == nil || rec.proof.batch.node != r.self)
}

// startOver dooms what is here, and goes on from a round that has ended.
func (r *Replica) startOver(m Settled) {
	r.stats.Resyncs++
	r.gen++
	r.resync = true
	r.persist(lineGen, "")
	r.pulls[0] = nil
	r.forgetVector()
	r.tombs, r.values, r.dirty = nil, 0, r.dirty[:0]
	for rec := r.newest; rec != nil; rec = rec.older {
		if rec.is(recVolatile) {
			continue
		}
		rec.hash = 0
		rec.set(recDirty|recListed, false)
		if rec.is(recAbsent) {
			r.bury(rec)
		}
		if !r.doomed(rec) {
			r.durable.move(rec, r.state(rec).Context(), crdt.Context{}, r.state(rec).Context())
			r.soil(rec)
		}
	}
	t := &r.settle
	t.base, t.ready = m, false
	r.persist(lineSettle, "")
	r.keepEarly()
	r.checkClosed()
}

// forgetVector forgets what was received, but for what this incarnation has done
// itself.
func (r *Replica) forgetVector() {
	for _, id := range r.durable.ids() {
		r.persistVector(id)
	}
	r.durable = newVector()
	r.received(false, crdt.Span{
		Node: r.self,
		Lo:   crdt.Mark{Incarnation: r.actor.Incarnation},
		Hi:   crdt.Mark{Incarnation: r.actor.Incarnation, Seq: r.seq},
	})
}

// keepEarly puts what was written early in place of what is doomed.
func (r *Replica) keepEarly() {
	keys := make(map[string]bool, len(r.early.deltas))
	for key := range r.early.deltas {
		keys[key] = true
	}
	for _, key := range sortedKeys(keys) {
		c := r.open(key, place{})
		c.state = r.early.deltas[key].Clone()
		r.emit(c)
		r.close(c)
	}
}

// finishResync drops what nobody had, and says this node's namespace anew.
func (r *Replica) finishResync() {
	if !r.resync {
		return
	}
	var list []*record
	for rec := r.newest; rec != nil; rec = rec.older {
		if r.doomed(rec) {
			list = append(list, rec)
		}
	}
	for _, rec := range list {
		r.dropOne(rec)
	}
	r.resync = false
	r.persist(lineGen, "")
	r.republish(r.ownedBy(r.self))
}

// republishRate is how many keys are said anew because a neighbour holds something
// else: it may say so of all, without end.
var republishRate = limit.Rate{PerSecond: 64, Burst: 1024}

// republish says keys of this node anew, under marks of this incarnation: others
// may have dropped them.
func (r *Replica) republish(list []*record) {
	w := &writing{r: r, changes: map[string]*change{}}
	for _, rec := range list {
		if rec.proof == nil || rec.proof.batch.node != r.self || rec.is(recVolatile) {
			continue
		}
		c := r.open(rec.key, place{owner: r.self})
		if rec.is(recHot) {
			c.state = c.state.Clone()
		}
		top := crdt.Mark{Incarnation: r.actor.Incarnation}
		if t := topOf(c.before, r.self); t.Incarnation == top.Incarnation {
			top = t
		}
		c.ranges = []Range{{r.seq, r.seq + 1}}
		r.seq++
		seen := seenOnly(spanContext(crdt.Span{
			Node: r.self, Lo: top, Hi: crdt.Mark{Incarnation: top.Incarnation, Seq: r.seq},
		}))
		c.state.Join(seen)
		c.delta, c.whole = seen, true
		r.emit(c)
		w.list = append(w.list, c)
	}
	w.finish()
	r.stats.Republished += uint64(len(w.list))
}
