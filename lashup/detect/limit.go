package detect

import (
	"time"

	"fulcrum.example/crux"
)

// Rates of requests that this node takes from others, a second, and at once.
const (
	senderRate  = 16
	senderBurst = 32
	totalRate   = 128
	totalBurst  = 256
	maxSenders  = 64
)

// bucket is a token bucket that was full at time 0.
type bucket struct {
	used float64
	at   time.Duration
}

// take takes one token, if there is one.
func (b *bucket) take(now time.Duration, rate, burst float64) bool {
	b.used = b.level(now, rate)
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}

// level is how many tokens are missing.
func (b *bucket) level(now time.Duration, rate float64) float64 {
	return max(0, b.used-rate*(now-b.at).Seconds())
}

// limits bounds what others can make this node send.
type limits struct {
	total   bucket
	refutes bucket
	senders map[crux.NodeID]bucket
}

// allow says whether a request of a node is taken.
func (l *limits) allow(now time.Duration, from crux.NodeID) bool {
	if l.senders == nil {
		l.senders = map[crux.NodeID]bucket{}
	}
	b, ok := l.senders[from]
	if !ok && len(l.senders) >= maxSenders {
		l.forget(now)
		if len(l.senders) >= maxSenders {
			return false
		}
	}
	allowed := b.take(now, senderRate, senderBurst) && l.total.take(now, totalRate, totalBurst)
	l.senders[from] = b
	return allowed
}

// forget drops the senders whose buckets are full again.
func (l *limits) forget(now time.Duration) {
	for id, b := range l.senders {
		if b.level(now, senderRate) == 0 {
			delete(l.senders, id)
		}
	}
}
