package replica

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// Write carries out requests. wall is the time of day. Requests that are refused
// are acknowledged, with their errors, in the Ready that this returns; others when
// they are on disk. Those that come in one call are signed, written to disk and
// cast together.
func (r *Replica) Write(now time.Duration, wall time.Time, reqs ...Request) Ready {
	r.begin(now)
	r.clock.set(wall, r.now)
	w := &writing{r: r, changes: map[string]*change{}}
	for i := range reqs {
		w.request(&reqs[i])
	}
	w.finish()
	return r.end()
}

// writing is a call of Write.
type writing struct {
	r       *Replica
	changes map[string]*change
	list    []*change // in the order in which they came
	fresh   int       // keys that are new
	bytes   int       // about what is to be written to disk
}

func (w *writing) request(q *Request) {
	r := w.r
	seq, volatileSeq, fresh, n := r.seq, r.volatileSeq, w.fresh, len(w.list)
	var saved undoList
	durable, err := false, w.mayWrite(len(q.Writes))
	for i := range q.Writes {
		if i > 0 && err == nil && w.bytes > BatchSize/2 {
			err = crux.Errorf("", crux.Exhausted, "the values that are to change take %d bytes: write to fewer keys at a time", w.bytes)
		}
		if err != nil {
			break
		}
		durable = durable || !q.Writes[i].Volatile
		err = w.write(&q.Writes[i], &saved, len(q.Writes) > 1)
	}
	if err != nil {
		r.seq, r.volatileSeq, w.fresh = seq, volatileSeq, fresh
		w.undo(saved, n)
		r.stats.Refused++
		r.out.Acks = append(r.out.Acks, Ack{Token: q.Token, Err: crux.Wrap("write", err)})
		return
	}
	for _, u := range saved {
		r.emit(u.c)
	}
	r.stats.Writes++
	ack := Ack{Token: q.Token, Version: r.version(r.number)}
	if durable {
		r.disk.acks = append(r.disk.acks, ack)
	} else {
		r.out.Acks = append(r.out.Acks, ack)
	}
}

// mayWrite says whether there is room for a request.
func (w *writing) mayWrite(writes int) error {
	const again = "try again when it has drained"
	r := w.r
	switch lim := &r.cfg.Limits; {
	case !r.loaded:
		return crux.Errorf("", crux.Unavailable, "the store has not been read from disk yet")
	case writes == 0:
		return crux.Errorf("", crux.Invalid, "there is nothing to write")
	case r.disk.failed:
		return crux.Errorf("", crux.Unavailable, "the disk has failed, and what was written then is not saved yet: %w", r.disk.why)
	case r.disk.bytes+w.bytes > lim.Unsaved:
		return crux.Errorf("", crux.Exhausted, "%d bytes are waiting for the disk: %s", r.disk.bytes+w.bytes, again)
	case r.casts[0].bytes+r.casts[1].bytes > lim.Casts:
		return crux.Errorf("", crux.Exhausted, "%d bytes are waiting to be sent to the other nodes: %s", r.casts[0].bytes+r.casts[1].bytes, again)
	}
	return nil
}

// write applies one operation. What it changes is put into saved as it was.
func (w *writing) write(x *Write, saved *undoList, many bool) error {
	r := w.r
	key, err := EncodeKey(x.Key)
	if err != nil {
		return err
	}
	p, err := r.mayHave(x, key)
	if err != nil {
		return err
	}
	c := w.changes[key]
	if c == nil {
		c = r.open(key, p)
		if err := w.room(c); err != nil {
			return err
		}
		w.changes[key] = c
		w.list = append(w.list, c)
		w.bytes += c.state.Size() + x.Op.Size()
	}
	if saved.add(c) {
		if many { // the operation itself does nothing when it fails, but those before it have
			c.state = c.state.Clone()
			if c.delta != nil {
				c.delta = c.delta.Clone()
			}
			c.ranges = slices.Clone(c.ranges)
		}
	}
	return w.apply(c, x)
}

