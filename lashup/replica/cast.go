package replica

import (
	"slices"
	"strings"

	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/limit"
)

// castSize is the size up to which deltas go into one payload; a larger one goes
// alone.
const castSize = 48 << 10

// outbox holds what this node's operations have done since the last payload: a
// delta for each key, joined from those of several operations.
type outbox struct {
	items map[string]*outItem
	queue []*outItem // in the order in which they came
	bytes int
}

type outItem struct {
	key    string
	state  *crdt.State // nil: the record's own state goes
	ranges []Range
	whole  bool
	after  crdt.Mark
	proof  *proof
	size   int
	// touches is the size of the value.
	touches int
}

// post puts a local change into its outbox.
func (r *Replica) post(c *change) {
	box := &r.casts[planeIndex(c.place.volatile)]
	if box.items == nil {
		box.items = map[string]*outItem{}
	}
	x := box.items[c.key]
	if x == nil {
		x = &outItem{key: c.key, after: topOf(c.before, r.self)}
		box.items[c.key] = x
		box.queue = append(box.queue, x)
	}
	for _, rg := range c.ranges {
		x.ranges = addRange(x.ranges, rg)
	}
	switch x.whole = x.whole || c.whole || c.place.volatile; {
	case x.whole:
		x.state = nil
	case x.state == nil:
		x.state = c.delta
	default:
		x.state.Join(c.delta)
	}
	x.proof = c.proof
	box.bytes -= x.size
	if x.size = len(x.key) + 16; x.proof != nil {
		x.size += sigSize + hashSize*len(x.proof.path)
	}
	x.touches = c.state.Size()
	if x.whole {
		x.size += x.touches
	} else {
		x.size += x.state.Size()
	}
	box.bytes += x.size
}

func planeIndex(volatile bool) int {
	if volatile {
		return 1
	}
	return 0
}

// hurry sends at once when it has been quiet, and otherwise gathers for a while.
func (r *Replica) hurry() {
	if due := r.castLast + r.cfg.Params.Coalesce; r.now < due {
		r.castAt = min(r.castAt, due)
		return
	}
	r.flush()
}

// flush makes payloads of what the outboxes hold, as fast as it may.
func (r *Replica) flush() {
	r.castLast, r.castAt = r.now, never
	rate := limit.Rate{PerSecond: float64(r.cfg.Limits.CastRate), Burst: max(float64(r.cfg.Limits.CastRate)/8, 256<<10)}
	for i := range r.casts {
		for box := &r.casts[i]; len(box.queue) > 0; {
			n, size := box.next()
			if !r.bucket.Take(r.now, rate, float64(size)) {
				r.castAt = r.now + r.cfg.Params.Coalesce
				return
			}
			r.cast(r.payload(box, n, i == 1))
		}
	}
}

// next is how many items go into the next payload, and their size.
func (box *outbox) next() (n, size int) {
	for touched := 0; n < len(box.queue) && n < maxItems && touched < maxTouched; n++ {
		x := box.queue[n]
		if n > 0 && size+x.size > castSize {
			break
		}
		size += x.size
		touched += x.touches
	}
	return n, size
}

// payload takes the first n items out of an outbox.
func (r *Replica) payload(box *outbox, n int, volatile bool) *Update {
	m := &Update{Volatile: volatile, Incarnation: r.actor.Incarnation, Clock: max(r.clock.last, r.clock.today(r.now))}
	list := slices.Clone(box.queue[:n])
	box.queue = slices.Delete(box.queue, 0, n)
	slices.SortFunc(list, func(a, b *outItem) int { return strings.Compare(a.key, b.key) })
	var b bundler
	for _, x := range list {
		delete(box.items, x.key)
		box.bytes -= x.size
		for _, rg := range x.ranges {
			m.Ranges = addRange(m.Ranges, rg)
		}
		b.add(x.value(r.outgoing(x)), x.proof)
	}
	m.Bundle = b.bundle(r.valueSum)
	return m
}

func (x *outItem) value(state []byte) Value {
	v := Value{Key: x.key, State: state, Whole: x.whole}
	if !x.whole {
		v.After = x.after
	}
	return v
}

func (r *Replica) outgoing(x *outItem) []byte {
	if x.state != nil {
		return x.state.Append(make([]byte, 0, x.state.Size()))
	}
	if rec := r.find(x.key); rec != nil {
		return r.encoded(rec)
	}
	return (&crdt.State{}).Append(nil)
}

// valueSum is what a key reads as, for a proof.
func (r *Replica) valueSum(key string) hash {
	if rec := r.find(key); rec != nil {
		return sumOf(r.state(rec).Value())
	}
	return sumOf(crdt.Value{})
}

// cast multicasts a message.
func (r *Replica) cast(m Message) {
	b := m.Append(make([]byte, 0, m.Size()))
	r.stats.Casts++
	r.stats.CastBytes += uint64(len(b))
	r.out.Casts = append(r.out.Casts, b)
}
