package node

import (
	"context"
	"time"

	"fulcrum.example/crux"
)

const (
	// followPause is the least time between two lists that the machine is given:
	// while ten thousand nodes start, the registry changes all the time.
	followPause = 50 * time.Millisecond
	// followEvery is how often the list is looked at where nothing has changed, and
	// nobody is missing from it.
	followEvery = 10 * time.Minute
)

// follow is the goroutine that follows the flock and the registry.
func (n *Node) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	views := n.cfg.Network.Members().Watch(ctx)
	rows := n.cfg.Network.Registry().Watch(ctx, crux.Selector{Horde: n.cfg.Network.Horde(), API: n.cfg.Inst.API()})
	var snapshot crux.Snapshot
	for {
		again := n.cfg.Clock.After(n.nextMeet())
		select {
		case _, ok := <-views:
			if !ok {
				views = nil // its node has ended; this one will be closed
				continue
			}
		case s, ok := <-rows:
			if !ok {
				rows = nil
				continue
			}
			snapshot = s
		case <-again:
		case <-n.leave:
			return
		}
		p, gone, same := n.meet(snapshot)
		if !same || len(gone) > 0 {
			n.core.enter(func(c *core) { c.members(p, gone) })
		}
		select {
		case <-n.cfg.Clock.After(followPause):
		case <-n.leave:
			return
		}
	}
}

// nextMeet is how long nothing need be done where nothing changes.
func (n *Node) nextMeet() time.Duration {
	n.rosterMu.Lock()
	defer n.rosterMu.Unlock()
	return n.roster.next(n.now(), followEvery)
}

// members tells the machine of the flock's members. Who is gone is cut off and
// forgotten.
func (c *core) members(p *people, gone []crux.NodeID) {
	if c.thawed != nil {
		return // Thaw makes up for it
	}
	for _, id := range gone {
		c.closeLinks(id)
		c.n.pairs.Forget(id)
		delete(c.since, id)
	}
	c.apply(c.m.Members(c.n.now(), p.list))
	c.change()
}
