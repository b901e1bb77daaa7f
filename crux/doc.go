// Package crux holds the words that every part of fulcrum speaks: identities,
// versions and selectors, the heartbeat row, error kinds, and the interfaces
// between components (Confab, Flock, Registry, Keys, Node, Clock).
//
// It is floor 0: it imports nothing of the project and does no I/O; net and
// net/netip are used for their types only. Everything here is either an
// immutable value, safe to share, or an interface whose contract says which
// goroutines may call it.
package crux
