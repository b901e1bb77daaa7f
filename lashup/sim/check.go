package sim

// verify holds a node's fabric, after a step, to what it promises.
func (w *World) verify(nd *Node) {
	if f := nd.F.Flaw(); f != "" {
		w.fail("%s: %s", nd.ID, f)
	}
	for _, id := range nd.F.Neighbours() {
		if nd.linkTo(id) == nil {
			w.fail("%s has a neighbour %s without a link", nd.ID, id)
		}
	}
	own := nd.F.Own()
	if own.Epoch < nd.lastEpoch || own.Epoch == nd.lastEpoch && own.Clock < nd.lastClock {
		w.fail("%s published %d.%d after %d.%d", nd.ID, own.Epoch, own.Clock, nd.lastEpoch, nd.lastClock)
	}
	nd.lastEpoch, nd.lastClock = own.Epoch, own.Clock
}
