package flock

import (
	"time"

	"fulcrum.example/crux"
)

// Machine is one node's part in the protocol.
type Machine struct {
	cfg Config
}

// New makes a machine. It fails with Invalid when cfg lacks something.
func New(cfg Config, now time.Duration) (*Machine, error) { return &Machine{cfg: cfg}, nil }

// Start sends the first probes.
func (m *Machine) Start(now time.Duration) Ready { return Ready{} }

// Receive takes in a message.
func (m *Machine) Receive(now time.Duration, p *Packet) Ready { return Ready{} }

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready { return Ready{} }

// NextTick is when Tick has something to do again.
func (m *Machine) NextTick() time.Duration { return 0 }

// SetFile tells the machine that another bloc file is at hand.
func (m *Machine) SetFile(now time.Duration, f Bloc) Ready { return Ready{} }

// AddHint adds to the view's hints something that the driver saw.
func (m *Machine) AddHint(now time.Duration, h crux.Hint) Ready { return Ready{} }

// Evict removes a member. It fails with Unavailable where this node is not the
// acting leader, and names the leader; and with NotFound for who is no member.
func (m *Machine) Evict(now time.Duration, id crux.NodeID) (Ready, error) { return Ready{}, nil }

// Leave leaves the flock. Ready.Ended follows, at once or after some ticks.
func (m *Machine) Leave(now time.Duration) Ready { return Ready{Ended: true} }

// View is what this node knows. It is never nil, immutable, and the same
// pointer until it changes.
func (m *Machine) View() *crux.View { return nil }

// Peer gives the newest record of a node with which this one may exchange Pair
// messages, or nil.
func (m *Machine) Peer(id crux.NodeID) *Record { return nil }

// Record is this node's own newest record.
func (m *Machine) Record() *Record { return nil }

// Stats returns the counters.
func (m *Machine) Stats() Stats { return Stats{} }
