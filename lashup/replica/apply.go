package replica

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// waiting is an update that could not be used when it came, for something before it
// had not come.
type waiting struct {
	origin crux.NodeID
	update *Update
	until  time.Duration
	size   int
}

const (
	waitFor      = 10 * time.Second // a lost payload that comes at all comes sooner
	maxWaiting   = 256
	waitingBytes = 2 << 20
)

// takeUpdate takes in another node's operations.
func (r *Replica) takeUpdate(origin crux.NodeID, m *Update) {
	if r.disk.bytes > 2*r.cfg.Limits.Unsaved {
		r.stats.Dropped++ // the neighbours will have it when there is room
		return
	}
	r.stats.Updates++
	r.hear(origin, m.Incarnation)
	if !r.clock.hear(m.Clock, r.now) {
		r.stats.FarFuture++
	}
	if !r.tryUpdate(origin, m) {
		r.wait(origin, m)
		return
	}
	r.retryWaiting(origin)
}

// tryUpdate takes in an update, and says whether it could be used.
func (r *Replica) tryUpdate(origin crux.NodeID, m *Update) bool {
	spans, news := make([]crdt.Span, len(m.Ranges)), false
	for i, x := range m.Ranges {
		spans[i] = crdt.Span{
			Node: origin,
			Lo:   crdt.Mark{Incarnation: m.Incarnation, Seq: x.Lo},
			Hi:   crdt.Mark{Incarnation: m.Incarnation, Seq: x.Hi},
		}
		news = news || !r.plane(m.Volatile).has(spans[i])
	}
	if news && r.closing(origin, m.Incarnation) {
		return true // a round is under way that takes it for ended
	}
	if news && !m.Volatile && slices.ContainsFunc(m.Items, r.late(origin)) {
		return false
	}
	if !r.takeBundle(&m.Bundle, taking{volatile: m.Volatile, deltas: true, known: !news}) {
		return false
	}
	for _, s := range spans {
		r.received(m.Volatile, s)
	}
	return true
}

// late says of which items something that origin had done to the key before was not
// received. Of such an update nothing is taken in, so that replicas that have
// received the same hold the same.
func (r *Replica) late(origin crux.NodeID) func(Value) bool {
	seen := r.durable.seen(origin)
	return func(v Value) bool {
		d := crdt.Dot{Actor: crdt.Actor{Node: origin, Incarnation: v.After.Incarnation}, Seq: v.After.Seq}
		return v.After != crdt.Mark{} && !seen.Contains(d)
	}
}

// wait keeps an update for later.
func (r *Replica) wait(origin crux.NodeID, m *Update) {
	w := waiting{origin, m, r.now + waitFor, m.Size()}
	r.waiting = append(r.waiting, w)
	size := 0
	for i := len(r.waiting) - 1; i >= 0; i-- {
		if size += r.waiting[i].size; size > waitingBytes || len(r.waiting)-i > maxWaiting || r.waiting[i].until < r.now {
			r.waiting = slices.Delete(r.waiting, 0, i+1) // the neighbours have it
			return
		}
	}
}

// retryWaiting tries again what has waited of an origin, or of all (zero).
func (r *Replica) retryWaiting(origin crux.NodeID) {
	for again := len(r.waiting) > 0; again; {
		n := len(r.waiting)
		r.waiting = slices.DeleteFunc(r.waiting, func(w waiting) bool {
			return w.until < r.now || (origin.IsZero() || w.origin == origin) && r.tryUpdate(w.origin, w.update)
		})
		again = len(r.waiting) < n && len(r.waiting) > 0
	}
}

// taking says how the items of a bundle are taken in.
type taking struct {
	volatile bool
	deltas   bool   // they were multicast, and each is of one payload's operations
	cards    []Card // that came with it
	// known: all of it was received before, so only what owners have signed is
	// looked at: for what was received, there is only the neighbours' word.
	known bool
}

// takeBundle takes in values and deltas. It says whether all of them were used; what
// was refused for good counts as used.
func (r *Replica) takeBundle(b *Bundle, t taking) bool {
	whole := true
	batches := make([][]*Value, len(b.Batches))
	for i := range b.Items {
		v := &b.Items[i]
		switch p, _ := placeOf(v.Key); {
		case p.volatile != t.volatile:
			r.stats.Malformed++
		case v.Batch > 0:
			batches[v.Batch-1] = append(batches[v.Batch-1], v)
		case !t.known:
			r.takeShared(v, r.largest(!t.deltas))
		}
	}
	for i, list := range batches {
		if len(list) > 0 && !r.takeBatch(&b.Batches[i], list, &t) {
			whole = false
		}
	}
	return whole
}

