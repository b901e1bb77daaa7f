package replica

import (
	"slices"
	"strings"
	"time"

	"fulcrum.example/lashup/crdt"
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

// bucket is a token bucket of bytes.
type bucket struct {
	rate, burst int
	level       int
	at          time.Duration
}

func (b *bucket) init(rate int, now time.Duration) {
	b.rate, b.burst, b.at = rate, max(rate/8, 256<<10), now
	b.level = b.burst
}

func (b *bucket) fill(now time.Duration) {
	if d := min(now-b.at, time.Second); d > 0 {
		b.level = min(b.burst, b.level+int(int64(d)*int64(b.rate)/int64(time.Second)))
		b.at = now
	}
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
	r.bucket.fill(r.now)
	for i := range r.casts {
		for box := &r.casts[i]; len(box.queue) > 0; {
			if r.bucket.level <= 0 {
				r.castAt = r.now + r.cfg.Params.Coalesce
				return
			}
			r.cast(r.payload(box, i == 1))
		}
	}
}

// payload takes a payload's worth out of an outbox.
func (r *Replica) payload(box *outbox, volatile bool) *Update {
	m := &Update{Volatile: volatile, Incarnation: r.actor.Incarnation, Clock: max(r.clock.last, r.clock.today(r.now))}
	size, touched, n := 0, 0, 0
	for n < len(box.queue) && n < maxItems && touched < maxTouched && (n == 0 || size+box.queue[n].size <= castSize) {
		size += box.queue[n].size
		touched += box.queue[n].touches
		n++
	}
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
	r.bucket.level -= len(b)
	r.stats.Casts++
	r.stats.CastBytes += uint64(len(b))
	r.out.Casts = append(r.out.Casts, b)
}
