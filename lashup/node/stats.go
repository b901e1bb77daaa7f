package node

import (
	"context"
	"sync/atomic"

	"fulcrum.example/lashup/fabric"
)

// stats are what the driver counts beside seal.Counters.
type stats struct {
	bytesIn, bytesOut atomic.Uint64 // of datagrams and frames, without headers and TLS
	unsealed          atomic.Uint64 // datagrams to nodes whose card is not known
	unlinked          atomic.Uint64 // frames to nodes without a link
	held              atomic.Uint64 // bulk for which a link had no room
	overflowed        atomic.Uint64 // links cut because the peer did not read
	late              atomic.Uint64 // timers that fired too late
}

// Counts gives the node's counters and measures by name, as "net.bytes-sent". It
// is empty after Close.
func (n *Node) Counts(ctx context.Context) (map[string]int64, error) {
	m := map[string]int64{}
	err := n.do(ctx, func(c *core) error {
		c.count(m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s, counts := &n.stats, n.counters.Snapshot()
	for name, v := range map[string]uint64{
		"net.bytes-sent": s.bytesOut.Load(), "net.bytes-received": s.bytesIn.Load(), "net.datagrams-sent": counts.Sent,
		"net.datagrams-unsealed": s.unsealed.Load(), "net.frames-unlinked": s.unlinked.Load(),
		"net.frames-held": s.held.Load(), "net.links-cut": s.overflowed.Load(), "fabric.late": s.late.Load(),
	} {
		m[name] = int64(v)
	}
	for v, k := range counts.Dropped() {
		m["net.dropped-"+v] = int64(k)
	}
	return m, nil
}

// count adds what the machine knows.
func (c *core) count(m map[string]int64) {
	var s fabric.Status = c.m.Status()
	table := c.m.Table()
	for name, v := range map[string]int{
		"fabric.members": s.Members, "fabric.up": s.Up, "fabric.down": s.Down, "fabric.passive": s.Passive,
		"fabric.neighbours": len(c.m.Neighbours()), "fabric.adjacency-bytes": table.Bytes(), "fabric.adjacency-memory": table.Memory(),
		"fabric.links": len(c.live), "fabric.dials": len(c.dials),
	} {
		m[name] = int64(v)
	}
	for name, v := range map[string]uint64{
		"fabric.verdicts": s.Stats.Verdicts, "fabric.accused": s.Stats.Accused, "fabric.links-lost": s.Stats.Lost,
		"fabric.links-mended": s.Stats.Mended,
	} {
		m[name] = int64(v)
	}
}
