package sim

import (
	"slices"
	"time"

	confab "fulcrum.example/confab/sim"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/overlay"
)

type stream = confab.Stream[parcel]

// shake is a step of a handshake: of TLS on a stream, or the exchange of cards by
// datagrams before a first dial.
type shake uint8

const (
	hello     shake = iota + 1 // a datagram: the sender's card
	helloBack                  // a datagram: the receiver's
	shake1                     // ClientHello
	shake2                     // ServerHello, certificate, finished
	shake3                     // certificate, finished: and the sender's card
)

// Their sizes, with all headers.
var shakeSize = [...]int{hello: 28 + 300, helloBack: 28 + 300, shake1: 40 + 330, shake2: 40 + 1100, shake3: 40 + 1050}

const (
	dialLimit  = time.Second
	probeLimit = 100 * time.Millisecond
	helloAgain = 200 * time.Millisecond
	helloTries = 4
	// twinLimit is how long the worse of two links to one peer is still read.
	twinLimit = time.Second
)

// link is a stream to a peer, from its dial on.
type link struct {
	peer    crux.NodeID
	s       *stream
	dialled bool // by this node
	probe   bool // only to see whether the kernel answers
	up      bool // TLS is through
	since   time.Duration
	old     bool // another one has taken its place: it is only read
}

// linkTo is the link that frames to a peer take, or nil.
func (nd *Node) linkTo(id crux.NodeID) *link {
	for _, l := range nd.links {
		if l.peer == id && l.up && !l.old {
			return l
		}
	}
	return nil
}

func (nd *Node) forget(l *link) {
	if i := slices.Index(nd.links, l); i >= 0 {
		nd.links = slices.Delete(nd.links, i, i+1)
	}
}

// frame sends a message on the link to a peer, if there is one.
func (nd *Node) frame(to crux.NodeID, m fabric.Message) {
	l := nd.linkTo(to)
	if l == nil {
		return
	}
	data := record + m.Size()
	size := data + headers*(1+data/maxData)
	nd.World.spend(m, size)
	l.s.Send(parcel{msg: m, from: int32(nd.Index)}, size)
}

func (nd *Node) closeLink(id crux.NodeID) {
	for _, l := range slices.Clone(nd.links) {
		if l.peer == id && !l.probe {
			nd.forget(l)
			l.s.Close()
		}
	}
}

// dial connects to a peer: to make a link, or to probe its kernel.
func (nd *Node) dial(id crux.NodeID, probe bool) {
	peer, c := nd.World.byID[id], nd.cardOf(id)
	switch {
	case c == nil && probe:
		nd.later(func(now time.Duration) fabric.Ready { return nd.F.Probed(now, id, outcomeOf(crux.Timeout)) })
	case c == nil && peer != nil:
		nd.greet(peer)
	case c == nil:
		nd.later(func(now time.Duration) fabric.Ready { return nd.F.DialFailed(now, id) })
	default:
		limit := dialLimit
		if probe {
			limit = probeLimit
		}
		l := &link{peer: id, dialled: true, probe: probe}
		l.s = nd.Place.Dial(c.Link, limit)
		l.s.Data = l
		nd.links = append(nd.links, l)
		if !probe {
			nd.impatient(l)
		}
	}
}

// impatient gives up a dial whose handshake hangs.
func (nd *Node) impatient(l *link) {
	m := nd.F
	nd.World.Net.At(nd.World.Net.Now()+dialLimit, func() {
		if nd.F == m && !l.up && slices.Contains(nd.links, l) && nd.Place.Up() {
			nd.forget(l)
			l.s.Close()
			nd.failed(l.peer)
		}
	})
}

// failed reports a dial that came to nothing, unless the peer has a link by now.
func (nd *Node) failed(id crux.NodeID) {
	if nd.linkTo(id) == nil {
		nd.apply(nd.F.DialFailed(nd.World.Net.Now(), id))
	}
}

// later calls the fabric as soon as this step is over.
func (nd *Node) later(f func(now time.Duration) fabric.Ready) {
	m := nd.F
	nd.World.Net.At(nd.World.Net.Now(), func() {
		if nd.F == m && m != nil {
			nd.apply(f(nd.World.Net.Now()))
		}
	})
}

