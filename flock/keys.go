package flock

import "time"

// maxKeys is how many transient keys are good at a time.
const maxKeys = 8

// keyring holds the transient keys: the one to seal with, and those of epochs
// that were or may come, each until its time.
type keyring struct {
	seal    Key
	open    []heldKey
	changed bool
}

type heldKey struct {
	Key
	until time.Duration
}

func keyOf(e *EpochInfo) Key { return Key{Flock: e.Flock, Epoch: e.Epoch, Secret: e.Secret} }

// install makes k the key to seal with. The one before stays good for a while.
func (r *keyring) install(now time.Duration, k Key) {
	for i := range r.open {
		if r.open[i].Key == r.seal {
			r.open[i].until = now + keyLinger
		}
	}
	r.accept(k, never)
	r.seal, r.changed = k, true
}

// accept makes k good to open with until a time. Where there are too many, the
// one whose time ends first goes.
func (r *keyring) accept(k Key, until time.Duration) {
	for i := range r.open {
		if r.open[i].Key == k {
			r.open[i].until = max(r.open[i].until, until)
			return
		}
	}
	r.changed = true
	if len(r.open) == maxKeys {
		least := 0
		for i := range r.open {
			if r.open[i].until < r.open[least].until {
				least = i
			}
		}
		r.open = append(r.open[:least], r.open[least+1:]...)
	}
	r.open = append(r.open, heldKey{k, until})
}

// drop makes k no longer good, unless it is in use.
func (r *keyring) drop(k Key) {
	for i := range r.open {
		if r.open[i].Key == k && k != r.seal {
			r.open = append(r.open[:i], r.open[i+1:]...)
			r.changed = true
			return
		}
	}
}

// clear forgets all keys: this node leaves the flock.
func (r *keyring) clear() {
	clear(r.open[:cap(r.open)])
	r.open, r.seal, r.changed = r.open[:0], Key{}, true
}

func (r *keyring) expires() time.Duration {
	t := never
	for i := range r.open {
		t = min(t, r.open[i].until)
	}
	return t
}

func (r *keyring) expire(m *Machine) {
	kept := r.open[:0]
	for _, k := range r.open {
		if k.until > m.now {
			kept = append(kept, k)
		}
	}
	if len(kept) < len(r.open) {
		clear(r.open[len(kept):])
		r.open, r.changed = kept, true
	}
}

// publish puts the keys into the Ready if they changed.
func (r *keyring) publish(m *Machine) {
	if !r.changed {
		return
	}
	r.changed = false
	k := &Keys{Seal: r.seal, Open: make([]Key, len(r.open))}
	for i := range r.open {
		k.Open[i] = r.open[i].Key
	}
	m.out.Keys = k
}
