package packet

import (
	"sync/atomic"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
)

// MaxShared is how many keys that many nodes share may be live at once.
const MaxShared = 8

// Ring holds the shared keys that are good now: the bloc's secondary ones and
// those of the flock's epochs. The goroutine of the machine changes it; any may
// read it.
type Ring struct {
	scope seal.Scope
	now   atomic.Pointer[ringState]
}

// ringState is immutable.
type ringState struct {
	secondary []*seal.Key // the first one is current
	seal      *seal.Key   // for Group messages; nil: none yet
	open      []*seal.Key
	secrets   []flock.Key // those of open
}

// NewRing makes a ring with the secondary keys, the current one first.
func NewRing(scope seal.Scope, secrets []bloc.Secondary) *Ring {
	st := new(ringState)
	for _, s := range secrets {
		st.secondary = append(st.secondary, secondary(scope, s))
	}
	r := &Ring{scope: scope}
	r.now.Store(st)
	return r
}

// Set replaces the transient keys. Keys beyond MaxShared are left out, the last
// ones first.
func (r *Ring) Set(keys *flock.Keys) {
	old := r.now.Load()
	st := &ringState{secondary: old.secondary}
	for _, k := range append([]flock.Key{keys.Seal}, keys.Open...) {
		i := len(st.open)
		if k.Secret == ([32]byte{}) || st.find(k) >= 0 || i == MaxShared {
			continue // a secret of zeros is none, and everybody would know it
		}
		var made *seal.Key
		if j := old.find(k); j >= 0 {
			made = old.open[j]
		} else {
			made = transient(r.scope, k)
		}
		st.open, st.secrets = append(st.open, made), append(st.secrets, k)
	}
	if i := st.find(keys.Seal); i >= 0 {
		st.seal = st.open[i]
	}
	r.now.Store(st)
}

func (s *ringState) find(k flock.Key) int {
	for i := range s.secrets {
		if s.secrets[i] == k {
			return i
		}
	}
	return -1
}

// lookup finds the key that a packet names among those of its sealing; nil if
// there is none.
func (r *Ring) lookup(sealing flock.Sealing, id uint64) *seal.Key {
	st := r.now.Load()
	keys := st.open
	if sealing == flock.Discovery {
		keys = st.secondary
	}
	for _, k := range keys {
		if k.ID == id {
			return k
		}
	}
	return nil
}
