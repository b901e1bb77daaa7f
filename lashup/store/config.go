package store

import (
	"log/slog"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
)

// Disk is a table of byte strings on a disk (lashup/store/log). The store calls
// it from one goroutine at a time.
type Disk interface {
	// Load calls f for every line, in any order.
	Load(f func(key, value []byte) error) error
	// Append adds lines to what the next Sync puts on disk; a nil Value removes
	// a line.
	Append(entries []replica.Entry) error
	// Sync returns without error when all lines of all calls of Append so far
	// are on disk. After an error of Append or Sync none of those since the last
	// good Sync count: they are given again.
	Sync() error
	Close() error
}

// Config is what a store is made of. All but Resume, Log and Notice must be given.
type Config struct {
	// Replica says who it is. Wall is set by the store.
	Replica replica.Config
	Disk    Disk
	Clock   crux.Clock
	// Send gives a message to a neighbour, Cast multicasts to all members
	// (topic Topic). They do not block; an error means that it was not taken,
	// and is as a loss.
	Send func(to crux.NodeID, data []byte) error
	Cast func(payload []byte) error
	// Resume is what Freeze gave to the process before, which had the same
	// incarnation; nil: this one is new.
	Resume []byte
	Log    *slog.Logger
	// Notice is told of what a log should have, with the keys that were repaired.
	Notice func(repaired [][]string)
}

// Topic is the multicast topic of the store.
const Topic = "lashup/kv"
