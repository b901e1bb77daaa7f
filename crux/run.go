package crux

import (
	"context"
	"time"
)

// Unit is one thing for picket to run on its node.
type Unit struct {
	Horde    Horde    `json:"horde"`
	API      API      `json:"api"`
	Inst     Inst     `json:"inst"`
	Kind     UnitKind `json:"kind"`
	Checksum Checksum `json:"checksum"` // zero for a built-in
	Func     string   `json:"func"`     // the function's name in the artifact, or the built-in's
}

// UnitKey names a unit on a node: picket runs one of each.
type UnitKey struct {
	Horde Horde
	Inst  Inst
}

// Key names the unit.
func (u *Unit) Key() UnitKey { return UnitKey{u.Horde, u.Inst} }

// UnitStatus is how a unit fares.
type UnitStatus struct {
	Unit
	State    string    `json:"state"` // starting, serving, backoff, draining, failed
	PID      int       `json:"pid"`   // 0 for one that runs inside fulcrum
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	Error    string    `json:"error,omitempty"` // why it last ended or will not start
}

// Runner is what dean sees of picket.
type Runner interface {
	// Start makes the unit run until Stop, with restarts. Starting a unit that
	// runs already does nothing. It returns when the unit was accepted, not
	// when it serves; failures show in Units.
	Start(ctx context.Context, u Unit) error
	// Stop drains the unit, asks it to quit, and kills it at the deadline. It
	// returns when the unit is gone. Stopping what does not run does nothing.
	Stop(ctx context.Context, k UnitKey) error
	// Units lists what runs or should, sorted by horde and instance.
	Units() []UnitStatus
	// Watch sends a token at once and after changes, until ctx ends.
	Watch(ctx context.Context) <-chan struct{}
}

// Artifacts is what picket and dean see of pastiche: files named by checksum.
type Artifacts interface {
	// Fetch makes the artifact present in the node's cache, verified, and
	// returns its path (a read-only file in a private folder). It pulls from
	// peers first, then from the artifact store.
	Fetch(ctx context.Context, sum Checksum) (path string, err error)
	// Pin keeps the artifact in the cache until Unpin.
	Pin(sum Checksum)
	Unpin(sum Checksum)
}
