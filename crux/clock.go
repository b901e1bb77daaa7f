package crux

import "time"

// Clock is where a component takes its time from. The real one is in
// crux/clock; tests and the simulator bring their own. Its methods may be
// called from any goroutine.
type Clock interface {
	// Now is the time with its monotonic reading.
	Now() time.Time
	// After sends the time once, d from now.
	After(d time.Duration) <-chan time.Time
}
