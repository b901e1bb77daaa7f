package sim

import "fulcrum.example/crux"

// lane is one direction of a stream, as the sender's kernel sees it.
type lane[P any] struct {
	last    int64     // when the latest segment arrives: none overtakes it
	held    []held[P] // in order: the first was lost, the others wait for it
	tries   int       // retransmissions since the last answer
	since   int64     // when it began to be without an answer
	retryAt int64     // when to retransmit; 0: nothing to
}

// held is a segment behind a gap, or the gap.
type held[P any] struct {
	body  body[P]
	ready int64 // when it arrives; never: it is lost
}

// transmit sends a segment, or a message of several, of which the loss of one
// holds up the whole.
func (s *Stream[P]) transmit(b body[P], segments int) {
	n := s.node.net
	l := &s.out
	s.node.spend(int(b.size))
	lost, delay := n.dice(s.node, s.dst)
	for i := 1; i < segments; i++ {
		again, _ := n.dice(s.node, s.dst)
		lost = lost || again
	}
	lost = lost || !s.forward()
	ready := max(n.now+delay, l.last)
	switch {
	case !lost && len(l.held) == 0:
		l.last = ready
		n.schedule(ready, b)
	case lost:
		l.held = append(l.held, held[P]{b, never})
	default:
		l.held = append(l.held, held[P]{b, ready})
		s.sackAt(ready)
	}
	if lost || !s.back() {
		s.arm()
	}
}

// forward says whether the other host can get what this one sends; back, whether
// this one can get its answers.
func (s *Stream[P]) forward() bool { return s.node.net.passes(s.node, s.dst) && s.dst.host }
func (s *Stream[P]) back() bool    { return s.node.net.passes(s.dst, s.node) }

// arm sets the retransmission timer, if it is not set.
func (s *Stream[P]) arm() {
	l, n := &s.out, s.node.net
	if l.retryAt != 0 {
		return
	}
	if l.since == 0 {
		l.since = n.now
	}
	s.retryAt(n.now + (int64(dataAgain)+n.roundTrip())<<min(l.tries, 9))
}

// sackAt hears, a round trip after a segment's arrival, that an earlier one is
// missing, and sends that again.
func (s *Stream[P]) sackAt(arrival int64) {
	n := s.node.net
	if at := arrival + n.roundTrip()/2; s.back() && (s.out.retryAt == 0 || at < s.out.retryAt) {
		s.retryAt(at)
	}
}

func (s *Stream[P]) retryAt(at int64) {
	s.out.retryAt = at
	s.node.net.schedule(at, body[P]{kind: retry, from: s.node.index, to: s.dst.index, stream: s})
}

// retransmit is the timer's call. A kernel goes on with it when its process has
// ended, but not when the host has.
func (s *Stream[P]) retransmit() {
	l, n := &s.out, s.node.net
	if l.retryAt != n.now || s.boot != s.node.boot {
		return
	}
	l.retryAt = 0
	if n.now-l.since >= int64(n.opt.unanswered()) {
		s.fail(crux.Timeout)
		return
	}
	l.tries++
	lost, delay := n.dice(s.node, s.dst)
	s.node.spend(ackSize)
	if lost || !s.forward() {
		s.arm()
		return
	}
	ready := max(n.now+delay, l.last)
	for i := range l.held {
		if h := &l.held[i]; h.ready == never {
			h.ready = ready
			s.node.spend(int(h.body.size) - ackSize)
		}
	}
	s.releaseLater()
	if !s.back() {
		s.arm()
		return
	}
	l.tries, l.since = 0, 0
	if !s.peer.alive() && s.state != closed {
		s.resetAt(ready)
	}
}

// releaseLater sees to the first held segment's arrival.
func (s *Stream[P]) releaseLater() {
	if h := s.out.held; len(h) > 0 && h[0].ready != never {
		n := s.node.net
		n.schedule(max(h[0].ready, n.now), body[P]{kind: release, from: s.node.index, to: s.dst.index, stream: s})
	}
}

