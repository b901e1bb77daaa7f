package fabric

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

// Frame is a message for the link to a neighbour. Frames to a peer without a
// link are dropped.
type Frame struct {
	To  crux.NodeID
	Msg Message
}

// Datagram is a message for a sealed datagram, to any node.
type Datagram struct {
	To  crux.NodeID
	Msg Message
}

// Opaque is what a neighbour's SendTo brought, for the store. Msg is what the
// peer gave SendTo, or its encoding as Raw.
type Opaque struct {
	From crux.NodeID
	Msg  Message
}

// Ready is what a call asks of the driver, in this order. It is valid until the
// next call.
type Ready struct {
	Frames    []Frame
	Datagrams []Datagram
	// Close names peers whose links, or dials, are to be ended after what was
	// sent on them. Nothing more is to be reported of these.
	Close []crux.NodeID
	// Dial names peers to make a link to: the driver answers with LinkUp or
	// DialFailed, within some two seconds. It resolves the ID by Machine.Card, or
	// else by its registry.
	Dial []crux.NodeID
	// Probes names nodes whose kernels are to be asked: a TCP connect to the
	// card's Link, given up after 100 ms and closed at once if it comes through.
	// The driver answers with Probed.
	Probes []crux.NodeID
	// Events are changes of who is reachable.
	Events    []route.Event
	Delivered []cast.Delivery
	Opaque    []Opaque
	Results   []detect.Result
	// Neighbours are the nodes with whom this one has links and agrees to be
	// neighbours, if they have changed (NeighboursChanged). The slice is never
	// changed.
	Neighbours        []crux.NodeID
	NeighboursChanged bool
	// Isolated is not nil when this node has come to think that it is cut off
	// from everybody, or no longer does.
	Isolated *bool
	// Updated are the adjacencies that were new; their cards are how the driver
	// learns addresses and keys.
	Updated []*route.Adjacency
	// Superseded, if not 0, is an epoch of this node that the others know and
	// that is newer than its own: the process must begin again with a greater
	// one.
	Superseded uint64
	// Save asks that Machine.Saved be written to disk, when there is time.
	Save bool
}
