package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
)

// Form brings all nodes up at once in a state as after long calm: an overlay of
// random edges, six a node, with links that are open, and tables that know it.
// Nothing of how they came there is simulated.
func (w *World) Form() {
	now := w.Net.Now()
	edges := w.regular(6)
	proto := w.formTable(edges)
	for i, nd := range w.Nodes {
		nd.F = fabric.Resume(nd.config(), proto.Clone(nd.ID), w.list, now)
		nd.Place.Restart(nd)
		w.tally.up[i] = int32(len(w.members) - 1)
		nd.cards = map[crux.NodeID]*route.Card{}
	}
	w.tally.full = len(w.Nodes)
	for i, nd := range w.Nodes {
		for _, k := range edges[i] {
			if int(k) > i {
				w.join(nd, w.Nodes[k])
			}
		}
	}
	for _, nd := range w.Nodes {
		nd.wakeLater()
	}
	if w.set.Replicas {
		w.StartStores()
	}
}

// regular makes a connected graph of nearly the same degree everywhere: rings
// through all nodes, in random orders.
func (w *World) regular(degree int) [][]int32 {
	n := len(w.Nodes)
	rng := rand.New(rand.NewPCG(w.set.Seed, 0x72696e67))
	edges := make([][]int32, n)
	for range degree / 2 {
		ring := rng.Perm(n)
		for k, a := range ring {
			b := ring[(k+1)%n]
			if a != b && !slices.Contains(edges[a], int32(b)) {
				edges[a] = append(edges[a], int32(b))
				edges[b] = append(edges[b], int32(a))
			}
		}
	}
	return edges
}

// formTable publishes everybody's adjacency into one table.
func (w *World) formTable(edges [][]int32) *route.Table {
	t := route.New(w.Nodes[0].ID, w.index, w.cache)
	for i, nd := range w.Nodes {
		nd.boot()
		a := &route.Adjacency{Node: nd.ID, Epoch: nd.Epoch, Clock: 1, Master: nd.master, Card: nd.card}
		for _, k := range edges[i] {
			a.Edges = append(a.Edges, w.Nodes[k].ID)
		}
		a.Normalize()
		if _, err := t.Update(a); err != nil {
			w.fail("form the overlay: %v", err)
		}
	}
	for t.Settle(0); t.NextSettle() < time.Hour; {
		t.Settle(t.NextSettle())
	}
	return t
}

// join makes two nodes neighbours: what they say to each other on their new link
// takes no time.
func (w *World) join(a, b *Node) {
	now := w.Net.Now()
	la, lb := &link{peer: b.ID, dialled: true, up: true}, &link{peer: a.ID, up: true}
	la.s, lb.s = a.Place.Join(b.Place)
	la.s.Data, lb.s.Data = la, lb
	a.links, b.links = append(a.links, la), append(b.links, lb)
	type frame struct {
		from, to *Node
		msg      fabric.Message
	}
	var queue []frame
	take := func(nd *Node, r fabric.Ready) {
		for _, f := range r.Frames {
			if to := w.byID[f.To]; to == a || to == b {
				queue = append(queue, frame{nd, to, f.Msg})
			}
		}
	}
	take(a, a.F.Reach(now, b.ID))
	take(b, b.F.LinkUp(now, a.ID, false))
	take(a, a.F.LinkUp(now, b.ID, true))
	for ; len(queue) > 0; queue = queue[1:] {
		f := queue[0]
		take(f.to, f.to.F.Frame(now, f.from.ID, f.msg))
	}
}
