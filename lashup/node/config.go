package node

import (
	"log/slog"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
)

// Config is what a Node is made of. What is not said to be optional is needed.
type Config struct {
	// Network is the node as the service routine was given it.
	Network crux.Node
	// Inst is the instance that the routine is: lashup1_0.
	Inst crux.Inst
	// Sockets are the Node's from Open on, also when Open fails; but for
	// Sockets.Service, which it leaves alone.
	Sockets *Sockets
	// Epoch is the incarnation: greater than any that this node ever had, and on
	// disk by now. It is ignored with State, which has its own.
	Epoch uint64
	// State is what Freeze gave to hand this node on. Optional.
	State []byte
	// Saved are the nodes that Save was given last. Optional.
	Saved []crux.NodeID
	// Save keeps nodes worth trying after a restart, a few every ten seconds at
	// most. It is called in a goroutine of its own. Optional.
	Save func([]crux.NodeID) error
	// Master says whether a member counts as a master. Optional: the leader does.
	Master func(*crux.View, crux.NodeID) bool
	Sink   Sink
	// Clock is optional: the system's. The machine's timer and the deadlines
	// of links are the system's in any case.
	Clock crux.Clock
	// Log is optional.
	Log *slog.Logger
}

// Sink is where goes what the fabric has to say. Each function is optional, is
// called with the machine's lock held, and must not wait for anything, nor call the
// Node's methods, but for SendTo.
type Sink struct {
	// Delivered is given a multicast that arrived.
	Delivered func(cast.Delivery)
	// Received is given what a neighbour's SendTo brought, as it was given to
	// SendTo or in its encoding (fabric.Raw).
	Received func(from crux.NodeID, msg fabric.Message)
	// Neighbours is given the nodes with whom this one has links, ascending. The
	// slice is never changed.
	Neighbours func([]crux.NodeID)
}

// check looks at what there must be, and fills in what may be left out.
func check(cfg *Config) error {
	const op = "open fabric"
	switch {
	case cfg.Network == nil || cfg.Sockets == nil || cfg.Sockets.Datagrams == nil || cfg.Sockets.Links == nil:
		return crux.Errorf(op, crux.Invalid, "Network and Sockets are needed")
	case cfg.State == nil && cfg.Epoch == 0:
		return crux.Errorf(op, crux.Invalid, "an epoch is needed")
	}
	if i, err := crux.ParseInst(string(cfg.Inst)); err != nil || i != cfg.Inst {
		return crux.Errorf(op, crux.Invalid, "%q is no instance", cfg.Inst)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Master == nil {
		cfg.Master = func(v *crux.View, id crux.NodeID) bool { return v.Leader == id }
	}
	if cfg.Save == nil {
		cfg.Save = func([]crux.NodeID) error { return nil }
	}
	s := &cfg.Sink
	if s.Delivered == nil {
		s.Delivered = func(cast.Delivery) {}
	}
	if s.Received == nil {
		s.Received = func(crux.NodeID, fabric.Message) {}
	}
	if s.Neighbours == nil {
		s.Neighbours = func([]crux.NodeID) {}
	}
	return nil
}
