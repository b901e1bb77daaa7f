package packet

import (
	"crypto/cipher"
	"crypto/ecdh"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// Bounds of what is kept, and of what the others may cause.
const (
	// maxKeyed is how many peers' keys are kept; those that were not used for
	// longest are derived anew when they are needed. Some 3 kB each.
	maxKeyed = 1024
	// What packets of peers whose keys are not there may have derived: some 60
	// µs each.
	deriveRate  = 200.0
	deriveBurst = 500.0
	// What one peer may send.
	wordRate  = 2000.0
	wordBurst = 4000.0
	// lease is how many packets a process may seal after Freeze: answers to
	// pings. It is less than a window, so that they are good still when the
	// process that took over has begun to send.
	lease = seal.WindowBits / 2
	// leap is left out after Thaw: what that process may have sealed by then.
	leap = 1 << 20
)

// Pairs knows the cards of other processes, and seals and opens what only this
// process and one of them can read.
type Pairs struct {
	scope    seal.Scope
	private  *ecdh.PrivateKey
	hello    *seal.Key
	helloOwn cipher.AEAD

	mu      sync.Mutex // guards the rest
	own     *route.Card
	counter uint64 // the next one, whoever the packet is for
	limit   uint64 // and the first that is not this process's; 0: all are
	peers   map[crux.NodeID]*peer
	keyed   int    // peers with keys
	clock   uint64 // counts uses of keys
	derive  seal.Bucket
	hellos  seal.Bucket
	sources *seal.Budget
	scratch seal.Scratch
}

// peer is one other process.
type peer struct {
	card   *route.Card
	window *seal.Window // of the card's epoch; nil: nothing was opened yet
	keys   *keys        // nil: not derived, or dropped
	budget seal.Bucket
}

// keys are a pair's, by direction.
type keys struct {
	out, in      *seal.Key
	seals, opens cipher.AEAD
	used         uint64 // when they last served, by Pairs.clock; 0: never
}

// NewPairs makes the pairs of a process. own is its card, private the X25519 key
// whose public half is in it, counter what Freeze gave in the process that this
// one takes over from in the same epoch, or 0. There must be one Pairs only.
func NewPairs(scope seal.Scope, own *route.Card, private *ecdh.PrivateKey, counter uint64) *Pairs {
	s := &Pairs{
		scope: scope, private: private, own: own, counter: counter,
		peers: make(map[crux.NodeID]*peer), sources: seal.NewBudget(helloSources, helloRate, helloBurst),
	}
	s.hello = scope.NewKey(nil, "fulcrum lashup hello v1")
	s.helloOwn = s.hello.AEAD(own.Node, own.Epoch)
	return s
}

// SetOwn gives this process another card: of the same epoch and with the same
// keys.
func (s *Pairs) SetOwn(c *route.Card) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = c
}

// Own is this process's card.
func (s *Pairs) Own() *route.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own
}

// Learn takes in a card, which the caller has verified. It says whether the card
// is the newest of its node, be it that it was known before.
func (s *Pairs) Learn(c *route.Card) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[c.Node]
	switch {
	case c.Node == s.own.Node:
		return false
	case p == nil:
		s.peers[c.Node] = &peer{card: c}
		return true
	case !c.Newer(p.card):
		return *c == *p.card
	}
	if c.Epoch != p.card.Epoch || c.Exchange != p.card.Exchange {
		s.unkey(p)
		p.window = nil
	}
	p.card = c
	return true
}

// Card is the newest card of a node that was learnt, or nil.
func (s *Pairs) Card(id crux.NodeID) *route.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[id]; p != nil {
		return p.card
	}
	return nil
}

// Forget drops what is known of a node.
func (s *Pairs) Forget(id crux.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[id]; p != nil {
		s.unkey(p)
		delete(s.peers, id)
	}
}

