package packet

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

// budget bounds what each source may cost. Sources share buckets by a hash that
// nobody outside can predict, so that its size never grows and that a source
// cannot buy a full bucket by pushing another out.
type budget struct {
	seed        maphash.Seed
	rate, burst float64
	buckets     []Bucket
}

func newBudget(buckets int, rate, burst float64) *budget {
	return &budget{seed: maphash.MakeSeed(), rate: rate, burst: burst, buckets: make([]Bucket, buckets)}
}

func (b *budget) take(now time.Duration, from netip.AddrPort) bool {
	h := maphash.Comparable(b.seed, from)
	return b.buckets[h%uint64(len(b.buckets))].Take(now, b.rate, b.burst)
}
