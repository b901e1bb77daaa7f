package detect

import "time"

// Params are the times and numbers of the detector. Zero fields mean the
// default.
type Params struct {
	Interval time.Duration // of silence before a neighbour is pinged (400 ms, ±10%)
	Floor    time.Duration // the least time an answer may take (20 ms)
	Initial  time.Duration // the time while there is no history (50 ms)
	Ceiling  time.Duration // the most (1 s)
	Window   time.Duration // the least length of a check after a miss (80 ms)
	Patience time.Duration // of a check of a target that others hear (500 ms)
	Doubt    time.Duration // of itself before it says that it is isolated (500 ms)
	Bound    time.Duration // of the answer to Check (450 ms)
	Late     time.Duration // lateness of a call that proves this process starved (40 ms)
	// Witnesses is how many are asked at first (3).
	Witnesses int
}

func (p Params) withDefaults() Params {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&p.Interval, 400*time.Millisecond)
	def(&p.Floor, 20*time.Millisecond)
	def(&p.Initial, 50*time.Millisecond)
	def(&p.Ceiling, time.Second)
	def(&p.Window, 80*time.Millisecond)
	def(&p.Patience, 500*time.Millisecond)
	def(&p.Doubt, 500*time.Millisecond)
	def(&p.Bound, 450*time.Millisecond)
	def(&p.Late, 40*time.Millisecond)
	if p.Witnesses == 0 {
		p.Witnesses = 3
	}
	return p
}