// Seal makes a Word of b, whose first Headroom bytes are free and whose rest is
// the message, and says where to send it. Errors: NotFound, no card of the node
// is known; Invalid, its exchange key is unusable or b is too long; Unavailable,
// after Freeze.
func (s *Pairs) Seal(b []byte, to crux.NodeID) ([]byte, netip.AddrPort, error) {
	const op = "seal packet"
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[to]
	switch {
	case p == nil:
		return nil, netip.AddrPort{}, crux.Errorf(op, crux.NotFound, "no card of node %s is known", to)
	case len(b)-Headroom > MaxWord:
		return nil, netip.AddrPort{}, crux.Errorf(op, crux.Invalid, "%d bytes do not fit a packet", len(b)-Headroom)
	}
	k, err := s.keysOf(p)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	n, err := s.count()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	s.keep(p, k)
	s.use(k)
	h := Header{Kind: Word, KeyID: k.out.ID, Sender: s.own.Node, Incarnation: s.own.Epoch, Counter: n, Receiver: to}
	return seal.Seal(&s.scratch, b, &h, k.out, k.seals), p.card.Addr, nil
}

// Open authenticates and decrypts, in place, a datagram whose header ParseHeader
// accepted and whose kind is Word.
func (s *Pairs) Open(now time.Duration, h *Header, b []byte) ([]byte, seal.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[h.Sender]
	switch {
	case p == nil || h.Incarnation > p.card.Epoch:
		return nil, seal.NoPeer
	case h.Incarnation < p.card.Epoch:
		return nil, seal.OldRun
	case p.keys == nil && !s.derive.Take(now, deriveRate, deriveBurst):
		return nil, seal.OverBudget
	}
	k, err := s.keysOf(p)
	if err != nil {
		return nil, seal.NoPeer
	}
	s.keep(p, k)
	switch {
	case h.KeyID != k.in.ID:
		return nil, seal.UnknownKey
	case !s.scratch.Check(k.in, b):
		return nil, seal.BadTag
	case !p.budget.Take(now, wordRate, wordBurst):
		return nil, seal.OverBudget
	case p.window != nil && !p.window.Fresh(h.Counter):
		return nil, seal.Replayed
	}
	body, ok := s.scratch.Open(k.opens, h.Counter, b)
	if !ok {
		return nil, seal.BadSeal
	}
	if p.window == nil {
		p.window = new(seal.Window)
		if !p.window.Fresh(h.Counter) {
			return nil, seal.Replayed
		}
	}
	p.window.Mark(h.Counter)
	s.use(k)
	return body, seal.Accepted
}

// count gives the next counter.
func (s *Pairs) count() (uint64, error) {
	if s.limit != 0 && s.counter >= s.limit {
		return 0, crux.Errorf("seal packet", crux.Unavailable, "another process sends for this node now")
	}
	s.counter++
	return s.counter - 1, nil
}

// keysOf finds or derives a pair's keys.
func (s *Pairs) keysOf(p *peer) (*keys, error) {
	if p.keys != nil {
		return p.keys, nil
	}
	shared, err := seal.Agree(s.private, p.card.Exchange)
	if err != nil {
		return nil, crux.Errorf("agree on a key", crux.Invalid, "with node %s: %w", p.card.Node, err)
	}
	k := &keys{out: direction(s.scope, shared, s.own, p.card), in: direction(s.scope, shared, p.card, s.own)}
	k.seals = k.out.AEAD(s.own.Node, s.own.Epoch)
	k.opens = k.in.AEAD(p.card.Node, p.card.Epoch)
	return k, nil
}

// direction makes the key for what goes from one process to another. Both nodes'
// IDs, epochs and exchange keys are bound in, so that a packet sent back to its
// sender, or on to anybody else, opens nothing.
func direction(s seal.Scope, shared []byte, from, to *route.Card) *seal.Key {
	return s.NewKey(shared, "fulcrum lashup pair v1",
		from.Node[:], binary.BigEndian.AppendUint64(nil, from.Epoch), from.Exchange[:],
		to.Node[:], binary.BigEndian.AppendUint64(nil, to.Epoch), to.Exchange[:])
}

// keep makes k the peer's keys. If there are too many, those go that were not
// used for longest: first the ones that somebody only claimed to have.
func (s *Pairs) keep(p *peer, k *keys) {
	if p.keys == k {
		return
	}
	if s.keyed >= maxKeyed {
		var oldest *peer
		for _, q := range s.peers {
			if q.keys != nil && (oldest == nil || q.keys.used < oldest.keys.used) {
				oldest = q
			}
		}
		s.unkey(oldest)
	}
	p.keys = k
	s.keyed++
}

func (s *Pairs) unkey(p *peer) {
	if p.keys != nil {
		p.keys = nil
		s.keyed--
	}
}

func (s *Pairs) use(k *keys) {
	s.clock++
	k.used = s.clock
}
