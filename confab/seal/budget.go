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

// Budget bounds what each source may cost. A source is an IP address, whatever its
// ports: one host has them all. An IPv6 host has a network of them too, a /64, so
// that is a source as well, of as much as 16 addresses. Only on the loopback is
// each port a source of its own: there many nodes may share the one address.
//
// Sources share buckets by a hash that nobody outside can predict, so that a
// Budget's size never grows and that a source cannot buy a full bucket by pushing
// another out.
type Budget struct {
	seed        maphash.Seed
	rate, burst float64
	hosts, nets []Bucket
}

// perNet is how many addresses' worth an IPv6 network has.
const perNet = 16

// NewBudget makes a budget of so many packets a second and at once for a source.
func NewBudget(buckets int, rate, burst float64) *Budget {
	return &Budget{
		seed: maphash.MakeSeed(), rate: rate, burst: burst, hosts: make([]Bucket, buckets), nets: make([]Bucket, buckets),
	}
}

// Take says whether a source may send one packet more.
func (b *Budget) Take(now time.Duration, from netip.AddrPort) bool {
	a := from.Addr().Unmap().WithZone("")
	host := netip.AddrPortFrom(a, 0)
	switch {
	case a.IsLoopback():
		host = netip.AddrPortFrom(a, from.Port())
	case a.Is6():
		net := a.As16()
		if clear(net[8:]); !b.of(b.nets, netip.AddrPortFrom(netip.AddrFrom16(net), 0)).Take(now, perNet*b.rate, perNet*b.burst) {
			return false
		}
	}
	return b.of(b.hosts, host).Take(now, b.rate, b.burst)
}

// of is the bucket of a source.
func (b *Budget) of(buckets []Bucket, source netip.AddrPort) *Bucket {
	return &buckets[maphash.Comparable(b.seed, source)%uint64(len(buckets))]
}
