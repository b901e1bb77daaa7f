package replica

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// maxMissed bounds the keys that a watch may have missed and still resume; one that
// missed more is given everything.
const maxMissed = 1 << 16

// watches are all watches of a replica.
type watches struct {
	list  []*watch
	last  WatchID
	ready []WatchID
}

// watch is one watcher's queue. First it goes through what exists, or what it has
// missed; changes of keys that are still ahead of it there are not queued.
type watch struct {
	id      WatchID
	pattern Pattern

	whole  bool            // everything that exists is given
	after  string          // whole: up to this key it has been
	missed []*record       // not whole: what has changed, oldest first
	ahead  map[string]bool // keys of missed
	synced bool
	start  Version // when it began

	queue  []*told
	bytes  int
	last   Version // of what was taken last; zero: it cannot be resumed
	behind bool    // the queue overflowed
	over   bool    // and that was said
	flag   bool    // it is in ready
}

// told is a change on its way to watchers, who share it.
type told struct {
	key      []string
	old, new crdt.Value
	version  Version
	size     int
}

// Watch begins a watch from a version on; the zero Version gives everything that
// exists first. The driver takes the events by Next, now and whenever Ready names
// the watch. Errors: Exhausted, there are too many watches; Unavailable, the store
// has not been read yet.
func (r *Replica) Watch(p Pattern, since Version) (WatchID, error) {
	const op = "watch keys"
	w := &r.watches
	if !r.loaded {
		return 0, crux.Errorf(op, crux.Unavailable, "the store has not been read from disk yet")
	}
	if n := r.cfg.Limits.Watchers; len(w.list) >= n {
		return 0, crux.Errorf(op, crux.Exhausted, "%d watches are open already, as many as there may be: close some", n)
	}
	w.last++
	x := &watch{id: w.last, pattern: p, start: r.version(r.number)}
	x.whole = !r.mayResume(x, since)
	w.list = append(w.list, x)
	return x.id, nil
}

// mayResume gathers what a watch has missed since a version, if that is known.
func (r *Replica) mayResume(x *watch, since Version) bool {
	if since.Epoch != r.cfg.Incarnation || since.Number < r.floor || since.Number > r.number {
		return false
	}
	n := 0
	for rec := r.newest; rec != nil && rec.version > since.Number; rec = rec.older {
		if n++; n > maxMissed {
			x.missed = nil
			return false
		}
		if x.pattern.fits(rec.key) {
			x.missed = append(x.missed, rec)
		}
	}
	x.ahead = make(map[string]bool, len(x.missed))
	for i, k := 0, len(x.missed)-1; i < k; i, k = i+1, k-1 {
		x.missed[i], x.missed[k] = x.missed[k], x.missed[i]
	}
	for _, rec := range x.missed {
		x.ahead[rec.key] = true
	}
	x.last = since
	return true
}

// fits is Match of an encoded key.
func (p *Pattern) fits(key string) bool {
	return len(key) >= len(p.prefix) && key[:len(p.prefix)] == p.prefix && p.matchEncoded(key)
}

// Unwatch ends a watch; nothing of it is left.
func (r *Replica) Unwatch(id WatchID) {
	for i, x := range r.watches.list {
		if x.id == id {
			r.watches.list = append(r.watches.list[:i:i], r.watches.list[i+1:]...)
			return
		}
	}
}

// match says whether anybody watches a key.
func (w *watches) match(key string) bool {
	for _, x := range w.list {
		if !x.behind && x.pattern.fits(key) {
			return true
		}
	}
	return false
}

// tell queues a change for all who watch the key.
func (r *Replica) tell(key string, old, new crdt.Value, n uint64) {
	var t *told
	for _, x := range r.watches.list {
		if x.behind || !x.pattern.fits(key) || x.willSee(key) {
			continue
		}
		if t == nil {
			elements, err := DecodeKey(key)
			if err != nil {
				return // no record has such a key
			}
			t = &told{key: elements, old: old, new: new, version: r.version(n)}
			t.size = len(key) + valueSize(old) + valueSize(new) + 128
		}
		if len(x.queue) >= r.cfg.Limits.WatchEvents || x.bytes+t.size > r.cfg.Limits.WatchBytes && len(x.queue) > 0 {
			x.behind, x.queue, x.bytes = true, nil, 0
		} else {
			x.queue = append(x.queue, t)
			x.bytes += t.size
		}
		r.watches.wake(x)
	}
}

