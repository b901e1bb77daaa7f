package store

import (
	"log/slog"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/vfs"
)

// Config is what a store is made of. All but Patience, Log and Notice must be given.
type Config struct {
	// Replica says who it is. Wall is set by the store.
	Replica replica.Config
	FS      vfs.FS // the folder of its log
	// Patience is how long Open waits for another process to let go of the folder.
	Patience time.Duration
	Clock    crux.Clock
	// Send gives a message to a neighbour, Cast multicasts to all members
	// (topic Topic). They do not block; an error means that it was not taken,
	// and is as a loss.
	Send func(to crux.NodeID, data []byte) error
	Cast func(payload []byte) error
	Log  *slog.Logger
	// Notice is told of what a log should have, with the keys that were repaired.
	Notice func(repaired [][]string)
}

// Topic is the multicast topic of the store.
const Topic = "lashup/kv"
