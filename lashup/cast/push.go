package cast

import (
	"slices"

	"fulcrum.example/crux"
)

// keep stores a message for repair, and has it announced.
func (c *Cast) keep(b *Body, hops uint32, route []crux.NodeID) *stored {
	s := &stored{body: b, at: c.now, hops: hops}
	if b.Record {
		s.route = route
		if len(route) < MaxRoute {
			s.route = append(slices.Clip(route), c.cfg.Self)
		}
	}
	c.store[b.ID] = s
	c.order = append(c.order, s)
	c.bytes += b.size()
	for c.bytes > c.cfg.Params.Store && len(c.order) > 1 {
		c.stats.Evicted++
		c.dropOldest()
	}
	if len(b.Only) > 0 {
		c.onlys++
		c.watch()
	}
	c.tellLater(s)
	return s
}

// expire drops what was kept long enough.
func (c *Cast) expire() {
	for len(c.order) > 0 && c.now-c.order[0].at >= c.cfg.Params.Keep {
		c.dropOldest()
	}
}

func (c *Cast) dropOldest() {
	s := c.order[0]
	c.order[0] = nil
	c.order = c.order[1:]
	c.bytes -= s.body.size()
	delete(c.store, s.body.ID)
	if len(s.body.Only) > 0 {
		c.onlys--
	}
}

func (c *Cast) deliver(s *stored, payload []byte) {
	c.stats.Delivered++
	b := s.body
	c.out.Delivered = append(c.out.Delivered, Delivery{ID: b.ID, Topic: b.Topic, Payload: payload, Route: s.route})
}

// onPush takes in a copy.
func (c *Cast) onPush(l *link, m *Push) {
	b := m.Body
	if s := c.store[b.ID]; s != nil {
		c.stats.Duplicate++
		s.have |= l.bit()
		if s.roots&(1<<m.Root) == 0 && c.sameBody(s.body, b) {
			c.push(s, m.Root) // the copy of another root
		}
		return
	}
	if c.seen(b.ID) {
		c.stats.Duplicate++
		return
	}
	if m.Hops > mostHops(b) || !routeFits(m, l.peer) {
		c.refuse(l)
		return
	}
	if !c.verify(l, b) {
		return
	}
	c.found(b.ID)
	c.mark(b.ID)
	mine := b.meant(c.cfg.Self)
	var payload []byte
	if mine {
		var ok bool
		if payload, ok = c.expand(b); !ok {
			c.stats.Bad++ // its origin's fault: who only passes it on does not expand it
			return
		}
	}
	s := c.keep(b, m.Hops, m.Route)
	s.have |= l.bit()
	if mine {
		c.deliver(s, payload)
	}
	c.push(s, m.Root)
}

// expand gives the payload as it was published, if its origin has not had too much
// expanded of late.
func (c *Cast) expand(b *Body) ([]byte, bool) {
	if b.Raw > 0 && !c.expanded.Take(c.now, b.ID.Origin, expandRate, float64(b.Raw)) {
		return nil, false
	}
	return b.expand()
}

// sameBody says whether a further copy has the body that was verified. If not,
// it was changed on the way, or its origin made two of one number; the first
// stays.
func (c *Cast) sameBody(a, b *Body) bool {
	if a != b && (a.Sig != b.Sig || !slices.Equal(a.Roots, b.Roots)) {
		c.stats.Bad++
		return false
	}
	return true
}

// routeFits says whether the recorded route can be true: it begins at the origin
// and ends at the neighbour that sent it.
func routeFits(m *Push, peer crux.NodeID) bool {
	if !m.Body.Record {
		return len(m.Route) == 0
	}
	n := len(m.Route)
	return n > 0 && m.Route[0] == m.Body.ID.Origin && (n == MaxRoute || m.Route[n-1] == peer)
}

// verify checks a body that was not seen yet. One of an incarnation whose card
// has not arrived yet is asked for again a little later.
func (c *Cast) verify(l *link, b *Body) bool {
	if b.ID.Origin == c.cfg.Self {
		return false // of an earlier life, or an echo of one
	}
	a := c.cfg.Table.Get(b.ID.Origin)
	switch {
	case a == nil || a.Card.Epoch < b.ID.Epoch:
		c.miss(l, b.ID)
		return false
	case a.Card.Epoch > b.ID.Epoch:
		return false
	case !c.cfg.Verify(a.Card, b.SignedBytes(), b.Sig):
		c.refuse(l)
		return false
	}
	return true
}

// refuse counts what only a faulty or hostile neighbour sends on.
func (c *Cast) refuse(l *link) {
	c.stats.Bad++
	c.bad.Take(c.now, l.peer, badRate, 1)
}

// mostHops is the most hops that a copy of a message can truly have taken.
func mostHops(b *Body) uint32 {
	if b.TTL == 0 {
		return maxHops
	}
	return min(b.TTL, maxHops)
}

// copyOf is the copy that goes from here to the neighbours. Hops are the word of
// those before: whatever they say, the next one must be able to read it.
func (s *stored) copyOf(root uint8) *Push {
	return &Push{Body: s.body, Root: root, Hops: min(s.hops+1, mostHops(s.body)), Route: s.route}
}

// push sends a copy on along the tree of one of its roots: to all neighbours in
// it but those that have the message.
func (c *Cast) push(s *stored, root uint8) {
	b := s.body
	s.roots |= 1 << root
	if b.TTL > 0 && s.hops >= b.TTL {
		return
	}
	tree := c.cfg.Table.Tree(b.root(root))
	var next []crux.NodeID
	if len(b.Only) > 0 {
		next = tree.Toward(c.cfg.Self, b.Only)
	} else {
		next = tree.Adjacent(c.cfg.Self)
	}
	var m *Push // the same for all
	for _, p := range next {
		l := c.link(p)
		if l == nil || s.have&l.bit() != 0 || p == b.ID.Origin {
			continue
		}
		if m == nil {
			m = s.copyOf(root)
		}
		if c.cfg.Room != nil && c.cfg.Room(p) < m.Size() {
			c.stats.Held++
			continue
		}
		c.stats.Pushed++
		s.pushed |= l.bit()
		c.send(l, m)
	}
}

// watch has messages for some nodes only sent on again when the graph changes:
// those between here and there may have nobody who asks for them.
func (c *Cast) watch() {
	if c.reviewAt == never {
		c.shape = c.cfg.Table.Shape()
		c.reviewAt = c.now + c.cfg.Params.Announce
	}
}

func (c *Cast) review() {
	c.reviewAt = never
	if c.onlys == 0 {
		return
	}
	if shape := c.cfg.Table.Shape(); shape != c.shape {
		for _, s := range c.order {
			if len(s.body.Only) == 0 {
				continue
			}
			had := s.have
			s.have |= s.pushed
			for i := range max(1, len(s.body.Roots)) {
				if s.roots&(1<<i) != 0 {
					c.push(s, uint8(i))
				}
			}
			s.have = had
		}
	}
	c.watch()
}