// greet asks a peer at the address of its registry row for its card, and dials
// when it has it.
func (nd *Node) greet(peer *Node) {
	id, m := peer.ID, nd.F
	if nd.greeting[id] >= helloTries {
		delete(nd.greeting, id)
		nd.later(func(now time.Duration) fabric.Ready { return nd.F.DialFailed(now, id) })
		return
	}
	nd.greeting[id]++
	nd.shakeTo(peer, hello)
	nd.World.Net.At(nd.World.Net.Now()+helloAgain, func() {
		if nd.F == m && m != nil && nd.greeting[id] > 0 {
			nd.greet(peer)
		}
	})
}

func (nd *Node) shakeTo(peer *Node, s shake) {
	p := parcel{from: int32(nd.Index), to: int32(peer.Index), fromEpoch: uint32(nd.Epoch), shake: s}
	nd.World.spend(s, shakeSize[s])
	nd.Place.Send(peer.addr, p, shakeSize[s])
}

func (nd *Node) greeted(p parcel) {
	peer := nd.World.Nodes[p.from]
	if nd.World.gone[peer.ID] || peer.Epoch != uint64(p.fromEpoch) {
		return // no member's card verifies; an old one says nothing
	}
	nd.learn(peer.card)
	if p.shake == hello {
		nd.shakeTo(peer, helloBack)
	} else if nd.greeting[peer.ID] > 0 {
		delete(nd.greeting, peer.ID)
		nd.dial(peer.ID, false)
	}
}

// Accepted is called by the network; TLS will say who dialled.
func (nd *Node) Accepted(_ time.Duration, s *stream) {
	l := &link{s: s}
	s.Data = l
	nd.links = append(nd.links, l)
}

// Opened is called by the network.
func (nd *Node) Opened(now time.Duration, s *stream) {
	l := s.Data.(*link)
	if !l.probe {
		nd.shakeOn(l, shake1)
		return
	}
	nd.forget(l)
	s.Close()
	nd.apply(nd.F.Probed(now, l.peer, detect.Accepted))
}

func (nd *Node) shakeOn(l *link, k shake) {
	p := parcel{from: int32(nd.Index), fromEpoch: uint32(nd.Epoch), shake: k}
	nd.World.spend(k, shakeSize[k])
	l.s.Send(p, shakeSize[k])
}

// Deliver is called by the network.
func (nd *Node) Deliver(now time.Duration, s *stream, p parcel) {
	l := s.Data.(*link)
	peer := nd.World.Nodes[p.from]
	switch p.shake {
	case shake1:
		nd.shakeOn(l, shake2)
	case shake2:
		if peer.ID != l.peer { // the address is another's now
			nd.forget(l)
			s.Close()
			nd.failed(l.peer)
			return
		}
		nd.shakeOn(l, shake3)
		nd.linked(now, l, peer)
	case shake3:
		if l.peer = peer.ID; nd.World.gone[peer.ID] {
			nd.forget(l)
			s.Close()
			return
		}
		nd.linked(now, l, peer)
	default:
		nd.apply(nd.F.Frame(now, l.peer, p.msg))
	}
}

// linked is the end of the handshake. Of two links to one peer, both ends keep the
// one that overlay.Wins says, or else the newer one; one that is older than a
// handshake gives way to any, as the other side knows nothing of it.
func (nd *Node) linked(now time.Duration, l *link, peer *Node) {
	nd.learn(peer.card)
	other := nd.linkTo(l.peer)
	l.up, l.since = true, now
	if other != nil {
		wins := func(x *link) bool { return overlay.Wins(nd.ID, x.peer, x.dialled) }
		if wins(other) && !wins(l) && l.since-other.since < dialLimit {
			nd.retire(l)
			return
		}
		nd.retire(other)
	}
	nd.apply(nd.F.LinkUp(now, l.peer, l.dialled))
}

// retire reads a link that was replaced for a while yet, for what is under way.
func (nd *Node) retire(l *link) {
	l.old = true
	nd.World.Net.At(nd.World.Net.Now()+twinLimit, func() {
		if l.s.Open() {
			nd.forget(l)
			l.s.Close()
		}
	})
}

// Broken is called by the network.
func (nd *Node) Broken(now time.Duration, s *stream, why crux.Kind) {
	l := s.Data.(*link)
	nd.forget(l)
	switch {
	case l.probe:
		nd.apply(nd.F.Probed(now, l.peer, outcomeOf(why)))
	case l.up && !l.old:
		nd.apply(nd.F.LinkDown(now, l.peer))
	case !l.up && l.dialled:
		nd.failed(l.peer)
	}
}
