package overlay

import (
	"time"

	"fulcrum.example/crux"
)

// Machine is one node's part in the overlay.
type Machine struct {
	cfg Config
	p   Params
	now time.Duration
	out Ready
}

// New makes a machine without neighbours. It begins to join when it is told of
// contacts or of known nodes.
func New(cfg Config, now time.Duration) *Machine {
	return &Machine{cfg: cfg, p: cfg.Params.withDefaults(), now: now}
}

// Wins says which of two links stays that came up between the same two nodes,
// one dialled by each: the one dialled by the node with the smaller ID.
func Wins(self, peer crux.NodeID, dialled bool) bool { return dialled == (self.Compare(peer) < 0) }

// Contacts names nodes to join through, in place of those named before.
func (m *Machine) Contacts(now time.Duration, ids []crux.NodeID) Ready { return m.out }

// Known names nodes that may be up: those kept on disk at the start, or the
// members that lashup/route knows. They fill up the passive view.
func (m *Machine) Known(now time.Duration, ids []crux.NodeID) Ready { return m.out }

// LinkUp says that a link has come up, and who dialled it. A link that there was
// with the peer is gone.
func (m *Machine) LinkUp(now time.Duration, peer crux.NodeID, dialled bool) Ready { return m.out }

// LinkDown says that a link broke, or that the peer closed it.
func (m *Machine) LinkDown(now time.Duration, peer crux.NodeID) Ready { return m.out }

// DialFailed says that a node could not be reached.
func (m *Machine) DialFailed(now time.Duration, peer crux.NodeID) Ready { return m.out }

// Receive takes in a message that came on the link with a peer.
func (m *Machine) Receive(now time.Duration, peer crux.NodeID, msg Message) Ready { return m.out }

// Drop takes a node out of both views, and does not try it before a time: the
// detector's verdict. A node without neighbours may still come back by itself.
func (m *Machine) Drop(now time.Duration, peer crux.NodeID, until time.Duration) Ready { return m.out }

// Allow takes back a Drop: the node has been heard again.
func (m *Machine) Allow(now time.Duration, peer crux.NodeID) Ready { return m.out }

// Reach makes a node a neighbour, even if both have to let another go: it is
// what joins two parts of the overlay. It is nothing for a neighbour, and for
// one that is being asked.
func (m *Machine) Reach(now time.Duration, peer crux.NodeID) Ready { return m.out }

// Leave takes leave of the neighbours. The machine does nothing any more.
func (m *Machine) Leave(now time.Duration) Ready { return m.out }

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready { return m.out }

// NextTick is when Tick has something to do again.
func (m *Machine) NextTick() time.Duration { return 0 }

// Active are the neighbours, in no order. The slice is never changed.
func (m *Machine) Active() []crux.NodeID { return nil }

// Passive are the passive nodes, in no order. The slice is the caller's.
func (m *Machine) Passive() []crux.NodeID { return nil }