// willSee says whether a watch has yet to come to a key in what it gives first.
func (x *watch) willSee(key string) bool {
	switch {
	case x.synced:
		return false
	case x.whole:
		return key > x.after
	}
	return x.ahead[key]
}

func (w *watches) wake(x *watch) {
	if !x.flag {
		x.flag = true
		w.ready = append(w.ready, x.id)
	}
}

func (w *watches) takeReady() []WatchID {
	out := w.ready
	w.ready = nil
	return out
}

// Next takes up to max events of a watch. more says that there are more now;
// otherwise Ready.Watches names the watch when there are. After FellBehind there
// are none.
func (r *Replica) Next(id WatchID, max int) (out []Event, more bool) {
	for _, x := range r.watches.list {
		if x.id == id {
			x.flag = false
			out = r.take(x, max)
			return out, !x.over && (!x.synced || x.behind || len(x.queue) > 0)
		}
	}
	return nil, false
}

func (r *Replica) take(x *watch, max int) (out []Event) {
	switch {
	case x.over:
		return nil
	case x.synced:
	case x.whole:
		out = r.takeExisting(x, max)
	default:
		out = r.takeMissed(x, max)
	}
	for len(out) < max && x.synced && len(x.queue) > 0 {
		t := x.queue[0]
		x.queue[0] = nil
		x.queue = x.queue[1:]
		x.bytes -= t.size
		x.last = t.version
		out = append(out, Event{Kind: Changed, Key: t.key, Old: t.old, New: t.new, Version: t.version})
	}
	if len(out) < max && x.behind {
		x.over = true
		out = append(out, Event{Kind: FellBehind, Version: x.last})
	}
	return out
}

// takeExisting goes through the keys.
func (r *Replica) takeExisting(x *watch, max int) (out []Event) {
	from := x.after
	if from < x.pattern.prefix {
		from = x.pattern.prefix
	}
	for at := r.seek(from); len(out) < max; at = r.keys.next(at) {
		p := r.keys.at(at)
		if p == nil || !hasKeyPrefix((*p).key, x.pattern.prefix) {
			x.sync(&out)
			break
		}
		rec := *p
		if rec.key <= x.after {
			continue
		}
		x.after = rec.key
		if !rec.is(recAbsent) && x.pattern.matchEncoded(rec.key) {
			out = append(out, r.existing(rec, x.last))
		}
	}
	return out
}

func hasKeyPrefix(key, prefix string) bool {
	return len(key) >= len(prefix) && key[:len(prefix)] == prefix
}

func (r *Replica) existing(rec *record, v Version) Event {
	key, _ := DecodeKey(rec.key)
	return Event{Kind: Changed, Key: key, New: r.state(rec).Value(), Existing: true, OldUnknown: true, Version: v}
}

// takeMissed goes through what has changed since the watch was last open.
func (r *Replica) takeMissed(x *watch, max int) (out []Event) {
	for len(out) < max && len(x.missed) > 0 {
		rec := x.missed[0]
		x.missed = x.missed[1:]
		delete(x.ahead, rec.key)
		// A record that has changed again has a version after the watch's start:
		// from the version of the last event the watch could not resume.
		if v := r.version(rec.version); v.Number <= x.start.Number {
			x.last = v
		}
		out = append(out, r.existing(rec, x.last))
	}
	if len(out) < max && len(x.missed) == 0 {
		x.sync(&out)
	}
	return out
}

// sync says that what existed has been given. From here the watch can be resumed:
// all changes after its start are queued, or were given with what existed.
func (x *watch) sync(out *[]Event) {
	x.synced, x.ahead, x.missed = true, nil, nil
	x.last = x.start
	*out = append(*out, Event{Kind: Synced, Whole: x.whole, Version: x.start})
}

// valueSize is about how much memory a value takes, in bytes.
func valueSize(v crdt.Value) int {
	n := 64
	for _, s := range v.Text {
		n += 16 + len(s)
	}
	for i := range v.Fields {
		n += 16 + len(v.Fields[i].Name) + valueSize(v.Fields[i].Value)
	}
	return n
}

// sameValue says whether a reader sees no difference.
func sameValue(a, b crdt.Value) bool {
	if a.Type != b.Type {
		return false
	}
	return string(appendValue(nil, a)) == string(appendValue(nil, b))
}
