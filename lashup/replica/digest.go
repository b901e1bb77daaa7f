package replica

import (
	"crypto/sha256"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// peer is a neighbour.
type peer struct {
	id    crux.NodeID
	parts []byte        // of a long message
	next  time.Duration // the next comparison
	quiet time.Duration // no pulls from it before
	fails int           // pulls that came to nothing, in a row

	volatileAt time.Duration         // no comparison of the volatile plane before
	given      [2]map[*record]uint64 // versions that the pull under way was sent
	words      int                   // settle.go: words of the round that it was told
	wordsOf    RoundID
	behindAt   time.Duration
	claim      [sha256.Size]byte // settle.go: the round that it said has ended
	differs    int               // comparisons at which only the values differed
	treeAt     time.Duration
	trees      int    // messages about the tree that may be answered until then
	answered   string // the node of the tree whose keys it was told
}

// volatileEvery is the time between comparisons of the volatile plane: what was
// lost there is soon out of date anyway.
const volatileEvery = 15 * time.Second

// Neighbours says which neighbours there are links to. Whoever is new is compared
// with at once.
func (r *Replica) Neighbours(now time.Duration, list []crux.NodeID) Ready {
	r.begin(now)
	for _, id := range r.peerIDs {
		if !slices.Contains(list, id) {
			r.leave(id)
		}
	}
	for _, id := range list {
		if id == r.self || r.peers[id] != nil {
			continue
		}
		p := &peer{id: id}
		r.peers[id] = p
		p.next = r.now + r.jitter(r.cfg.Params.Compare)
		if r.loaded {
			r.greet(p)
		}
	}
	r.peerIDs = r.peerIDs[:0]
	for id := range r.peers {
		r.peerIDs = append(r.peerIDs, id)
	}
	slices.SortFunc(r.peerIDs, crux.NodeID.Compare)
	return r.end()
}

// leave forgets a neighbour.
func (r *Replica) leave(id crux.NodeID) {
	p := r.peers[id]
	delete(r.peers, id)
	for i, x := range r.pulls {
		if x != nil && x.peer == p {
			r.pulls[i] = nil
		}
	}
}

// jitter is d, more or less.
func (r *Replica) jitter(d time.Duration) time.Duration {
	return d*6/10 + time.Duration(r.cfg.Rand.Int64N(int64(d)*8/10))
}

// greet begins the first comparison with a neighbour. Of two, the one with the
// lower ID begins.
func (r *Replica) greet(p *peer) {
	if r.self.Compare(p.id) < 0 {
		d := r.digest()
		d.Fresh = true
		r.send(p, d)
	}
}

// tickPeers compares with those for whom it is time, and gives up pulls that have
// stopped.
func (r *Replica) tickPeers() {
	for i := range r.pulls {
		r.tickPull(i)
	}
	for _, id := range r.peerIDs {
		p := r.peers[id]
		if r.now < p.next {
			continue
		}
		p.next = r.now + r.jitter(r.cfg.Params.Compare)
		r.tellWords(p)
		if r.self.Compare(p.id) < 0 {
			r.send(p, r.digest())
		}
	}
}

func (r *Replica) digest() *Digest {
	return &Digest{
		Values: r.sum(), Vector: r.durable.hash(), Volatile: uint32(r.volatile.hash()),
		Settled: r.settle.base.ID.hash(), Round: r.settle.latest().hash(),
	}
}

// takeDigest compares.
func (r *Replica) takeDigest(p *peer, m *Digest) {
	mine := r.digest()
	if m.Fresh && !m.Answer {
		mine.Answer = true
		r.send(p, mine)
		return
	}
	if m.Volatile != mine.Volatile && r.now >= p.volatileAt {
		p.volatileAt = r.now + volatileEvery
		r.send(p, &Sums{Volatile: true, Sums: r.volatile.groups(r.volatile.fitting())})
	}
	if m.Settled != mine.Settled || m.Round != mine.Round {
		r.send(p, &Status{Settled: r.settle.base.ID, Round: r.settle.latest()})
	}
	switch {
	case m.Settled != mine.Settled:
	case m.Vector != mine.Vector:
		p.differs = 0
		r.send(p, &Sums{Sums: r.durable.groups(r.durable.fitting())})
	case m.Values != mine.Values && !r.resync:
		r.differ(p)
	default:
		p.differs = 0
		r.agreed()
	}
}

// takeSums begins a pull if there is something to get, or lets the other see
// whether there is.
func (r *Replica) takeSums(p *peer, m *Sums) {
	vec := r.plane(m.Volatile)
	mine := vec.groups(len(m.Sums))
	if slices.Equal(mine, m.Sums) {
		return
	}
	if r.mayPull(p, m.Volatile) {
		r.startPull(p, m.Volatile, mine, m.Sums)
	} else if !m.Answer {
		r.send(p, &Sums{Volatile: m.Volatile, Answer: true, Sums: vec.groups(vec.fitting())})
	}
}