// largest is the size of a value, or of a delta, that is taken from others.
func (r *Replica) largest(whole bool) int {
	if whole {
		return mergedFactor * r.cfg.Limits.Value
	}
	return r.cfg.Limits.Value + r.cfg.Limits.Value/16
}

// takeShared takes in a delta, or a whole state, of a key that all may write, of at
// most so many bytes.
func (r *Replica) takeShared(v *Value, most int) {
	if len(v.State) > most {
		r.stats.Oversized++
		return
	}
	delta, err := crdt.Decode(v.State)
	if err != nil {
		r.stats.Malformed++
		return
	}
	ctx := delta.Context()
	if !r.plausible(ctx) {
		r.stats.Forged++
		return
	}
	c := r.open(v.Key, place{})
	if c.rec == nil || r.doomed(c.rec) {
		if r.durable.covers(ctx) {
			return // of a key that was deleted, and then forgotten
		}
		if !r.roomForOthers(place{}) {
			return
		}
		if own := r.early.deltas[v.Key]; own != nil {
			c.state = own.Clone()
		}
		r.widen(c.state, ctx)
	}
	c.what = ctx
	if err := c.state.Fits(delta, crdt.Limits{Value: r.largest(true)}); err != nil {
		r.stats.Oversized++
		return
	}
	if !c.state.Join(delta) {
		return
	}
	if !c.before.Empty() {
		c.joined = delta
	}
	r.emit(c)
	r.close(c)
}

// widen lets the state of a shared key that was not here have seen everything that
// was received of the nodes in c, up to the last that c has of each: what was
// received was of other keys, or has gone.
func (r *Replica) widen(s *crdt.State, c crdt.Context) {
	if more := r.durable.upTo(c).Minus(s.Context()); !more.Empty() {
		s.Join(seenOnly(more))
	}
}

// plausible says whether nobody has seen what this node has not done yet.
func (r *Replica) plausible(ctx crdt.Context) bool {
	top := topOf(ctx, r.self)
	return top.Incarnation < r.actor.Incarnation ||
		top.Incarnation == r.actor.Incarnation && top.Seq <= r.seq
}

// roomForOthers says whether there is room for a key that others have made.
func (r *Replica) roomForOthers(p place) bool {
	if r.keys.n < 2*r.cfg.Limits.Keys && (!p.volatile || r.volatileKeys[p.owner] < r.cfg.Limits.Volatile) {
		return true
	}
	r.stats.Oversized++
	return false
}

// hear notes that an incarnation of a node has begun.
func (r *Replica) hear(id crux.NodeID, incarnation uint64) {
	if incarnation > r.incarnations[id] && id != r.self {
		r.incarnations[id] = incarnation
		r.closeVolatile(id, incarnation)
	}
}

// closeVolatile drops the volatile keys of earlier incarnations of a node.
func (r *Replica) closeVolatile(id crux.NodeID, incarnation uint64) {
	if r.volatile.nodes[id] == nil {
		return
	}
	r.drop(namespace(id)+volatileElement+"\x00", func(rec *record) bool {
		return rec.is(recVolatile) && rec.proof.mark.Incarnation < incarnation
	})
	r.volatile.add(crdt.Span{Node: id, Hi: crdt.Mark{Incarnation: incarnation}})
}

// drop removes records below a prefix, and tells the watchers.
func (r *Replica) drop(prefix string, pick func(*record) bool) {
	var list []*record
	r.below(prefix, func(rec *record) bool {
		if pick(rec) {
			list = append(list, rec)
		}
		return true
	})
	for _, rec := range list {
		r.dropOne(rec)
	}
}

func (r *Replica) dropOne(rec *record) {
	r.number++
	rec.version = r.number
	if !rec.is(recAbsent) && r.watches.match(rec.key) {
		r.tell(rec.key, r.state(rec).Value(), crdt.Value{}, rec.version)
	}
	if !rec.is(recVolatile) {
		r.persist(lineKey, rec.key)
	}
	r.discard(rec)
}

// seenOnly is the state of a key of which ctx has been seen and nothing is left.
func seenOnly(ctx crdt.Context) *crdt.State {
	const version, nothing = 1, 0 // of the encoding of states
	s, err := crdt.Decode(append(ctx.Append([]byte{version}), nothing))
	if err != nil {
		panic("replica: an empty state cannot be read: " + err.Error()) // the encoding has changed
	}
	return s
}
