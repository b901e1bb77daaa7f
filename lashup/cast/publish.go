package cast

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// Publish sends a message. It is on its way when Publish returns; nobody says
// when it has arrived. Errors: Invalid, a topic or an option is out of bounds;
// Exhausted, the payload is larger than MaxPayload, this node has published too
// much just now, or no neighbour's queue has room: nothing was sent.
func (c *Cast) Publish(now time.Duration, req Request) (ID, Ready, error) {
	c.begin(now)
	if err := c.check(&req); err != nil {
		return ID{}, c.out, err
	}
	b := &Body{
		ID: ID{c.cfg.Self, c.cfg.Epoch, c.seq + 1}, Topic: req.Topic, Record: req.Options.RecordRoute,
		TTL: uint32(req.Options.TTL), Only: ordered(req.Options.Only), Payload: req.Payload,
	}
	if req.Options.Compress && c.compressed.Take(c.now, compressRate, float64(len(req.Payload))) {
		b.compress()
	}
	if req.Options.Fanout > 1 {
		others := c.cfg.Table.Tree(c.cfg.Self).Pick(c.cfg.Rand, req.Options.Fanout-1)
		b.Roots = append([]crux.NodeID{c.cfg.Self}, others...)
	}
	if err := c.room(b); err != nil {
		return ID{}, c.out, err
	}
	c.seq++
	b.Sig = c.cfg.Sign(b.SignedBytes())
	c.stats.Published++
	c.mark(b.ID)
	s := c.keep(b, 0, nil)
	if req.Options.Loop {
		c.deliver(s, req.Payload)
	}
	for i := range max(1, len(b.Roots)) {
		c.push(s, uint8(i))
	}
	c.runTimers()
	return b.ID, c.out, nil
}

func (c *Cast) check(req *Request) error {
	const op = "publish multicast"
	o := &req.Options
	switch {
	case len(req.Payload) > MaxPayload:
		return crux.Errorf(op, crux.Exhausted, "a payload of %d bytes is longer than %d", len(req.Payload), MaxPayload)
	case req.Topic == "" || len(req.Topic) > MaxTopic:
		return crux.Errorf(op, crux.Invalid, "a topic has 1 to %d bytes, not %d", MaxTopic, len(req.Topic))
	case o.Fanout < 0 || o.Fanout > MaxFanout:
		return crux.Errorf(op, crux.Invalid, "a fanout of %d is not between 1 and %d", o.Fanout, MaxFanout)
	case o.TTL < 0 || o.TTL > MaxTTL:
		return crux.Errorf(op, crux.Invalid, "a time to live of %d hops is not between 1 and %d", o.TTL, MaxTTL)
	case len(o.Only) > MaxOnly:
		return crux.Errorf(op, crux.Exhausted, "%d receivers are named, more than %d", len(o.Only), MaxOnly)
	}
	return nil
}

// room says whether so much can be published now.
func (c *Cast) room(b *Body) error {
	const op = "publish multicast"
	if full := c.fullLinks(b.size()); full > 0 {
		return crux.Errorf(op, crux.Exhausted, "the queues to all %d neighbours are full: try again later", full)
	}
	if !c.burst.Take(c.now, perSecond(c.cfg.Params.Burst), float64(b.size())) {
		return crux.Errorf(op, crux.Exhausted, "this node may send %d bytes a second: try again later", c.cfg.Params.Burst)
	}
	return nil
}

// fullLinks is the number of neighbours if none of them has room for so many
// bytes, or 0.
func (c *Cast) fullLinks(bytes int) (full int) {
	if c.cfg.Room == nil {
		return 0
	}
	for _, l := range c.links {
		if l == nil {
			continue
		}
		if c.cfg.Room(l.peer) >= bytes {
			return 0
		}
		full++
	}
	return full
}

// ordered gives the nodes ascending, each once.
func ordered(ids []crux.NodeID) []crux.NodeID {
	out := slices.Clone(ids)
	slices.SortFunc(out, crux.NodeID.Compare)
	return slices.Compact(out)
}
