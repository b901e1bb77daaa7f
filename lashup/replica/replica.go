package replica

import (
	"math"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/limit"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// Replica is one node's copy of the store. Its state is divided by subject, each
// in the file of that name.
type Replica struct {
	cfg    Config
	self   crux.NodeID
	actor  crdt.Actor
	now    time.Duration
	out    Ready
	loaded bool
	load   *loading // load.go; nil before the first line, and once loaded

	// What is there: record.go.
	keys     order[*record]
	newest   *record
	number   uint64 // of the last version
	floor    uint64 // versions up to this one may be of keys that are gone
	hot      map[*record]*crdt.State
	hotSizes map[*record]int
	hotOrder []*record
	hotBytes int
	hotSize  int                  // a constant, but in tests
	logs     map[*record]deltaLog // deltas.go
	values   uint64               // sum of the hashes of durable keys
	dirty    []*record

	// What was received: vector.go.
	durable, volatile *vector
	volatileKeys      map[crux.NodeID]int
	incarnations      map[crux.NodeID]uint64 // the latest heard of
	saidBegun         bool                   // all were told of this node's
	clock             clock
	waiting           []waiting // apply.go: updates that came too early

	seq, volatileSeq uint64 // the last numbers used: write.go
	casts            [2]outbox
	bucket           limit.Bucket
	anew             limit.Bucket  // resync.go: see republishRate
	castAt           time.Duration // when the outboxes are due
	castLast         time.Duration

	disk    disk                     // persist.go
	cards   map[cardID]*keptCard     // owned.go
	batches map[batchID]*batch       // owned.go: verified ones
	peers   map[crux.NodeID]*peer    // digest.go
	peerIDs []crux.NodeID            // sorted
	pulls   [2]*pull                 // pull.go: of each plane
	members map[crux.NodeID]Standing // members.go
	unknown map[crux.NodeID]time.Duration
	settle  settling // round.go
	tombs   []*record
	sweep   sweeping // collect.go
	gen     uint16   // resync.go
	resync  bool
	early   early
	suspect map[uint64]suspicion // compare.go
	mending string               // the key that is being repaired
	watches watches              // watch.go
	stats   Stats
}

// New makes an empty replica. What the disk holds is given to Load before anything
// else is called. It fails with Invalid when cfg lacks something.
func New(cfg Config, now time.Duration) (*Replica, error) {
	const op = "make a replica"
	switch {
	case cfg.Self.IsZero() || cfg.Bloc == "" || cfg.Rand == nil:
		return nil, crux.Errorf(op, crux.Invalid, "Self, Bloc and Rand are needed")
	case cfg.Incarnation == 0 || cfg.Incarnation >= 1<<63:
		return nil, crux.Errorf(op, crux.Invalid, "incarnation %d is not between 1 and 2^63", cfg.Incarnation)
	case cfg.Sign == nil || cfg.Verify == nil || cfg.Card == nil:
		return nil, crux.Errorf(op, crux.Invalid, "Sign, Verify and Card are needed")
	}
	cfg.Limits, cfg.Params = cfg.Limits.withDefaults(), cfg.Params.withDefaults()
	r := &Replica{
		cfg: cfg, self: cfg.Self, actor: crdt.Actor{Node: cfg.Self, Incarnation: cfg.Incarnation}, now: now,
		durable: newVector(), volatile: newVector(),
		hotSize: hotSize, castAt: never, castLast: -cfg.Params.Coalesce,
		number: loadedVersion,
	}
	r.disk.retryAt = never
	r.clock.set(cfg.Wall, now)
	r.makeMaps()
	r.settle.init(r)
	r.sweep.at = now + sweepEvery
	return r, nil
}

func (r *Replica) makeMaps() {
	r.hot, r.hotSizes, r.logs = map[*record]*crdt.State{}, map[*record]int{}, map[*record]deltaLog{}
	r.volatileKeys = map[crux.NodeID]int{}
	r.incarnations = map[crux.NodeID]uint64{r.self: r.cfg.Incarnation}
	r.cards, r.batches = map[cardID]*keptCard{}, map[batchID]*batch{}
	r.peers, r.members = map[crux.NodeID]*peer{}, map[crux.NodeID]Standing{}
	r.unknown, r.suspect = map[crux.NodeID]time.Duration{}, map[uint64]suspicion{}
	r.early.deltas = map[string]*crdt.State{}
}

// Receive takes in a message from a neighbour.
func (r *Replica) Receive(now time.Duration, from crux.NodeID, m Message) Ready {
	r.begin(now)
	p := r.peers[from]
	if p == nil || !r.loaded {
		r.stats.Ignored++ // it is no neighbour any more
		return r.end()
	}
	if part, ok := m.(*Part); ok {
		whole, err := part.gather(&p.parts)
		if err != nil {
			r.stats.Malformed++
		}
		if m = whole; m == nil {
			return r.end()
		}
	}
	r.dispatch(p, m)
	return r.end()
}

func (r *Replica) dispatch(p *peer, m Message) {
	switch m := m.(type) {
	case *Digest:
		r.takeDigest(p, m)
	case *Sums:
		r.takeSums(p, m)
	case *Want:
		r.takeWant(p, m)
	case *Chunk:
		r.takeChunk(p, m)
	case *Status:
		r.takeStatus(p, m)
	case *Ask:
		r.takeAsk(p, m)
	case *Round:
		r.takeRound(m)
	case *Vouch:
		r.takeVouch(p, m)
	case *Settled:
		r.takeSettled(p, m)
	case *Tree:
		r.takeTree(p, m)
	case *Leaves:
		r.takeLeaves(p, m)
	case *Fetch:
		r.takeFetch(p, m)
	case *Repair:
		r.takeRepair(p, m)
	default: // an Update is for everybody, and a Part in parts for nobody
		r.stats.Ignored++
	}
}

// Delivered takes in a payload that origin multicast.
func (r *Replica) Delivered(now time.Duration, origin crux.NodeID, payload []byte) Ready {
	r.begin(now)
	if origin == r.self || !r.loaded || r.members[origin] == Evicted {
		r.stats.Ignored++
		return r.end()
	}
	m, err := Decode(payload)
	if err != nil {
		r.stats.Malformed++
		return r.end()
	}
	switch m := m.(type) {
	case *Update:
		r.takeUpdate(origin, m)
	case *Round:
		r.takeRound(m)
	default:
		r.stats.Ignored++
	}
	return r.end()
}

// Tick does what is due.
func (r *Replica) Tick(now time.Duration) Ready {
	r.begin(now)
	if !r.loaded {
		return r.end()
	}
	if r.now >= r.castAt {
		r.flush()
	}
	if r.now >= r.disk.retryAt {
		r.retry()
	}
	r.tickPeers()
	if r.now >= r.settle.at {
		r.tickSettle()
	}
	if r.now >= r.sweep.at {
		r.tickSweep()
	}
	return r.end()
}

// NextTick is when Tick has something to do again.
func (r *Replica) NextTick() time.Duration {
	if !r.loaded {
		return never
	}
	t := min(r.castAt, r.disk.retryAt, r.settle.at, r.sweep.at, r.pullDue())
	for _, p := range r.peers {
		t = min(t, p.next)
	}
	return t
}

func (r *Replica) begin(now time.Duration) {
	r.now = max(r.now, now)
	r.out = Ready{Sends: r.out.Sends[:0]}
}

func (r *Replica) end() Ready {
	r.endBatch()
	r.out.Watches = r.watches.takeReady()
	return r.out
}

func (r *Replica) send(p *peer, m Message) {
	n := m.Size()
	r.stats.SentBytes += uint64(n)
	for _, part := range split(m) {
		r.out.Sends = append(r.out.Sends, Send{p.id, part})
	}
}