// readable is a key as people write it.
func readable(key []string) string {
	q := strconv.Quote(strings.Join(key, "/"))
	return q[1 : len(q)-1]
}

// mayHave says whose the key of a write is, if this node may write it.
func (r *Replica) mayHave(x *Write, key string) (place, error) {
	p, ok := placeOf(key)
	switch {
	case !ok:
		return p, crux.Errorf("", crux.Invalid, "%s is not a key: keys below %s/ go on with a node's ID and a name", readable(x.Key), ownedElement)
	case !p.owner.IsZero() && p.owner != r.self:
		return p, crux.Errorf("", crux.Denied, "%s belongs to node %s: only that one writes it", readable(x.Key), p.owner)
	case p.volatile != x.Volatile:
		return p, crux.Errorf("", crux.Invalid, "keys below %s/%s/%s are volatile, and no others: %s", ownedElement, r.self, volatileElement, readable(x.Key))
	}
	return p, nil
}

// room says whether there is room for the key of a change, if it is new.
func (w *writing) room(c *change) error {
	if c.rec != nil {
		return nil
	}
	lim := &w.r.cfg.Limits
	w.fresh++
	if n := w.r.keys.n + w.fresh; n > lim.Keys {
		return crux.Errorf("", crux.Exhausted, "there would be %d keys: %d are allowed", n, lim.Keys)
	}
	if n := w.r.volatileKeys[w.r.self] + w.fresh; c.place.volatile && n > lim.Volatile {
		return crux.Errorf("", crux.Exhausted, "there would be %d volatile keys: %d are allowed", n, lim.Volatile)
	}
	return nil
}

// apply carries out an operation on a change's state.
func (w *writing) apply(c *change, x *Write) error {
	r := w.r
	seq := &r.seq
	if c.place.volatile {
		seq = &r.volatileSeq
	}
	dots := x.Op.Dots()
	delta, err := c.state.Apply(x.Op, crdt.Dot{Actor: r.actor, Seq: *seq + 1}, r.clock.next(r.now), x.Seen, crdt.Limits{Value: r.cfg.Limits.Value})
	if err != nil {
		return err
	}
	c.ranges = addRange(c.ranges, Range{*seq, *seq + dots})
	*seq += dots
	if c.delta == nil {
		c.delta = delta
	} else {
		c.delta.Join(delta)
	}
	return nil
}

// undoList is what a request has changed, as it was before.
type undoList []struct {
	c   *change
	was change
}

// add notes what a change is, once.
func (l *undoList) add(c *change) bool {
	for _, u := range *l {
		if u.c == c {
			return false
		}
	}
	*l = append(*l, struct {
		c   *change
		was change
	}{c, *c})
	return true
}

// undo takes back what a request did before it failed.
func (w *writing) undo(saved undoList, n int) {
	for _, u := range saved {
		*u.c = u.was
	}
	for _, c := range w.list[n:] {
		delete(w.changes, c.key)
	}
	w.list = w.list[:n]
}

// finish signs, keeps and sends what was changed.
func (w *writing) finish() {
	r := w.r
	var owned []*change
	for _, c := range w.list {
		if c.place.owner == r.self {
			owned = append(owned, c)
		}
	}
	r.sign(owned)
	for _, c := range w.list {
		c.what = c.delta.Context()
		if c.rec != nil && !c.before.Empty() {
			c.joined = c.delta
		}
		if !c.place.volatile {
			r.early.add(c)
		}
		r.close(c)
		r.post(c)
		for _, x := range c.ranges {
			r.received(c.place.volatile, crdt.Span{
				Node: r.self,
				Lo:   crdt.Mark{Incarnation: r.actor.Incarnation, Seq: x.Lo},
				Hi:   crdt.Mark{Incarnation: r.actor.Incarnation, Seq: x.Hi},
			})
		}
	}
	if len(w.list) > 0 {
		r.hurry()
	}
}