// release delivers what waits no longer for a gap.
func (s *Stream[P]) release() {
	l, n := &s.out, s.node.net
	k := 0
	for k < len(l.held) && l.held[k].ready <= n.now {
		n.schedule(n.now, l.held[k].body)
		k++
	}
	if k == 0 {
		return
	}
	l.last = max(l.last, n.now)
	l.held = append(l.held[:0:0], l.held[k:]...)
	if len(l.held) == 0 {
		l.held = nil
	}
	s.releaseLater()
}

// arrived is a segment's arrival at the host of s, or its turn when a process
// that was suspended resumes.
func (s *Stream[P]) arrived(b *body[P]) {
	nd := s.node
	switch {
	case !nd.host:
		s.peer.arm() // no answer comes
		return
	case !s.alive():
		if s.peer.alive() {
			s.peer.resetAt(nd.net.now)
		}
		return
	}
	if !b.waited {
		nd.spend(ackSize)
	}
	switch {
	case nd.waits(b):
	case b.kind == fin:
		s.fail(crux.Canceled)
	default:
		nd.count.ReceivedPackets++
		nd.count.ReceivedBytes += uint64(b.size)
		nd.net.note(b, nd.net.tag(b.payload))
		nd.h.(Streamer[P]).Deliver(nd.net.Now(), s, b.payload)
	}
}

// accept is the end of the other host's dial.
func (s *Stream[P]) accept(b *body[P]) {
	nd := s.node
	switch {
	case !nd.host:
		nd.drop(s)
	case s.life != nd.life:
		nd.drop(s)
		s.peer.resetAt(nd.net.now)
	case s.state == open && !nd.waits(b):
		nd.net.note(b, 0)
		nd.h.(Streamer[P]).Accepted(nd.net.Now(), s)
	}
}

// tell tells the process that its dial came through, or that s has ended.
func (s *Stream[P]) tell(b *body[P]) {
	nd := s.node
	if s.life != nd.life || b.kind == opened && s.state != open || nd.waits(b) {
		return
	}
	nd.net.note(b, 0)
	if b.kind == opened {
		nd.h.(Streamer[P]).Opened(nd.net.Now(), s)
	} else {
		nd.h.(Streamer[P]).Broken(nd.net.Now(), s, crux.Kind(b.size))
	}
}

// dispatch does an event of a stream.
func (s *Stream[P]) dispatch(b *body[P]) {
	switch b.kind {
	case segment, fin:
		s.arrived(b)
	case accepted:
		s.accept(b)
	case opened, broken:
		s.tell(b)
	case retry:
		s.retransmit()
	case release:
		s.release()
	case syn:
		s.knocked()
	case synAck, refused:
		s.answered(b)
	case knockAgain:
		s.knock()
	case giveUp:
		if s.state == dialling && s.life == s.node.life {
			s.fail(crux.Timeout)
		}
	case reset:
		if s.alive() {
			s.fail(crux.Conflict)
		}
	}
}

// resetAt has the other host, which does not know the stream any more, answer a
// segment that arrives at a time.
func (s *Stream[P]) resetAt(arrival int64) {
	n := s.node.net
	s.dst.spend(ackSize)
	lost, delay := n.dice(s.dst, s.node)
	if lost || !s.back() {
		s.arm()
		return
	}
	n.schedule(arrival+delay, body[P]{kind: reset, from: s.dst.index, to: s.node.index, stream: s})
}

// end is what a kernel does with a node's streams when its process ends.
func (nd *Node[P]) end() {
	for len(nd.streams) > 0 {
		nd.streams[len(nd.streams)-1].Close()
	}
}

// vanish is what becomes of a node's streams when its host dies: nobody hears
// of it.
func (nd *Node[P]) vanish() {
	for _, s := range nd.streams {
		s.state = closed
		s.out = lane[P]{}
	}
	nd.streams = nil
}

// roundTrip is a mean one, in nanoseconds.
func (n *Net[P]) roundTrip() int64 { return int64(n.opt.MinDelay + n.opt.MaxDelay) }
