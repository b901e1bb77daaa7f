package fabric

import (
	"maps"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

// link is what this machine knows of a link to a peer. One that broke, to an
// active neighbour that may be well, is kept until it is made anew; and until the
// two have agreed again to be neighbours, it counts as if they had.
type link struct {
	up      bool
	dialled bool // by this node
	mending bool // broken: this node is making it anew
	since   time.Duration
	renewed bool // the peer was a neighbour by the link before
}

// LinkUp tells of a new link: dialled says that this node made it. Of two links
// to one peer the driver keeps what overlay.Wins says; when it replaces one that
// it has reported, it calls LinkUp again, without LinkDown. The link of who is no
// member is closed.
func (m *Machine) LinkUp(now time.Duration, peer crux.NodeID, dialled bool) Ready {
	m.begin(now)
	if m.stranger(peer) {
		m.out.Close = append(m.out.Close, peer)
		m.overlaid(m.overlay.DialFailed(m.now, peer))
		return m.end()
	}
	renewed := slices.Contains(m.edges, peer)
	if l := m.links[peer]; l != nil {
		if !l.up {
			m.stats.Mended++
		}
		m.detach(peer)
	}
	m.links[peer] = &link{up: true, dialled: dialled, since: m.now, renewed: renewed}
	if m.dirty = true; renewed {
		m.mendAt = min(m.mendAt, m.now+renewLimit)
	}
	m.overlaid(m.overlay.LinkUp(m.now, peer, dialled))
	return m.end()
}

// detach has gossip and multicast begin anew with a peer whose link was replaced:
// what was under way on the old one may be lost.
func (m *Machine) detach(peer crux.NodeID) {
	if i := slices.Index(m.peers, peer); i >= 0 {
		m.gossiped(m.gossip.LinkDown(m.now, peer))
		m.peers = slices.Delete(slices.Clone(m.peers), i, i+1)
		m.multicast(m.cast.Neighbours(m.now, m.peers))
	}
}

// LinkDown tells that the link to a peer has ended, otherwise than by Close.
func (m *Machine) LinkDown(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	l := m.links[peer]
	if l == nil || !l.up {
		return m.end()
	}
	if m.leaving || !slices.Contains(m.overlay.Active(), peer) {
		m.drop(peer)
		return m.end()
	}
	// The process may have ended, or only the link: the detector asks.
	m.stats.Lost++
	l.up, l.since, m.dirty = false, m.now, true
	m.mendAt = min(m.mendAt, m.now+mendHelp)
	m.detected(m.detect.LinkLost(m.now, peer))
	m.inquire(peer) // the answer, if there is one, has the link made anew
	return m.end()
}

// drop ends what is left of a link.
func (m *Machine) drop(peer crux.NodeID) {
	delete(m.links, peer)
	m.dirty = true
	m.overlaid(m.overlay.LinkDown(m.now, peer))
}

// DialFailed tells that a Dial came to nothing.
func (m *Machine) DialFailed(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	switch l := m.links[peer]; {
	case l == nil:
		m.overlaid(m.overlay.DialFailed(m.now, peer))
		m.wonder(peer)
	case !l.up:
		m.drop(peer)
	}
	return m.end()
}

// again makes a broken link anew, to a neighbour that has just been heard: who
// dialled it first does.
func (m *Machine) again(peer crux.NodeID) {
	if l := m.links[peer]; l != nil && !l.up && l.dialled {
		m.redial(peer, l)
	}
}

func (m *Machine) redial(peer crux.NodeID, l *link) {
	if !l.mending {
		l.mending = true
		m.out.Dial = append(m.out.Dial, peer)
	}
}

// mend helps with the broken links that the other side should have made anew,
// and gives up those that nobody did.
func (m *Machine) mend() {
	m.mendAt = never
	for _, id := range slices.SortedFunc(maps.Keys(m.links), crux.NodeID.Compare) {
		switch l := m.links[id]; {
		case l.up && l.renewed && m.now < l.since+renewLimit:
			m.mendAt = min(m.mendAt, l.since+renewLimit)
		case l.up:
			m.dirty = m.dirty || l.renewed
			l.renewed = false
		case m.now >= l.since+mendLimit:
			m.drop(id)
		case m.now >= l.since+mendHelp && !l.dialled:
			m.redial(id, l)
			m.mendAt = min(m.mendAt, l.since+mendLimit)
		case m.now < l.since+mendHelp:
			m.mendAt = min(m.mendAt, l.since+mendHelp)
		default:
			m.mendAt = min(m.mendAt, l.since+mendLimit)
		}
	}
}

// overlaid carries out what the overlay asks.
func (m *Machine) overlaid(r overlay.Ready) {
	m.at.overlay = m.overlay.NextTick()
	for _, s := range r.Sends {
		m.out.Frames = append(m.out.Frames, Frame{s.To, s.Msg})
	}
	for _, id := range r.Close {
		delete(m.links, id)
		m.dirty = true
	}
	m.out.Close = append(m.out.Close, r.Close...)
	m.out.Dial = append(m.out.Dial, r.Dial...)
	m.dirty = m.dirty || r.Changed
}

// gossiped carries out what the gossip asks.
func (m *Machine) gossiped(r route.GossipReady) {
	m.at.gossip = m.gossip.NextTick()
	for _, s := range r.Sends {
		m.out.Frames = append(m.out.Frames, Frame{s.To, s.Msg})
	}
	if len(r.Updated) > 0 {
		m.at.table = 0 // Settle is to be called at once
		m.out.Updated = append(m.out.Updated, r.Updated...)
		m.updated(r.Updated, r.Before)
	}
	if r.Ahead != nil {
		m.ahead(r.Ahead)
	}
}

// multicast carries out what the multicast asks.
func (m *Machine) multicast(r cast.Ready) {
	m.at.cast = m.cast.NextTick()
	for _, s := range r.Sends {
		m.out.Frames = append(m.out.Frames, Frame{s.To, s.Msg})
	}
	m.out.Delivered = append(m.out.Delivered, r.Delivered...)
}

// Frame takes in what came on the link to a peer.
func (m *Machine) Frame(now time.Duration, peer crux.NodeID, msg Message) Ready {
	m.begin(now)
	if l := m.links[peer]; l == nil || !l.up {
		return m.end()
	}
	switch partOf(msg) {
	case kindOverlay:
		m.overlaid(m.overlay.Receive(m.now, peer, msg))
	case kindRoute:
		m.gossiped(m.gossip.Receive(m.now, peer, msg))
	case kindCast:
		m.multicast(m.cast.Receive(m.now, peer, msg))
	case kindStore:
		m.out.Opaque = append(m.out.Opaque, Opaque{peer, msg})
	}
	return m.end()
}

// Datagram takes in a datagram, which the driver has opened: it is from who it
// says.
func (m *Machine) Datagram(now time.Duration, from crux.NodeID, msg Message) Ready {
	m.begin(now)
	if partOf(msg) == kindDetect {
		if !slices.Contains(m.edges, from) {
			m.sign(from)
		}
		m.detected(m.detect.Receive(m.now, from, msg))
	}
	return m.end()
}

// Probed answers one of Ready.Probes.
func (m *Machine) Probed(now time.Duration, peer crux.NodeID, o detect.Outcome) Ready {
	m.begin(now)
	m.detected(m.detect.Probed(m.now, peer, o))
	return m.end()
}
