package replica

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// takeUpdate takes in another node's operations.
func (r *Replica) takeUpdate(origin crux.NodeID, m *Update) {
	if r.disk.bytes > 2*r.cfg.Limits.Unsaved || len(r.named) >= maxNames {
		r.stats.Dropped++ // the neighbours will have it when there is room
		return
	}
	r.hear(origin, m.Incarnation)
	if !r.clock.hear(m.Clock, r.now) {
		r.stats.FarFuture++
	}
	spans, news := make([]crdt.Span, len(m.Ranges)), false
	for i, x := range m.Ranges {
		spans[i] = crdt.Span{
			Node: origin,
			Lo:   crdt.Mark{Incarnation: m.Incarnation, Seq: x.Lo},
			Hi:   crdt.Mark{Incarnation: m.Incarnation, Seq: x.Hi},
		}
		news = news || !r.plane(m.Volatile).has(spans[i])
	}
	r.stats.Updates++
	whole := r.takeBundle(&m.Bundle, m.Volatile, nil, !news)
	for _, s := range spans {
		if whole {
			r.received(m.Volatile, s)
		}
	}
}

// takeBundle takes in values and deltas. It says whether nothing is missing now of
// what they tell; what was refused for good is not missing. known says that all of
// it was received before, so that only what owners have signed is looked at: for
// what was received, there is only the neighbours' word.
func (r *Replica) takeBundle(b *Bundle, volatile bool, offered []Card, known bool) bool {
	whole := true
	batches := make([][]*Value, len(b.Batches))
	for i := range b.Items {
		v := &b.Items[i]
		switch p, _ := placeOf(v.Key); {
		case p.volatile != volatile:
			r.stats.Malformed++
		case v.Batch > 0:
			batches[v.Batch-1] = append(batches[v.Batch-1], v)
		case !known:
			r.takeShared(v)
		}
	}
	for i, list := range batches {
		if len(list) > 0 && !r.takeBatch(&b.Batches[i], list, offered) {
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

// takeShared takes in a delta, or a whole state, of a key that all may write.
func (r *Replica) takeShared(v *Value) {
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
		c.state = seenOnly(r.durable.upTo(ctx))
		if own := r.early.deltas[v.Key]; own != nil {
			c.state.Join(own)
		}
	}
	c.what = ctx
	if err := c.state.Fits(delta, crdt.Limits{Value: r.largest(true)}); err != nil {
		r.stats.Oversized++
		return
	}
	if !c.state.Join(delta) {
		r.unname(c)
		return
	}
	if now := c.state.Context(); holed(now) { // what was received of the key is in it, so nothing else can be
		c.state.Join(seenOnly(r.durable.upTo(now)))
	}
	r.unname(c)
	r.emit(c)
	r.close(c)
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

// maxNames is how many keys with holes there may be before updates are dropped.
const maxNames = 1 << 16

// name notes that something is missing of a key: neighbours are asked for all of
// it.
func (r *Replica) name(key string) { r.named[key] = true }

// unname notes whether anything is missing of a key that has changed.
func (r *Replica) unname(c *change) {
	if holed(c.state.Context()) {
		r.name(c.key)
	} else {
		delete(r.named, c.key)
	}
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
		return rec.proof == nil || rec.proof.mark.Incarnation < incarnation
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
