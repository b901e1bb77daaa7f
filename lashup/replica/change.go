package replica

import "fulcrum.example/lashup/crdt"

// change is a key on its way to another value.
type change struct {
	key    string
	place  place
	rec    *record
	state  *crdt.State
	before crdt.Context // of what rec holds
	what   crdt.Context // of the deltas that were joined: whose marks may have moved

	watched bool
	old     crdt.Value // what watchers know; of type 0 if it is not watched
	version uint64
	proof   *proof
	// joined is all that was joined into what rec holds; nil: it was replaced, or
	// there was nothing.
	joined *crdt.State

	// Of local writes.
	delta  *crdt.State
	ranges []Range
	whole  bool // others are to get all of it, not the delta
}

// open prepares the change of a key. The state is a copy, but for large ones that
// nobody needs to undo.
func (r *Replica) open(key string, p place) *change {
	c := &change{key: key, place: p, rec: r.find(key)}
	switch {
	case c.rec == nil:
		c.state = &crdt.State{}
	case r.doomed(c.rec):
		c.state = &crdt.State{}
		if c.watched = r.watches.match(key); c.watched {
			c.old = r.state(c.rec).Value()
		}
		return c
	default:
		c.state = r.state(c.rec)
		c.before = c.state.Context()
	}
	if c.watched = r.watches.match(key); c.watched {
		c.old = c.state.Value()
	}
	return c
}

// received notes what was received.
func (r *Replica) received(volatile bool, s crdt.Span) {
	if r.plane(volatile).add(s) && !volatile {
		r.persistVector(s.Node)
	}
}

// emit gives a change its version and tells the watchers.
func (r *Replica) emit(c *change) {
	r.number++
	c.version = r.number
	if !c.watched {
		return
	}
	now := c.state.Value()
	if !sameValue(c.old, now) {
		r.tell(c.key, c.old, now, c.version)
		c.old = now
	}
}

func (r *Replica) version(n uint64) Version { return Version{r.cfg.Incarnation, n} }

// close puts a change's state in place of what was there.
func (r *Replica) close(c *change) {
	rec := c.rec
	fresh := rec == nil
	if fresh {
		rec = &record{key: c.key, gen: r.gen}
		rec.set(recVolatile, c.place.volatile)
		if c.place.volatile {
			r.volatileKeys[c.place.owner]++
		}
	}
	rec.version = c.version
	if fresh {
		r.insert(rec)
	} else {
		r.unlink(rec)
		r.link(rec)
	}
	r.fold(rec, c)
	now := c.state.Context()
	if c.before.Empty() {
		c.what = now
	}
	r.plane(c.place.volatile).move(rec, c.what, c.before, now)
	r.holdProof(rec, c.proof)
	if rec.gen != r.gen {
		rec.gen, c.joined = r.gen, nil // deltas go with a value of their generation
	}
	r.keep(rec, c.state)
	if absent := c.state.Absent(); absent != rec.is(recAbsent) {
		rec.set(recAbsent, absent)
		if absent {
			r.bury(rec)
			r.settle.work = true
		}
	}
	r.soil(rec)
	r.save(rec, c.joined)
}
