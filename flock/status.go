package flock

import (
	"time"

	"fulcrum.example/crux"
)

// Role is what a machine does in its flock.
type Role uint8

// The roles. A Candidate is a member whose leader is silent.
const (
	Follower Role = iota + 1
	Candidate
	Leader
)

// Status is a machine's state in short, cheap to get after every step.
type Status struct {
	Role       Role
	Flock      crux.FlockID
	Epoch      uint64
	Ballot     uint64        // the proposal that began the epoch
	Voters     uint32        // of the epoch
	VotersHash uint64        // over them
	Voter      bool          // this node is one
	Leader     crux.NodeID   // zero: none known
	Acting     bool          // it leads, and nobody else can
	Lease      time.Duration // of a leader: until when it acts, if nothing more comes
	Members    int           // on the list
	Synced     bool          // the list is whole
}
