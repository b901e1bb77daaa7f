package overlay

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// link is a link to a peer, or one in the making.
type link struct {
	peer   crux.NodeID
	state  state
	since  time.Duration
	until  time.Duration // when it is given up; never for an active one
	ask    ask
	force  bool // let another neighbour go for this one, if there is no room
	own    bool // and as often as this node wants: no other led it to this
	walks  bool // the Join that was sent asks for walks
	anchor bool // counts as a contact that was joined
}

type state uint8

const (
	dialling state = iota + 1 // Dial has not been answered
	incoming                  // the peer dialled, and has to say what it wants
	asking                    // it is up, and the peer has to answer
	active                    // a neighbour
)

// ask is what a peer is asked when its link is up.
type ask uint8

const (
	askLow ask = iota + 1
	askHigh
	askJoin
)

// Wins says which of two links stays that came up between the same two nodes,
// one dialled by each: the one dialled by the node with the smaller ID.
func Wins(self, peer crux.NodeID, dialled bool) bool { return dialled == (self.Compare(peer) < 0) }

func (m *Machine) find(peer crux.NodeID) *link {
	for _, l := range m.links {
		if l.peer == peer {
			return l
		}
	}
	return nil
}

func (m *Machine) count(s state) (n int) {
	for _, l := range m.links {
		if l.state == s {
			n++
		}
	}
	return n
}

// enter puts a link into a state that it has to leave within a time.
func (m *Machine) enter(l *link, s state, within time.Duration) {
	l.state, l.until = s, never
	if within != never {
		l.until = m.now + within
	}
}

// dial asks for a link to a node to which there is none.
func (m *Machine) dial(peer crux.NodeID, what ask) *link {
	l := &link{peer: peer, since: m.now, ask: what}
	m.enter(l, dialling, m.fill.dialFor)
	m.links = append(m.links, l)
	m.out.Dial = append(m.out.Dial, peer)
	return l
}

// forget takes a link out of the list. Whoever ends an active one says so first.
func (m *Machine) forget(l *link) {
	if i := slices.Index(m.links, l); i >= 0 {
		m.links = slices.Delete(m.links, i, i+1)
	}
	if l.state == active {
		m.deactivate(l.peer)
	}
}

// close ends a link, or a dial.
func (m *Machine) close(l *link) {
	m.forget(l)
	m.out.Close = append(m.out.Close, l.peer)
}

// LinkUp says that a link has come up, and who dialled it. A link that there was
// with the peer is gone.
func (m *Machine) LinkUp(now time.Duration, peer crux.NodeID, dialled bool) Ready {
	m.begin(now)
	l := m.find(peer)
	switch {
	case m.left || peer == m.cfg.Self, l == nil && dialled, l == nil && m.count(incoming) >= maxIncoming:
		m.out.Close = append(m.out.Close, peer)
	case l == nil:
		l = &link{peer: peer, since: m.now}
		m.enter(l, incoming, incomeFor)
		m.links = append(m.links, l)
	case l.state == dialling || l.state == asking:
		if l.state == dialling && dialled {
			m.fill.dialFor = min(max(dialMin, 4*(m.now-l.since)), dialMax)
		}
		m.request(l)
	case l.state == incoming:
		m.enter(l, incoming, incomeFor)
	case dialled:
		m.deactivate(peer)
		l.ask, l.force = askHigh, true // it was a neighbour by the other link
		m.request(l)
	default:
		m.deactivate(peer)
		m.enter(l, incoming, incomeFor)
	}
	return m.end()
}

// request asks the peer on a link that has come up.
func (m *Machine) request(l *link) {
	m.enter(l, asking, askFor)
	switch l.ask {
	case askJoin:
		n := m.walksWanted()
		l.walks = n > 0
		m.send(l.peer, &Join{Walks: n})
	default:
		m.send(l.peer, &Neighbour{High: l.ask == askHigh || len(m.active) == 0})
	}
}

// LinkDown says that a link broke, or that the peer closed it.
func (m *Machine) LinkDown(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	if l := m.find(peer); l != nil {
		m.failed(l)
	}
	return m.end()
}

// DialFailed says that a node could not be reached.
func (m *Machine) DialFailed(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	if l := m.find(peer); l != nil && l.state == dialling {
		m.failed(l)
	}
	return m.end()
}

// expire ends a link whose time is over.
func (m *Machine) expire(l *link) {
	if l.state == dialling {
		m.fill.dialFor = min(2*m.fill.dialFor, dialMax)
	}
	m.out.Close = append(m.out.Close, l.peer)
	m.failed(l)
}

// failed takes note of a link that ended without a word.
func (m *Machine) failed(l *link) {
	was := l.state
	m.forget(l)
	switch was {
	case active:
		m.note(l.peer)
		m.blame(l.peer)
		m.lost(lossTries)
	case dialling, asking:
		m.blame(l.peer)
	}
}

// Receive takes in a message that came on the link with a peer.
func (m *Machine) Receive(now time.Duration, peer crux.NodeID, msg Message) Ready {
	m.begin(now)
	l := m.find(peer)
	if l == nil || l.state == dialling || m.left {
		return m.end() // of a link that is closed
	}
	switch msg := msg.(type) {
	case *Join:
		m.onJoin(l, msg)
	case *Neighbour:
		m.onNeighbour(l, msg)
	case *Accept:
		m.onAccept(l, msg)
	case *Refuse:
		m.onRefuse(l, msg)
	case *Disconnect:
		m.onDisconnect(l, msg)
	case *ForwardJoin:
		m.onForwardJoin(l, msg)
	case *Shuffle:
		m.onShuffle(l, msg)
	case *ShuffleReply:
		m.onShuffleReply(l, msg)
	}
	return m.end()
}
