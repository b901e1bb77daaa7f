package sim

import (
	"net/netip"
	"time"

	"fulcrum.example/crux"
)

// Streamer is a Handler whose node also dials or accepts streams. A node whose
// Handler is none refuses every dial.
type Streamer[P any] interface {
	Handler[P]
	// Accepted is called when a peer's dial has come through.
	Accepted(now time.Duration, s *Stream[P])
	// Opened is called when the peer's kernel has answered the dial of s.
	Opened(now time.Duration, s *Stream[P])
	// Deliver is called for what the peer sent on s, in its order.
	Deliver(now time.Duration, s *Stream[P], p P)
	// Broken is called once when s ends otherwise than by Close: Unavailable,
	// nobody listened there; Canceled, the peer closed it or its process ended;
	// Conflict, the peer does not know it any more; Timeout, no answer.
	Broken(now time.Duration, s *Stream[P], why crux.Kind)
}

// Sizes of the segments that carry no data, with their IPv4 headers.
const (
	handshakeSize = 60
	ackSize       = 52
)

// How long a kernel (Linux) waits for an answer before it sends again.
const (
	synAgain  = time.Second            // doubled each time
	dataAgain = 200 * time.Millisecond // and a round trip; doubled each time
	patience  = 15 * time.Minute       // Options.Unanswered, if that is 0
	// payload is how much of a message fits into a segment.
	payload = 1400
)

// Stream is one end of a connection. What is sent on it arrives in order and
// once. A segment that is lost arrives late, after the kernel's retransmission
// (200 ms and a round trip, doubled each time; a round trip if a later segment
// arrived), and holds up what follows. It breaks when the other process ends or
// closes it; a host that dies in silence or hangs breaks nothing, but for
// Options.Unanswered.
type Stream[P any] struct {
	// Data is for the user of this end.
	Data any

	node  *Node[P] // whose end this is
	dst   *Node[P] // whose the other end is
	peer  *Stream[P]
	life  uint32 // of the node when it made this end
	boot  uint32
	state streamState
	slot  int // in node.streams
	tries int // of the dial
	until int64
	out   lane[P]
}

type streamState uint8

const (
	dialling streamState = iota
	open
	closed
)

// Peer is the address of the other end.
func (s *Stream[P]) Peer() netip.AddrPort { return s.dst.addr }

// Open says whether this end may still send.
func (s *Stream[P]) Open() bool { return s.state == open && s.node.life == s.life }

// Dial connects to the node at an address. Opened or Broken will be called:
// Broken with Timeout after limit if no kernel has answered (at once if no node
// ever had that address). A hung process's kernel answers.
func (nd *Node[P]) Dial(to netip.AddrPort, limit time.Duration) *Stream[P] {
	n := nd.net
	s := nd.stream(n.byAddr[to])
	s.until = n.now + int64(limit)
	if s.dst == nil {
		s.dst = &Node[P]{net: n, addr: to, group: -1}
	}
	n.schedule(s.until, body[P]{kind: giveUp, from: nd.index, to: nd.index, stream: s})
	s.knock()
	return s
}

// Join makes a stream between two nodes that are up, open at both ends at once,
// with no packet: for simulations that begin in the middle. Nothing is called.
func (nd *Node[P]) Join(o *Node[P]) (here, there *Stream[P]) {
	here, there = nd.stream(o), o.stream(nd)
	here.peer, there.peer = there, here
	here.state, there.state = open, open
	return here, there
}

func (nd *Node[P]) stream(dst *Node[P]) *Stream[P] {
	s := &Stream[P]{node: nd, dst: dst, life: nd.life, boot: nd.boot, slot: len(nd.streams)}
	nd.streams = append(nd.streams, s)
	return s
}

// drop forgets a stream of the node.
func (nd *Node[P]) drop(s *Stream[P]) {
	if s.slot >= len(nd.streams) || nd.streams[s.slot] != s {
		return
	}
	last := len(nd.streams) - 1
	nd.streams[s.slot] = nd.streams[last]
	nd.streams[s.slot].slot = s.slot
	nd.streams[last] = nil
	nd.streams = nd.streams[:last]
}

// knock sends a SYN, and comes again later.
func (s *Stream[P]) knock() {
	n := s.node.net
	if s.state != dialling || s.life != s.node.life {
		return
	}
	s.node.spend(handshakeSize)
	lost, delay := n.dice(s.node, s.dst)
	if !lost && n.passes(s.node, s.dst) {
		n.schedule(n.now+delay, body[P]{kind: syn, from: s.node.index, to: s.dst.index, stream: s})
	}
	if again := n.now + int64(synAgain)<<s.tries; again < s.until {
		s.tries++
		n.schedule(again, body[P]{kind: knockAgain, from: s.node.index, to: s.node.index, stream: s})
	}
}

// knocked is a SYN's arrival at the other host.
func (s *Stream[P]) knocked() {
	nd, n := s.dst, s.node.net
	if s.state != dialling || !nd.host {
		return
	}
	nd.spend(handshakeSize)
	lost, delay := n.dice(nd, s.node)
	if lost || !n.passes(nd, s.node) {
		return
	}
	answer := synAck
	if _, ok := nd.h.(Streamer[P]); !nd.up || !ok {
		answer = refused
	}
	n.schedule(n.now+delay, body[P]{kind: answer, from: nd.index, to: s.node.index, stream: s, life: nd.life})
}

// answered is the arrival of a SYN's answer at the host that dialled. It makes
// the other end, whether or not a process that hangs has seen it yet.
func (s *Stream[P]) answered(b *body[P]) {
	n := s.node.net
	if s.state != dialling || s.life != s.node.life {
		return
	}
	if b.kind == refused {
		s.fail(crux.Unavailable)
		return
	}
	s.state = open
	s.node.spend(ackSize)
	_, delay := n.dice(s.node, s.dst)
	s.out.last = n.now + delay
	s.peer = s.dst.stream(s.node)
	s.peer.peer, s.peer.state, s.peer.life = s, open, b.life
	n.schedule(s.out.last, body[P]{kind: accepted, from: s.node.index, to: s.dst.index, stream: s.peer})
	n.schedule(n.now, body[P]{kind: opened, from: s.dst.index, to: s.node.index, stream: s})
}

// fail ends this end, and tells its process.
func (s *Stream[P]) fail(why crux.Kind) {
	if s.state == closed {
		return
	}
	s.state = closed
	s.out.held, s.out.retryAt = nil, 0
	s.node.drop(s)
	if s.life == s.node.life {
		s.node.net.schedule(s.node.net.now, body[P]{kind: broken, from: s.dst.index, to: s.node.index, size: int32(why), stream: s})
	}
}

// Close ends the stream when what was sent before has arrived. Nothing more is
// called for this end.
func (s *Stream[P]) Close() {
	was := s.state
	if was == closed {
		return
	}
	s.state = closed
	s.node.drop(s)
	if was == open {
		s.transmit(body[P]{kind: fin, from: s.node.index, to: s.dst.index, size: ackSize, stream: s.peer}, 1)
	}
}

// Send sends a message of so many bytes, headers and all, on the stream. It is
// nothing on a stream that is not open, or of a node that is down.
func (s *Stream[P]) Send(p P, size int) {
	if !s.Open() || !s.node.Up() {
		return
	}
	s.transmit(body[P]{kind: segment, size: int32(size), from: s.node.index, to: s.dst.index, payload: p, stream: s.peer}, 1+size/payload)
}

// alive says whether the end's process has it still.
func (s *Stream[P]) alive() bool { return s.state == open && s.life == s.node.life }
