package node

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/overlay"
)

// dial makes a link to a node. To dial where a dial is under way is to go on with
// that.
func (c *core) dial(id crux.NodeID) {
	if c.dials[id] != nil {
		return
	}
	ctx, cancel := c.n.within(dialMost)
	d := &dialing{cancel}
	c.dials[id] = d
	if !c.n.spawn(func() {
		defer cancel()
		l, err := c.n.connect(ctx, id)
		if !c.n.core.enter(func(c *core) { c.dialled(id, d, l, err) }) && l != nil {
			l.conn.Abort()
		}
	}) {
		cancel()
	}
}

// dialled is the end of a dial.
func (c *core) dialled(id crux.NodeID, d *dialing, l *link, err error) {
	wanted := c.dials[id] == d && c.thawed == nil
	if c.dials[id] == d {
		delete(c.dials, id)
	}
	switch {
	case err == nil && wanted:
		c.linked(l)
	case err == nil:
		l.conn.Abort()
	case !wanted:
	case c.n.links[id] == nil:
		c.n.log.Debug("a dial came to nothing", "peer", id, "why", err)
		c.apply(c.m.DialFailed(c.n.now(), id))
	}
}

// linked is the end of a handshake. Of two links to one peer, both ends keep the
// one that overlay.Wins says, or else the newer one; one that is older than a
// handshake gives way to any, as the other side knows nothing of it.
func (c *core) linked(l *link) {
	if c.thawed != nil || c.n.people.Load().keys[l.peer] == nil {
		l.conn.Abort()
		return
	}
	l.start()
	c.live[l] = struct{}{}
	l.since = c.n.now()
	if other := c.n.links[l.peer]; other != nil {
		wins := func(x *link) bool { return overlay.Wins(c.n.id, x.peer, x.dialled) }
		if wins(other) && !wins(l) && l.since-other.since < dialMost {
			l.retire()
			return
		}
		other.retire()
	}
	c.use(l.peer, l)
	c.apply(c.m.LinkUp(c.n.now(), l.peer, l.dialled))
}

// use makes l the link to a peer; nil: there is none.
func (c *core) use(peer crux.NodeID, l *link) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if l == nil {
		delete(c.n.links, peer)
	} else {
		c.n.links[peer] = l
	}
}

// frame takes in what came on a link; nil: its stream has ended. It says whether
// the link is open still.
func (c *core) frame(l *link, msg fabric.Message, why error) bool {
	if _, ok := c.live[l]; !ok {
		return false // it was closed
	}
	if msg != nil {
		c.apply(c.m.Frame(c.n.now(), l.peer, msg))
		return true
	}
	c.drop(l)
	if c.n.links[l.peer] != l {
		return true // another one had taken its place
	}
	c.n.log.Debug("a link has ended", "peer", l.peer, "why", why)
	c.use(l.peer, nil)
	c.apply(c.m.LinkDown(c.n.now(), l.peer))
	return true
}

// drop ends a link, after what is queued on it.
func (c *core) drop(l *link) {
	delete(c.live, l)
	l.close()
}

// closeLinks ends all links and the dial to a peer. Nothing is reported of them
// any more.
func (c *core) closeLinks(id crux.NodeID) {
	if d := c.dials[id]; d != nil {
		d.cancel()
		delete(c.dials, id)
	}
	for l := range c.live {
		if l.peer == id {
			c.drop(l)
		}
	}
	c.use(id, nil)
}

// SendTo queues a message of the store for a neighbour. It does not wait. Errors:
// NotFound, there is no link to it; Exhausted, the link's queue is full.
func (n *Node) SendTo(peer crux.NodeID, m fabric.Message) error {
	const op = "send to neighbour"
	n.mu.Lock()
	l := n.links[peer]
	n.mu.Unlock()
	switch {
	case l == nil:
		return crux.Errorf(op, crux.NotFound, "there is no link to node %s", peer)
	case !l.queue.Push(m, true):
		n.stats.held.Add(1)
		return crux.Errorf(op, crux.Exhausted, "the queue of the link to node %s is full", peer)
	}
	return nil
}

// room says how many bytes the link to a peer takes. The core calls it.
func (n *Node) room(peer crux.NodeID) int {
	if l := n.links[peer]; l != nil {
		return l.queue.Room()
	}
	return 0
}
