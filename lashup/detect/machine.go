package detect

import (
	"time"

	"fulcrum.example/crux"
)

// Machine is one node's failure detector.
type Machine struct {
	cfg   Config
	p     Params
	now   time.Duration
	out   Ready
	stats Stats
}

// New makes a detector without neighbours.
func New(cfg Config, now time.Duration) *Machine {
	return &Machine{cfg: cfg, p: cfg.Params.withDefaults(), now: now}
}

// Neighbours says whom to ping from now on. A check of one that is not named any
// more goes on to its verdict.
func (m *Machine) Neighbours(now time.Duration, ids []crux.NodeID) Ready { return m.out }

// LinkLost says that the stream to a neighbour broke: it is checked at once.
// Call it before the Neighbours that leaves it out.
func (m *Machine) LinkLost(now time.Duration, peer crux.NodeID) Ready { return m.out }

// Accused says that another node has given up on a neighbour of this one, as Dead
// or Hung: it is checked at once, and the accuser counts as a witness. It is
// nothing if the target is no neighbour.
func (m *Machine) Accused(now time.Duration, target, by crux.NodeID) Ready { return m.out }

// Check asks after any node. The answer is in the Results of this call or of a
// later one, within Params.Bound.
func (m *Machine) Check(now time.Duration, target crux.NodeID, token uint64) Ready { return m.out }

// Refute pings a node that has accused this one, at once and more than once: it
// hears that this one is alive. More often than a few times a second is ignored.
func (m *Machine) Refute(now time.Duration, accuser crux.NodeID) Ready { return m.out }

// Receive takes in a message. from was authenticated.
func (m *Machine) Receive(now time.Duration, from crux.NodeID, msg Message) Ready { return m.out }

// Heard says that another authentic datagram came from a node.
func (m *Machine) Heard(now time.Duration, from crux.NodeID) Ready { return m.out }

// Probed says what came of a probe that a Ready asked for.
func (m *Machine) Probed(now time.Duration, peer crux.NodeID, o Outcome) Ready { return m.out }

// Late says that this process was starved for some time: nothing that it missed
// meanwhile proves anything. The machine notices by itself when a call comes
// much later than NextTick; this is for drivers that know more.
func (m *Machine) Late(now, by time.Duration) Ready { return m.out }

// Changes tells of changes in the overlay (adjacencies that changed, say). While
// there are very many, pings are sent less often, down to half.
func (m *Machine) Changes(now time.Duration, n int) {}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready { return m.out }

// NextTick is when Tick has something to do again.
func (m *Machine) NextTick() time.Duration { return 0 }

// Isolated says whether this node is cut off from everybody it knows.
func (m *Machine) Isolated() bool { return false }

// RTT is the latest round trip to a neighbour.
func (m *Machine) RTT(peer crux.NodeID) (rtt time.Duration, ok bool) { return 0, false }

// Stats returns the counters.
func (m *Machine) Stats() Stats { return m.stats }
