package sim

import (
	"math"
	"net/netip"
	"time"
)

const never = math.MaxInt64

// Node is a node's place on the network.
type Node[P any] struct {
	net       *Net[P]
	index     int32
	addr      netip.AddrPort
	h         Handler[P]
	up        bool // the process runs
	host      bool // the machine does
	suspended bool
	group     int     // partition
	loss      float64 // of its own
	life      uint32  // counts processes: what an earlier one was due to get is void
	boot      uint32  // counts the host's
	wakeAt    int64   // when to wake; never: not at all
	queued    int64   // the earliest wake event in the queue
	waiting   []body[P]
	streams   []*Stream[P]
	count     Counters
}

// Addr is the node's address.
func (nd *Node[P]) Addr() netip.AddrPort { return nd.addr }

// Up says whether the node is neither crashed nor suspended.
func (nd *Node[P]) Up() bool { return nd.up && !nd.suspended }

// Counters are the node's traffic so far, over all its lives.
func (nd *Node[P]) Counters() Counters { return nd.count }

// Send sends a packet of so many bytes, headers and all. A node that is down
// sends nothing.
func (nd *Node[P]) Send(to netip.AddrPort, p P, size int) {
	if !nd.Up() {
		return
	}
	nd.spend(size)
	n := nd.net
	dst := n.byAddr[to]
	lost, delay := n.dice(nd, dst)
	if lost || dst == nil || !n.passes(nd, dst) {
		return
	}
	n.schedule(n.now+delay, body[P]{kind: packet, size: int32(size), from: nd.index, to: dst.index, payload: p})
}

// spend counts a packet that the node sends.
func (nd *Node[P]) spend(size int) {
	nd.count.SentPackets++
	nd.count.SentBytes += uint64(size)
}

// WakeAt sets the node's one timer, in place of what it was set to. A time that
// has passed means now.
func (nd *Node[P]) WakeAt(t time.Duration) {
	nd.wakeAt = max(int64(t), nd.net.now)
	if nd.wakeAt < nd.queued {
		nd.queueWake()
	}
}

func (nd *Node[P]) queueWake() {
	nd.queued = nd.wakeAt
	nd.net.schedule(nd.wakeAt, body[P]{kind: wake, from: -1, to: nd.index, life: nd.life})
}

// Crash ends the node with its host, in silence: what it would have received or
// done is lost, and its peers' streams stay as they are.
func (nd *Node[P]) Crash() {
	nd.vanish()
	nd.stop()
	nd.host = false
	nd.boot++
}

// Kill ends the node's process. The host stays: it ends the process's streams,
// and refuses dials, until Restart.
func (nd *Node[P]) Kill() {
	nd.end()
	nd.stop()
}

func (nd *Node[P]) stop() {
	nd.up, nd.suspended, nd.waiting = false, false, nil
	nd.life++
	nd.wakeAt, nd.queued = never, never
}

// Restart brings a crashed or killed node up with a new program. Packets that
// were under way to its former life reach this one, but not what streams carry.
func (nd *Node[P]) Restart(h Handler[P]) {
	nd.Kill()
	nd.h, nd.up, nd.host = h, true, true
}

// Suspend stops the node until Resume.
func (nd *Node[P]) Suspend() { nd.suspended = nd.up }

// Resume lets a suspended node go on: it gets what has waited, in order, now.
func (nd *Node[P]) Resume() {
	if !nd.suspended {
		return
	}
	nd.suspended = false
	waiting := nd.waiting
	nd.waiting = nil
	for _, b := range waiting {
		nd.net.schedule(nd.net.now, b)
	}
}

// Lossy makes the node lose that fraction of the packets that it sends and gets,
// beside what the network loses.
func (nd *Node[P]) Lossy(loss float64) { nd.loss = loss }

// Partition puts the node into a group: packets pass only between nodes of one
// group. All nodes begin in group 0.
func (nd *Node[P]) Partition(group int) { nd.group = group }

// Cut stops packets from nd to another node, that way only; Mend undoes it.
func (nd *Node[P]) Cut(to *Node[P]) { nd.net.cuts[[2]int32{nd.index, to.index}] = true }

// Mend undoes Cut.
func (nd *Node[P]) Mend(to *Node[P]) { delete(nd.net.cuts, [2]int32{nd.index, to.index}) }

// Heal ends all partitions and cuts, and the nodes' own losses.
func (n *Net[P]) Heal() {
	clear(n.cuts)
	for _, nd := range n.nodes {
		nd.group, nd.loss = 0, 0
	}
}

// arrive delivers a packet, or keeps it while the node is suspended.
func (nd *Node[P]) arrive(b *body[P]) {
	if !nd.up || nd.waits(b) {
		return
	}
	nd.count.ReceivedPackets++
	nd.count.ReceivedBytes += uint64(b.size)
	nd.net.note(b, nd.net.tag(b.payload))
	nd.h.Receive(nd.net.Now(), nd.net.nodes[b.from].addr, b.payload)
}

// waits says whether the process is suspended, and if so keeps the event for it.
func (nd *Node[P]) waits(b *body[P]) bool {
	if nd.suspended {
		b.waited = true
		nd.waiting = append(nd.waiting, *b)
	}
	return nd.suspended
}

// ring wakes the node if its timer has come, and otherwise sets the clock again.
func (nd *Node[P]) ring(b *body[P]) {
	if b.life != nd.life || nd.waits(b) {
		return
	}
	n := nd.net
	if n.now < nd.queued {
		return // a later setting has put an earlier event into the queue since
	}
	nd.queued = never
	switch {
	case nd.wakeAt == never:
	case nd.wakeAt > n.now:
		nd.queueWake()
	default:
		nd.wakeAt = never
		n.note(b, 0)
		nd.h.Wake(n.Now())
	}
}
