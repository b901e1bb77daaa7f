package cast

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// travelRate is the rate at which a large payload is taken to travel, in bytes a
// second: its announcement waits so that it does not overtake the payload.
const travelRate = 20 << 20

// graftEvery is the least time between two rounds of asking, so that many missing
// messages are asked for together.
const graftEvery = 5 * time.Millisecond

// tellLater has a message announced with the next ones.
func (c *Cast) tellLater(s *stored) {
	c.tell = append(c.tell, s)
	if c.tellAt == never {
		c.tellAt = c.now + c.jitter(c.cfg.Params.Announce)
	}
}

// announce tells each neighbour of the messages that it is not known to have.
func (c *Cast) announce() {
	var ripe, later []*stored
	for _, s := range c.tell {
		if c.store[s.body.ID] != s {
			continue // there was no room to keep it
		}
		if slow := time.Duration(s.body.size()) * time.Second / travelRate; c.now-s.at < slow {
			later = append(later, s)
		} else {
			ripe = append(ripe, s)
		}
	}
	for _, l := range c.links {
		if l != nil {
			c.announceTo(l, ripe)
		}
	}
	c.tell, c.tellAt = later, never
	if len(later) > 0 {
		c.tellAt = c.now + c.cfg.Params.Announce
	}
}

// announceAll tells a new neighbour of all that is kept.
func (c *Cast) announceAll(l *link) { c.announceTo(l, c.order) }

func (c *Cast) announceTo(l *link, all []*stored) {
	var list []*stored
	for _, s := range all {
		if s.have&l.bit() == 0 && c.entitled(l, s.body) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *stored) int { return a.body.ID.compare(b.body.ID) })
	for len(list) > 0 {
		n := min(len(list), maxIDs)
		c.send(l, c.ihave(list[:n]))
		list = list[n:]
	}
}

// ihave makes one announcement of messages in order.
func (c *Cast) ihave(list []*stored) *IHave {
	m := new(IHave)
	for _, s := range list {
		id := s.body.ID
		k := len(m.Groups) - 1
		if k < 0 || m.Groups[k].Origin != id.Origin || m.Groups[k].Epoch != id.Epoch {
			m.Groups = append(m.Groups, Group{Origin: id.Origin, Epoch: id.Epoch})
			k++
		}
		age := min((c.now-s.at)/(100*time.Millisecond), 255)
		m.Groups[k].Items = append(m.Groups[k].Items, Item{id.Seq, uint8(age)})
	}
	return m
}

// entitled says whether a neighbour may have the message: it is for it, and it
// is no farther from the origin than the message may go.
func (c *Cast) entitled(l *link, b *Body) bool {
	if !b.meant(l.peer) || l.peer == b.ID.Origin {
		return false
	}
	if b.TTL == 0 {
		return true
	}
	d := c.cfg.Table.Tree(b.ID.Origin).Distance(l.peer)
	return d > 0 && d <= int(b.TTL)
}

// missing is a message that was announced and has not come.
type missing struct {
	id   ID
	from []crux.NodeID // who has it; the first is asked next
	by   *link         // whose account it is on
	next time.Duration
	left int // attempts
	over bool
}

func (m *missing) forget(l *link) {
	if i := slices.Index(m.from, l.peer); i >= 0 {
		m.from = slices.Delete(m.from, i, i+1)
	}
	if m.by == l {
		m.by = nil
	}
}

func (c *Cast) onIHave(l *link, m *IHave) {
	for _, g := range m.Groups {
		for _, it := range g.Items {
			id := ID{g.Origin, g.Epoch, it.Seq}
			if s := c.store[id]; s != nil {
				s.have |= l.bit()
				continue
			}
			if id.Origin != c.cfg.Self && !c.seen(id) && time.Duration(it.Age)*100*time.Millisecond <= c.now-c.began {
				c.miss(l, id)
			}
		}
	}
}

// miss notes that a neighbour has a message that is missing here.
func (c *Cast) miss(l *link, id ID) {
	m := c.missing[id]
	if m == nil {
		if l.waiting >= c.cfg.Params.Missing {
			return // its word is all that there is for so many
		}
		l.waiting++
		m = &missing{id: id, by: l, next: c.now + c.jitter(c.cfg.Params.Wait), left: 2 * sources}
		c.missing[id] = m
		c.waits = append(c.waits, m)
		c.missAt = min(c.missAt, max(m.next, c.grafted+graftEvery))
	}
	if len(m.from) < sources && !slices.Contains(m.from, l.peer) {
		m.from = append(m.from, l.peer)
	}
}

// found ends the wait for a message.
func (c *Cast) found(id ID) {
	if m := c.missing[id]; m != nil {
		if m.by != nil {
			m.by.waiting--
		}
		m.over = true
		delete(c.missing, id)
	}
}

// graft asks for the messages that are overdue, each from one neighbour that
// announced it; the next attempt asks the next one.
func (c *Cast) graft() {
	ask := make(map[crux.NodeID][]ID)
	c.missAt, c.grafted = never, c.now
	waits := c.waits[:0]
	for _, m := range c.waits {
		if !m.over && c.now >= m.next {
			c.askFor(m, ask)
		}
		if !m.over {
			c.missAt = min(c.missAt, max(m.next, c.now+graftEvery))
			waits = append(waits, m)
		}
	}
	clear(c.waits[len(waits):])
	c.waits = waits
	for _, l := range c.links {
		if l != nil && len(ask[l.peer]) > 0 {
			c.sendGrafts(l, ask[l.peer])
		}
	}
}

// askFor chooses whom to ask for a message, or gives it up.
func (c *Cast) askFor(m *missing, ask map[crux.NodeID][]ID) {
	if m.left == 0 || len(m.from) == 0 {
		c.stats.GivenUp++
		c.found(m.id)
		return
	}
	p := m.from[0]
	m.from = append(m.from[1:], p)
	m.left--
	m.next = c.now + c.jitter(c.cfg.Params.Retry)
	ask[p] = append(ask[p], m.id)
}

func (c *Cast) sendGrafts(l *link, ids []ID) {
	slices.SortFunc(ids, ID.compare)
	c.stats.Asked += uint64(len(ids))
	for len(ids) > 0 {
		n := min(len(ids), maxIDs)
		c.send(l, &Graft{ids[:n]})
		ids = ids[n:]
	}
}

// onGraft sends what a neighbour asks for, within its budget. What is not sent it
// asks for again, here or elsewhere.
func (c *Cast) onGraft(l *link, m *Graft) {
	for _, id := range m.IDs {
		s := c.store[id]
		if s == nil || !c.entitled(l, s.body) && s.pushed&l.bit() == 0 {
			continue
		}
		p := s.copyOf(0)
		if c.cfg.Room != nil && c.cfg.Room(l.peer) < p.Size() || !c.served.Take(c.now, l.peer, perSecond(c.cfg.Params.Serve), float64(p.Size())) {
			continue
		}
		c.stats.Served++
		s.pushed |= l.bit()
		c.send(l, p)
	}
}
