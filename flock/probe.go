package flock

import (
	"net/netip"
	"strconv"
	"time"

	"fulcrum.example/crux"
)

// probe looks for other flocks among the candidate addresses. Half of the probes
// go to neighbours, nearer ones first, because addresses are dense; the others
// walk through all candidates in a random order.
type probe struct {
	next   time.Duration
	until  time.Duration // explore at first: gather word of flocks before joining one
	fresh  time.Duration // until when the flock counts as changing
	best   Summary       // the best other flock heard of; Flock zero: none
	bestAt time.Duration
	first  bool          // best was heard from one of its members
	told   time.Duration // when the leader was last told
	self   int           // this node's place among the candidates, or -1
	walk   int
	stride int
	near   int
	turn   int
	bad    map[crux.FlockID]badFlock
	former []netip.AddrPort // where members were
}

// badFlock is a flock that could not be joined.
type badFlock struct {
	until time.Duration
	times int
}

func (pb *probe) init(m *Machine) {
	n := m.cfg.Candidates.Len()
	pb.bad = map[crux.FlockID]badFlock{}
	pb.next, pb.self = m.now, find(m.cfg.Candidates, m.cfg.Addr)
	if n > 0 {
		pb.walk = m.cfg.Rand.IntN(n)
		pb.stride = 1 + m.cfg.Rand.IntN(n)
		for gcd(pb.stride, n) != 1 {
			pb.stride = pb.stride%n + 1
		}
	}
}

