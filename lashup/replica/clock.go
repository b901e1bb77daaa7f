package replica

import (
	"time"

	"fulcrum.example/lashup/crdt"
)

// clock is a hybrid logical clock (Kulkarni et al. 2014): the time of day in
// milliseconds in the upper 48 bits and a counter in the lower 16. It never goes
// back, and it is ahead of every time that it has heard of, but for those that are
// further in the future than any clock of the bloc should be: who sends such a
// time cannot make others' clocks run ahead, and others' values win over his as
// soon as they have seen them (crdt.Assign).
type clock struct {
	last crdt.Timestamp
	wall time.Time     // the time of day
	at   time.Duration // when it was that
}

// maxAhead is how far another's clock may be ahead.
const maxAhead = time.Minute

func (c *clock) set(wall time.Time, now time.Duration) { c.wall, c.at = wall, now }

// today is the time of day.
func (c *clock) today(now time.Duration) crdt.Timestamp { return stampOf(c.wall.Add(now - c.at)) }

func stampOf(t time.Time) crdt.Timestamp {
	return crdt.Timestamp(max(0, t.UnixMilli())) << 16
}

// next is a timestamp later than all before.
func (c *clock) next(now time.Duration) crdt.Timestamp {
	c.last = max(c.last+1, c.today(now))
	return c.last
}

// hear takes in another's time. It says whether that was believable.
func (c *clock) hear(t crdt.Timestamp, now time.Duration) bool {
	if t > stampOf(c.wall.Add(now-c.at+maxAhead)) {
		return false
	}
	c.last = max(c.last, t)
	return true
}
