package rollout

import (
	"fulcrum.example/crux"
)

// NodeState says what may be done with a node.
type NodeState uint8

// The states of a node.
const (
	// Ready: alive, and its dean listens: it can be given new work.
	Ready NodeState = iota + 1
	// Away: suspect, lost, or without a dean that listens, but not for long.
	// What it runs counts as placed; it is given nothing new.
	Away
	// Gone: away for so long that its replicas are placed elsewhere.
	Gone
)

// Node is what is known of one node.
type Node struct {
	ID    crux.NodeID
	State NodeState
	// Assigned is what the node was last told to run, as proctor or the node's
	// own dean remembers it; Known is false where neither is there to ask, and
	// the registry's rows say what runs.
	Assigned []crux.Unit
	Known    bool
	// Returned says that it was Gone and is back: what it ran was placed
	// elsewhere meanwhile, so that extra replicas are taken from it first.
	Returned bool
	// Units is how it fares, by its dean's report.
	Units []crux.UnitStatus
}

// Input is everything that a plan depends on.
type Input struct {
	Leader  crux.NodeID
	Nodes   []Node // sorted by ID
	Intents []crux.Intent
	Muster  []crux.Function
	Rows    []crux.Row
	// Hold names intents (HORDE/API) that must not be acted upon, and why.
	Hold map[string]string
}

// Output is what should be next.
type Output struct {
	// Assigned is the list of each node that is not gone, sorted by horde and
	// instance.
	Assigned map[crux.NodeID][]crux.Unit
	Progress []Progress // sorted by horde and API
}

// Waiting is a node that has not done yet what it was told, and why.
type Waiting struct {
	Node crux.NodeID
	Why  string
}

// Progress is how far one intent is.
type Progress struct {
	Horde   crux.Horde
	API     crux.API
	Inst    crux.Inst
	Wanted  int
	Placed  int // nodes that were told to run it
	Serving int // nodes where it serves
	Old     int // nodes where another version of the API runs or serves
	Done    bool
	Waiting []Waiting
	Note    string // what stands in the way of all of it
}
