package replica

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// pull is the fetching of what a neighbour has and this replica has not: one Want
// and one Chunk after the other. There is one pull at a time for each plane, so
// that nothing is fetched twice.
type pull struct {
	peer     *peer
	volatile bool
	groups   int // how many
	set      groupSet
	nonce    uint32
	began    time.Duration
	deadline time.Duration // for the Chunk
	waiting  bool          // for the disk, before the next Want
}

const (
	pullTimeout = 5 * time.Second
	// pullMost is after what time another neighbour has its turn: what came stays, and
	// who answers without an end keeps nobody from what others have.
	pullMost  = time.Minute
	quietMost = time.Minute
)

// mayPull says whether a pull from p may begin.
func (r *Replica) mayPull(p *peer, volatile bool) bool {
	return r.pulls[planeIndex(volatile)] == nil && r.now >= p.quiet && r.disk.bytes <= r.cfg.Limits.Unsaved
}

// startPull fetches what p has in the groups whose sums differ.
func (r *Replica) startPull(p *peer, volatile bool, mine, theirs []uint64) {
	x := &pull{peer: p, volatile: volatile, groups: len(theirs), began: r.now}
	for i := range theirs {
		if mine[i] != theirs[i] {
			x.set.add(i)
		}
	}
	x.nonce = r.cfg.Rand.Uint32()
	r.pulls[planeIndex(volatile)] = x
	r.stats.Pulls++
	r.ask(x, true)
}

// ask sends the next Want.
func (r *Replica) ask(x *pull, first bool) {
	vec := r.plane(x.volatile)
	m := &Want{Volatile: x.volatile, First: first, Sums: vec.groups(x.groups)}
	if !x.volatile {
		m.Settled = r.settle.base.ID.hash()
	}
	x.nonce++
	x.waiting, x.deadline = false, r.now+pullTimeout
	m.Nonce, m.Groups = x.nonce, x.set
	m.Have = vec.context(func(id crux.NodeID) bool { return x.set.has(groupOf(id, x.groups)) })
	r.send(x.peer, m)
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// tickPull gives up a pull that was not answered, and goes on with one that has
// waited for the disk.
func (r *Replica) tickPull(i int) {
	switch x := r.pulls[i]; {
	case x == nil:
	case x.waiting && r.disk.bytes <= r.cfg.Limits.Unsaved:
		r.ask(x, false)
	case r.now >= x.deadline && !x.waiting:
		r.failPull(x)
	}
}

// pullDue is when tickPull has something to do.
func (r *Replica) pullDue() time.Duration {
	t := never
	for _, x := range r.pulls {
		if x != nil && !x.waiting {
			t = min(t, x.deadline)
		}
	}
	return t
}

// failPull ends a pull that got something that cannot be used, or nothing. The
// neighbour is not asked again for a while.
func (r *Replica) failPull(x *pull) {
	r.stats.PullsFailed++
	r.pulls[planeIndex(x.volatile)] = nil
	x.peer.fails = min(x.peer.fails+1, 8)
	x.peer.quiet = r.now + min(r.cfg.Params.Compare<<x.peer.fails, quietMost)
}

// takeChunk takes in an answer.
func (r *Replica) takeChunk(p *peer, m *Chunk) {
	x := r.pulls[planeIndex(m.Volatile)]
	if x == nil || x.peer != p || x.nonce != m.Nonce || x.waiting {
		r.stats.Ignored++ // it was given up
		return
	}
	r.stats.Pulled += uint64(len(m.Items))
	if !r.mayCover(m) {
		r.failPull(x)
		return
	}
	// What owners have not signed is left out. If that is the neighbour's fault,
	// comparing values with others will show it.
	r.takeBundle(&m.Bundle, taking{volatile: m.Volatile, cards: m.Cards})
	news := len(m.Items) > 0
	for s := range m.Covered.All() {
		r.coverVolatile(m.Volatile, s)
		news = news || !r.plane(m.Volatile).has(s)
		r.received(m.Volatile, s)
	}
	r.retryWaiting(crux.NodeID{})
	switch {
	case !m.More:
		r.endPull(x)
	case !news:
		r.failPull(x) // it would go on for ever
	case r.now >= x.began+pullMost:
		r.makeWay(x)
	case r.disk.bytes > r.cfg.Limits.Unsaved:
		x.waiting = true
	default:
		r.ask(x, false)
	}
}

// mayCover says whether a neighbour's word of what there is can be true: it cannot
// know more of this node than this node itself.
func (r *Replica) mayCover(m *Chunk) bool {
	top := topOf(m.Covered, r.self)
	if top == (crdt.Mark{}) || r.isPast(top) {
		return true
	}
	r.stats.Forged++
	return false
}

// coverVolatile drops the volatile keys of incarnations that have ended, if there
// is a proof that the node has begun another. Who has some of this node's own is told.
func (r *Replica) coverVolatile(volatile bool, s crdt.Span) {
	n := s.Hi.Incarnation
	switch {
	case !volatile:
	case s.Node == r.self && n < r.actor.Incarnation && !r.saidBegun:
		r.sayBegun()
	case n > r.incarnations[s.Node] && r.cfg.Card(s.Node, n) != nil:
		r.hear(s.Node, n)
	}
}

// makeWay ends a pull. The others have their turn for as long as it took.
func (r *Replica) makeWay(x *pull) {
	r.pulls[planeIndex(x.volatile)] = nil
	if len(r.peers) > 1 {
		x.peer.quiet = r.now + min(r.now-x.began, quietMost)
	}
}

// endPull ends a pull after which nothing that the neighbour had is missing here.
func (r *Replica) endPull(x *pull) {
	r.makeWay(x)
	x.peer.fails = 0
	if !x.volatile {
		r.finishResync()
		r.agreed()
	}
}
