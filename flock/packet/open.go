package packet

import (
	"crypto/cipher"
	"hash/maphash"
	"net/netip"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// Bounds of what an Opener keeps, and of what a source may send under keys that
// many hold.
const (
	sourceBuckets  = 4096
	discoveryRate  = 300.0 // packets a second and source; a reply to a whole /24's probes fits the burst
	discoveryBurst = 600.0
	groupRate      = 4000.0 // pages of the list come in bursts
	groupBurst     = 8000.0
	strangerSlots  = 4096
	maxAEADs       = 4096
)

// Members is what an Opener asks of the flock: the newest view.
type Members func() *crux.View

// Opener opens what is sealed under shared keys. One goroutine owns it.
type Opener struct {
	self      crux.NodeID
	ring      *Ring
	members   Members
	discovery *seal.Budget
	group     *seal.Budget
	known     map[crux.NodeID]*knownSender
	strangers []stranger
	seed      maphash.Seed
	aeads     map[aeadName]cipher.AEAD
	ringSeen  *ringState // what the cache was last cleared for
	scratch   seal.Scratch
}

// knownSender holds the windows of a member. Discovery has one of its own, as
// whoever stole the secondary key could push it forward.
type knownSender struct {
	incarnation      uint64
	discovery, group seal.Window
}

// stranger is the small window of a sender that is not a member (yet). Strangers
// share a fixed number of places; who loses its own can be replayed, which a
// Hello or a Join survives.
type stranger struct {
	sender      crux.NodeID
	sealing     flock.Sealing
	used        bool
	incarnation uint64
	top         uint64 // the newest counter
	seen        uint64 // bits for it and the 63 before it
}

type aeadName struct {
	key         uint64
	sender      crux.NodeID
	incarnation uint64
}

// NewOpener makes an Opener for the node self.
func NewOpener(self crux.NodeID, ring *Ring, members Members) *Opener {
	return &Opener{
		self: self, ring: ring, members: members,
		discovery: seal.NewBudget(sourceBuckets, discoveryRate, discoveryBurst),
		group:     seal.NewBudget(sourceBuckets, groupRate, groupBurst),
		known:     make(map[crux.NodeID]*knownSender),
		strangers: make([]stranger, strangerSlots),
		seed:      maphash.MakeSeed(),
		aeads:     make(map[aeadName]cipher.AEAD),
	}
}

// Open authenticates and decrypts, in place, a packet whose header ParseHeader
// accepted and whose sealing is Discovery or Group. The body is valid as long as
// p is.
func (o *Opener) Open(now time.Duration, from netip.AddrPort, h *Header, p []byte) ([]byte, seal.Verdict) {
	sealing := SealingOf(h.Kind)
	k := o.ring.lookup(sealing, h.KeyID)
	if k == nil {
		return nil, seal.UnknownKey
	}
	if !o.scratch.Check(k, p) {
		return nil, seal.BadTag
	}
	b := o.discovery
	if sealing == flock.Group {
		b = o.group
	}
	if !b.Take(now, from) {
		return nil, seal.OverBudget
	}
	at, v := o.place(h, sealing)
	if v != seal.Accepted {
		return nil, v
	}
	name := aeadName{k.ID, h.Sender, h.Incarnation}
	aead, cached := o.aeads[name]
	if !cached {
		aead = k.AEAD(h.Sender, h.Incarnation)
	}
	body, ok := o.scratch.Open(aead, h.Counter, p)
	if !ok {
		return nil, seal.BadSeal
	}
	if !cached {
		o.keep(name, aead)
	}
	at.mark(h, sealing)
	return body, seal.Accepted
}

// place is where a sender's counters are kept: in a member's window, or in a
// place that strangers share.
type place struct {
	window   *seal.Window
	stranger *stranger
}

// place finds where the packet's counter belongs, and says whether it is fresh
// there. Nothing is allocated for who is not a member.
func (o *Opener) place(h *Header, sealing flock.Sealing) (place, seal.Verdict) {
	m, ok := o.members().Member(h.Sender)
	if ok && h.Incarnation < m.Incarnation {
		return place{}, seal.OldRun
	}
	if !ok || h.Incarnation > m.Incarnation {
		s := &o.strangers[maphash.Comparable(o.seed, h.Sender)%strangerSlots]
		if s.is(h, sealing) && !s.fresh(h.Counter) {
			return place{}, seal.Replayed
		}
		return place{stranger: s}, seal.Accepted
	}
	k := o.known[h.Sender]
	if k == nil || k.incarnation != h.Incarnation {
		o.forget()
		k = &knownSender{incarnation: h.Incarnation}
		o.known[h.Sender] = k
	}
	w := &k.discovery
	if sealing == flock.Group {
		w = &k.group
	}
	if !w.Fresh(h.Counter) {
		return place{}, seal.Replayed
	}
	return place{window: w}, seal.Accepted
}

func (p place) mark(h *Header, sealing flock.Sealing) {
	if p.window != nil {
		p.window.Mark(h.Counter)
		return
	}
	if !p.stranger.is(h, sealing) {
		*p.stranger = stranger{used: true, sender: h.Sender, sealing: sealing, incarnation: h.Incarnation}
	}
	p.stranger.mark(h.Counter)
}

// forget drops the windows of who is no longer a member, once there are many.
func (o *Opener) forget() {
	v := o.members()
	if len(o.known) <= 2*len(v.Members)+64 {
		return
	}
	for id := range o.known {
		if _, ok := v.Member(id); !ok {
			delete(o.known, id)
		}
	}
}

// keep caches a sender's AEAD, and drops those of keys that are no longer good:
// an epoch's key must not outlive its epoch here.
func (o *Opener) keep(name aeadName, a cipher.AEAD) {
	if st := o.ring.now.Load(); st != o.ringSeen {
		o.ringSeen = st
		live := make(map[uint64]bool, MaxShared+2)
		for _, k := range st.secondary {
			live[k.ID] = true
		}
		for _, k := range st.open {
			live[k.ID] = true
		}
		for n := range o.aeads {
			if !live[n.key] {
				delete(o.aeads, n)
			}
		}
	}
	if len(o.aeads) >= maxAEADs {
		for n := range o.aeads { // any one
			delete(o.aeads, n)
			break
		}
	}
	o.aeads[name] = a
}

func (s *stranger) is(h *Header, sealing flock.Sealing) bool {
	return s.used && s.sender == h.Sender && s.incarnation == h.Incarnation && s.sealing == sealing
}

func (s *stranger) fresh(counter uint64) bool {
	if counter > s.top || s.seen == 0 {
		return true
	}
	return s.top-counter < 64 && s.seen&(1<<(s.top-counter)) == 0
}

func (s *stranger) mark(counter uint64) {
	switch {
	case s.seen == 0:
		s.top, s.seen = counter, 1
	case counter > s.top:
		s.seen = s.seen<<min(counter-s.top, 64) | 1 // a shift by 64 leaves 0
		s.top = counter
	default:
		s.seen |= 1 << (s.top - counter)
	}
}