// find looks an address up: by halves if the candidates are in order, and one by
// one otherwise.
func find(c crux.Candidates, a netip.AddrPort) int {
	lo, hi := 0, c.Len()
	for lo < hi {
		if mid := (lo + hi) / 2; c.At(mid).Compare(a) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < c.Len() && c.At(lo) == a {
		return lo
	}
	for i := range c.Len() {
		if c.At(i) == a {
			return i
		}
	}
	return -1
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// interval is the time to the next probe: short while alone and new, long in a
// large and calm flock, never endless.
func (m *Machine) interval() time.Duration {
	n := m.size()
	fresh := m.now < m.probe.fresh
	switch {
	case n == 1 && fresh:
		return 20 * time.Millisecond
	case n == 1:
		return 500 * time.Millisecond
	case fresh && n < 64:
		return 100 * time.Millisecond
	case fresh:
		return 400 * time.Millisecond
	}
	return min(time.Second+time.Duration(n)*100*time.Millisecond, 10*time.Second)
}

func (m *Machine) tickProbe() {
	pb := &m.probe
	pb.next = m.now + m.jitter(m.interval())
	if pb.until > 0 && m.now >= pb.until {
		pb.until = 0
		m.act()
	}
	if pb.best.Flock != (crux.FlockID{}) && m.now-pb.bestAt > activeFor {
		pb.best = Summary{} // old news
	}
	if m.join != nil {
		return
	}
	if to, ok := m.candidate(); ok {
		m.sendTo(to, crux.NodeID{}, &Hello{Own: m.advertised(), Best: pb.gossip()})
	}
}

// candidate picks the next address to probe.
func (m *Machine) candidate() (netip.AddrPort, bool) {
	pb, c := &m.probe, m.cfg.Candidates
	n := c.Len()
	for range 4 {
		pb.turn++
		var to netip.AddrPort
		switch {
		case len(pb.former) > 0 && pb.turn%4 == 0:
			to = pb.former[m.cfg.Rand.IntN(len(pb.former))]
		case n == 0:
			return to, false
		case pb.self >= 0 && pb.turn%2 == 0:
			pb.near = pb.near%min(n, 256) + 1
			d := (pb.near + 1) / 2
			if pb.near%2 == 0 {
				d = -d
			}
			to = c.At(((pb.self+d)%n + n) % n)
		default:
			pb.walk = (pb.walk + pb.stride) % n
			to = c.At(pb.walk)
		}
		if to != m.cfg.Addr && !m.isMemberAddr(to) {
			return to, true
		}
	}
	return netip.AddrPort{}, false
}

// isMemberAddr says whether a member is at an address. In a large flock it is
// not worth the look: a member that is probed says nothing.
func (m *Machine) isMemberAddr(a netip.AddrPort) bool {
	if len(m.list.log) > 128 {
		return false
	}
	for _, e := range m.list.log {
		if e.Record.Addr == a && e.live() && m.list.lines[e.Record.ID] == e {
			return true
		}
	}
	return false
}

// remember keeps the address of who was a member: it may be in another flock.
func (pb *probe) remember(r *Record) {
	for i, a := range pb.former {
		if a == r.Addr {
			copy(pb.former[i:], pb.former[i+1:])
			pb.former[len(pb.former)-1] = a
			return
		}
	}
	if len(pb.former) == maxFormer {
		pb.former = append(pb.former[:0], pb.former[1:]...)
	}
	pb.former = append(pb.former, r.Addr)
}

// shun leaves a flock alone for a while, longer each time.
func (m *Machine) shun(f crux.FlockID, d time.Duration) {
	pb := &m.probe
	if len(pb.bad) >= maxBad {
		clear(pb.bad)
	}
	b := pb.bad[f]
	if m.now > b.until+badForget {
		b.times = 0
	}
	b.until = m.now + m.jitter(d<<min(b.times, 4))
	b.times++
	pb.bad[f] = b
	if pb.best.Flock == f {
		pb.best = Summary{}
	}
}

func (pb *probe) isBad(f crux.FlockID, now time.Duration) bool { return pb.bad[f].until > now }

// gossip is the best flock that this node has heard of, if it may tell others:
// not what it has only been told itself, or word of a flock that is no more
// would go round for ever.
func (pb *probe) gossip() Summary {
	if pb.first {
		return pb.best
	}
	return Summary{}
}

// advertised is the flock that this node tells others of: where it is going, if
// it is going somewhere, and none that it knows no leader of.
func (m *Machine) advertised() Summary {
	s := m.summary()
	switch {
	case m.role == Candidate, m.role == Leader && !m.acting():
		s.Leader, s.Addr = crux.NodeID{}, netip.AddrPort{}
	case m.merge != nil && m.merge.moving:
		return m.merge.target
	}
	return s
}

// onHello: somebody is there.
func (m *Machine) onHello(p *Packet, h *Hello) {
	if h.Own.Bloc != m.cfg.File {
		m.hintBloc(p.From, h.Own.Bloc)
	} else {
		m.consider(&h.Own, true)
		m.consider(&h.Best, false)
	}
	if h.Reply || h.Own.Flock == m.flock && h.Own.Epoch == m.epoch.Epoch {
		return
	}
	m.reply(p, &Hello{Reply: true, Own: m.advertised(), Best: m.probe.gossip()})
}

// hintBloc tells the user why a node with another bloc file is not in the flock.
func (m *Machine) hintBloc(from netip.AddrPort, theirs Bloc) {
	own, who := m.cfg.File, from.Addr().String()
	var text string
	switch {
	case theirs.Open && !own.Open:
		text = "nodes at " + who + " let any key enroll, this node admits listed keys only: they never merge"
	case !theirs.Open && own.Open:
		text = "nodes at " + who + " admit listed keys only, this node lets any key enroll: they never merge"
	case theirs.Version > own.Version:
		text = "this node's bloc file is older (version " + strconv.FormatUint(own.Version, 10) + ") than that of nodes at " + who + " (version " + strconv.FormatUint(theirs.Version, 10) + "): give it the newer one"
	case theirs.Version < own.Version:
		text = "nodes at " + who + " hold an older bloc file (version " + strconv.FormatUint(theirs.Version, 10) + ") than this node (version " + strconv.FormatUint(own.Version, 10) + "): give them the newer one"
	default:
		text = "nodes at " + who + " hold another bloc file of the same version as this node's: give all the same one"
	}
	m.view.hint(m, from, false, text)
}

// consider takes in word of another flock, from one of its members or not.
func (m *Machine) consider(s *Summary, first bool) {
	if s.Flock == (crux.FlockID{}) || s.Leader.IsZero() || s.Leader == m.id || !s.Addr.IsValid() || s.Bloc != m.cfg.File {
		return
	}
	if s.Flock == m.flock {
		if s.Epoch > m.epoch.Epoch && (m.role == Candidate || m.role == Leader && !m.acting()) {
			m.startJoin(*s)
		}
		return
	}
	pb := &m.probe
	if pb.isBad(s.Flock, m.now) {
		return
	}
	if s.Flock == pb.best.Flock && (first || !pb.first) || pb.best.less(s) {
		pb.best, pb.bestAt, pb.first = *s, m.now, first
	}
	if pb.until == 0 || s.Size > 1 {
		m.act() // the time to explore is for choosing among those who are alone, too
	}
}

// act goes where the best flock is, or tells the leader of it.
func (m *Machine) act() {
	pb := &m.probe
	if pb.best.Flock == (crux.FlockID{}) || m.frozen() {
		return
	}
	own := m.summary()
	switch {
	case m.role == Candidate:
		if m.now-m.elect.since > regroupAfter/2 {
			m.startJoin(pb.best)
		}
	case !own.less(&pb.best), m.follow.moving:
	case m.role == Leader:
		m.startMerge(pb.best)
	case m.leader != nil && m.now-pb.told > 4*pullGap:
		pb.told = m.now
		m.send(m.leader, &Found{Flock: m.flock, Other: pb.best})
	}
}
