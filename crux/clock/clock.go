// Package clock is the real crux.Clock. It is a folder of its own so that crux
// itself reads no clock. Safe for any goroutine.
package clock

import "time"

// Real reads the machine's clock.
type Real struct{}

// Now is time.Now.
func (Real) Now() time.Time { return time.Now() }

// After is time.After.
func (Real) After(d time.Duration) <-chan time.Time { return time.After(d) }
