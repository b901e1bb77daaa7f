package sim

import (
	"slices"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
)

// Bounds of the overlay's views, which it has by default.
const (
	maxActive  = 6
	maxPassive = 30
)

// verify holds a node's fabric, after a step, to what it promises.
func (w *World) verify(nd *Node, r *fabric.Ready) {
	active, passive := nd.F.Views()
	own := nd.F.Own()
	switch {
	case len(active) > maxActive || len(passive) > maxPassive:
		w.fail("%s has %d active and %d passive nodes", nd.ID, len(active), len(passive))
	case slices.Contains(active, nd.ID) || slices.Contains(passive, nd.ID) || own.Lists(nd.ID):
		w.fail("%s is its own neighbour", nd.ID)
	case slices.ContainsFunc(active, func(id crux.NodeID) bool { return slices.Contains(passive, id) }):
		w.fail("%s has a node that is both active and passive", nd.ID)
	case own.Clock > 0 && nd.F.Table().Get(nd.ID) != own:
		w.fail("%s has another row of itself than it published", nd.ID)
	}
	for _, id := range nd.F.Neighbours() {
		if !slices.Contains(active, id) {
			w.fail("%s has a neighbour %s that is not active", nd.ID, id)
		}
		if nd.linkTo(id) == nil {
			w.fail("%s has a neighbour %s without a link", nd.ID, id)
		}
	}
	for _, a := range r.Updated {
		if a.Node == nd.ID {
			w.verifyOwn(nd)
		}
	}
}

// verifyOwn checks a new adjacency.
func (w *World) verifyOwn(nd *Node) {
	own := nd.F.Own()
	if own.Epoch < nd.lastEpoch || own.Epoch == nd.lastEpoch && own.Clock <= nd.lastClock {
		w.fail("%s published %d.%d after %d.%d", nd.ID, own.Epoch, own.Clock, nd.lastEpoch, nd.lastClock)
	}
	nd.lastEpoch, nd.lastClock = own.Epoch, own.Clock
	for _, c := range own.Cuts {
		if own.Lists(c.Node) {
			w.fail("%s has cut off %s, which is its neighbour", nd.ID, c.Node)
		}
	}
}
