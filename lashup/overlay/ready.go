package overlay

import (
	"math/rand/v2"

	"fulcrum.example/crux"
)

// Config is what a Machine is made of. Self and Rand are needed.
type Config struct {
	Self   crux.NodeID
	Rand   *rand.Rand // for jitter and for choices; no secret depends on it
	Params Params     // zero fields mean the default
}

// Send is a message to send on the link to a node.
type Send struct {
	To  crux.NodeID
	Msg Message
}

// Ready is what a call asks of the driver: first Sends, in order, then Close,
// then Dial. The slices are good until the next call of the machine.
type Ready struct {
	Sends []Send
	// Close names peers whose links, or dials, are to be ended, after what was
	// sent on them. Nothing more is to be reported of them.
	Close []crux.NodeID
	// Dial names nodes to which a link is to be made. The answer is LinkUp or
	// DialFailed, within some three seconds.
	Dial []crux.NodeID
	// Changed says that Active would now give others.
	Changed bool
}
