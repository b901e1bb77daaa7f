package picket

import (
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
)

// Config is what a Picket is made of. Durations of zero get their defaults.
type Config struct {
	ID       crux.NodeID
	Dir      string // the node's data folder, absolute
	Confab   crux.Confab
	Registry crux.Registry
	Members  crux.Members
	// KeysFor gives the keys of a service of this node (reeve/keys Ring.For).
	KeysFor func(caller string, h crux.Horde) crux.Keys
	// EndpointKey gives the key that an endpoint of this node serves with, and
	// its generation (reeve/keys Ring.PublicKey).
	EndpointKey func(at crux.Endpoint) (ed25519.PublicKey, uint32, error)
	// MayServe says which instances a service may serve besides its own; nil:
	// the rule of reeve/keys.
	MayServe  func(caller string, h crux.Horde, inst crux.Inst) bool
	Publisher crux.Publisher
	Artifacts crux.Artifacts
	Builtins  map[string]crux.Service // by Unit.Func; AddBuiltin adds more
	// Self is the path of the fulcrum binary; empty: this very one, even if its
	// file was replaced or removed since.
	Self string

	Drain         time.Duration // from Draining to Quit, for clients to move; 1 s
	KillAfter     time.Duration // from Quit to SIGTERM; 10 s. SIGKILL follows within a second.
	Lease         time.Duration // how long children live without their node; 30 s
	StartDeadline time.Duration // from start to the first beat; 15 s
	AdoptPatience time.Duration // for a child of an earlier fulcrum to be back; 10 s
	MinBackoff    time.Duration // the first pause before a restart; 250 ms
	MaxBackoff    time.Duration // the longest; 30 s
	Stable        time.Duration // serving so long makes the next pause the first again; 60 s
	MaxLog        int64         // a longer log is moved to .1; 16 MiB
	Tidy          time.Duration // between looks at the lengths of logs, and at unsaved records; 10 s

	Clock crux.Clock   // nil: the real one
	Log   *slog.Logger // nil: none
}

func (c *Config) fill() error {
	const op = "open picket"
	switch {
	case !filepath.IsAbs(c.Dir):
		return crux.Errorf(op, crux.Invalid, "the data folder %q is not an absolute path", c.Dir)
	case c.Confab == nil || c.Registry == nil || c.Members == nil || c.KeysFor == nil || c.EndpointKey == nil || c.Publisher == nil || c.Artifacts == nil:
		return crux.Errorf(op, crux.Invalid, "the node's parts are not all there")
	}
	for _, d := range []struct {
		at       *time.Duration
		standard time.Duration
	}{
		{&c.Drain, time.Second}, {&c.KillAfter, 10 * time.Second}, {&c.Lease, 30 * time.Second},
		{&c.StartDeadline, 15 * time.Second}, {&c.AdoptPatience, 10 * time.Second},
		{&c.MinBackoff, 250 * time.Millisecond}, {&c.MaxBackoff, 30 * time.Second}, {&c.Stable, time.Minute}, {&c.Tidy, 10 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.standard
		}
	}
	if c.Self == "" {
		c.Self = "/proc/self/exe"
	}
	if c.MaxLog <= 0 {
		c.MaxLog = 16 << 20
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
