package seal

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Bucket is a token bucket; at first it is full. It has one owner.
type Bucket struct {
	used   bool // before, it is full
	tokens float64
	last   time.Duration
}

// Take removes a token if there is one. rate is tokens a second; a clock that
// goes back gives none.
func (b *Bucket) Take(now time.Duration, rate, burst float64) bool {
	if !b.used {
		b.used, b.tokens, b.last = true, burst, now
	}
	if now > b.last {
		b.tokens = min(burst, b.tokens+rate*(now-b.last).Seconds())
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Budget bounds what each source may cost. Sources share buckets by a hash that
// nobody outside can predict, so that its size never grows and that a source
// cannot buy a full bucket by pushing another out.
type Budget struct {
	seed        maphash.Seed
	rate, burst float64
	buckets     []Bucket
}

// NewBudget makes a budget of so many packets a second and at once for a source.
func NewBudget(buckets int, rate, burst float64) *Budget {
	return &Budget{seed: maphash.MakeSeed(), rate: rate, burst: burst, buckets: make([]Bucket, buckets)}
}

// Take says whether a source may send one packet more.
func (b *Budget) Take(now time.Duration, from netip.AddrPort) bool {
	h := maphash.Comparable(b.seed, from)
	return b.buckets[h%uint64(len(b.buckets))].Take(now, b.rate, b.burst)
}
