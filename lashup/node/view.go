package node

import (
	"bytes"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// View is how the members fare, as this node sees them. It is immutable.
type View struct {
	Members        []Member      // by ID
	Evicted        []crux.NodeID // ascending: whom an operator removed; no members
	Isolated       bool          // this node reaches nobody
	CutFromMasters bool          // there are masters, and it reaches none of them
}

// Member is how one fares.
type Member struct {
	ID    crux.NodeID
	State route.State
	Why   route.Why     // where State is Down
	Since time.Time     // when this node saw it take this state; or its own start
	RTT   time.Duration // the latest round trip; 0: it is not pinged from here
	// Distance is the number of hops from this node, or route.Infinity.
	Distance int
	Addr     netip.AddrPort // where its datagrams arrive; zero: not known
	// SeenBy are the members whose word the state is: its neighbours, or those
	// that lost it.
	SeenBy    []crux.NodeID
	Master    bool
	Neighbour bool // of this node
}

// View gives how the members fare now.
func (n *Node) View(ctx context.Context) (v *View, err error) {
	err = n.do(ctx, func(c *core) error {
		if c.view == nil {
			c.view = c.look()
		}
		v = c.view
		return nil
	})
	return v, err
}

// Changed is closed at the next change of the members: of their states, of this
// node's neighbours, of the list.
func (n *Node) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// look makes a View.
func (c *core) look() *View {
	p, table := c.n.people.Load(), c.m.Table()
	tree, neighbours := table.Tree(c.n.id), c.m.Neighbours()
	losers := c.losers()
	v := &View{Evicted: p.evicted, Isolated: c.isolated, CutFromMasters: len(p.masters) > 0}
	for _, id := range slices.SortedFunc(maps.Keys(p.keys), crux.NodeID.Compare) {
		m := Member{ID: id, Since: c.n.start, Distance: tree.Distance(id), Master: p.masters[id]}
		m.State, m.Why = c.m.State(id)
		m.RTT, _ = c.m.RTT(id)
		if at, ok := c.since[id]; ok {
			m.Since = at
		}
		if m.SeenBy = losers[id]; m.State == route.Up {
			m.SeenBy = table.Neighbours(id)
		}
		if card := c.n.Card(id); card != nil {
			m.Addr = card.Addr
		}
		_, m.Neighbour = slices.BinarySearchFunc(neighbours, id, crux.NodeID.Compare)
		v.Members = append(v.Members, m)
		if m.Master && (m.State == route.Up || id == c.n.id) {
			v.CutFromMasters = false
		}
	}
	return v
}

// losers gives, for nodes that are down, the nodes that say why, ascending.
func (c *core) losers() map[crux.NodeID][]crux.NodeID {
	out := map[crux.NodeID][]crux.NodeID{}
	c.m.Table().Each(func(a *route.Adjacency) {
		for _, cut := range a.Cuts {
			if s, _ := c.m.State(cut.Node); s == route.Down {
				out[cut.Node] = append(out[cut.Node], a.Node)
			}
		}
	})
	for _, list := range out {
		slices.SortFunc(list, crux.NodeID.Compare)
	}
	return out
}

// Branch is a node in a tree.
type Branch struct {
	ID, Parent crux.NodeID // Parent is zero for the origin, and for who is out of reach
	Distance   int         // from the origin, or route.Infinity
}

// Tree gives all members by distance from origin, then by ID, those out of reach
// last. Errors: NotFound, origin is no member.
func (n *Node) Tree(ctx context.Context, origin crux.NodeID) (list []Branch, err error) {
	p := n.people.Load()
	if p.keys[origin] == nil {
		return nil, errStranger("tree", origin)
	}
	list = make([]Branch, 0, len(p.keys))
	err = n.do(ctx, func(c *core) error {
		tree := c.m.Table().Tree(origin)
		for id := range p.keys {
			b := Branch{ID: id, Distance: tree.Distance(id)}
			b.Parent, _ = tree.Parent(id)
			list = append(list, b)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b Branch) int {
		switch {
		case a.Distance == b.Distance:
			return bytes.Compare(a.ID[:], b.ID[:])
		case a.Distance < 0 || b.Distance < 0:
			return b.Distance - a.Distance
		}
		return a.Distance - b.Distance
	})
	return list, err
}

// Neighbours are the nodes with whom this one has links, ascending.
func (n *Node) Neighbours(ctx context.Context) (list []crux.NodeID, err error) {
	err = n.do(ctx, func(c *core) error {
		list = c.m.Neighbours()
		return nil
	})
	return list, err
}
