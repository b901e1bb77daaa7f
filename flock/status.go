package flock

import "fulcrum.example/crux"

// Role is what a machine does in its flock.
type Role uint8

// The roles.
const (
	Follower Role = iota + 1
	Candidate
	Leader
)

// Status is a machine's state in short, cheap to get after every step.
type Status struct {
	Role    Role
	Flock   crux.FlockID
	Epoch   uint64
	Leader  crux.NodeID // zero: none known
	Members int         // lines of the list that are not Gone
	Synced  bool
}
