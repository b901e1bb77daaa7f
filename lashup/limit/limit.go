// Package limit bounds what others can make a node do: token buckets, and one for
// each of some nodes.
//
// # What it guarantees
//
// In any span of d seconds a Bucket gives at most Burst + d·PerSecond tokens, or,
// where Burst is less than what is asked for at once, that once. Of a node Peers
// remembers what it has taken for as long as that matters, not for as long as it
// has a link: who comes and goes gets no more than who stays. Peers keeps at most
// so many buckets; those that are full again go first, then those that are
// nearest to it.
//
// # Concurrency
//
// The package is pure: the time is a parameter, monotone and from 0 on. A Bucket
// and a Peers have one owner at a time.
package limit

import (
	"time"

	"fulcrum.example/crux"
)

// Rate is how fast a bucket fills, in tokens a second, and how many it holds.
type Rate struct{ PerSecond, Burst float64 }

// Bucket is a token bucket. The zero Bucket is full.
type Bucket struct {
	used float64
	at   time.Duration
}

// level is how many tokens are missing.
func (b *Bucket) level(now time.Duration, r Rate) float64 {
	return max(0, b.used-r.PerSecond*(now-b.at).Seconds())
}

// Has says whether n tokens could be taken. A full bucket gives any number, so
// that nothing is too large for ever.
func (b *Bucket) Has(now time.Duration, r Rate, n float64) bool {
	used := b.level(now, r)
	return used == 0 || used+n <= r.Burst
}

// Take takes n tokens, all or none, and says whether it did.
func (b *Bucket) Take(now time.Duration, r Rate, n float64) bool {
	ok := b.Has(now, r, n)
	b.used, b.at = b.level(now, r), now
	if ok {
		b.used += n
	}
	return ok
}

// Peers are the buckets of nodes, all of one kind.
type Peers struct {
	most int
	of   map[crux.NodeID]*Bucket
}

// NewPeers makes the buckets of at most so many nodes at a time.
func NewPeers(most int) *Peers { return &Peers{most: most, of: make(map[crux.NodeID]*Bucket)} }

// Has says whether a node could take n tokens.
func (p *Peers) Has(now time.Duration, id crux.NodeID, r Rate, n float64) bool {
	b := p.of[id]
	return b == nil || b.Has(now, r, n)
}

// Take takes n tokens of a node's bucket, all or none.
func (p *Peers) Take(now time.Duration, id crux.NodeID, r Rate, n float64) bool {
	b := p.of[id]
	if b == nil {
		if len(p.of) >= p.most {
			p.forget(now, r)
		}
		b = new(Bucket)
		p.of[id] = b
	}
	return b.Take(now, r, n)
}

// forget drops the buckets that are full, or the one that is nearest to it; of
// equals the one of the lowest ID, so that what follows does not depend on chance.
func (p *Peers) forget(now time.Duration, r Rate) {
	var least crux.NodeID
	low := -1.0
	for id, b := range p.of {
		used := b.level(now, r)
		if used == 0 {
			delete(p.of, id)
		} else if low < 0 || used < low || used == low && id.Compare(least) < 0 {
			low, least = used, id
		}
	}
	if len(p.of) >= p.most {
		delete(p.of, least)
	}
}
