package reeve

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/steward"
)

// The registry's times.
const (
	defaultTTL = 30 * time.Second // a row's lease
	renewals   = 3                // digests a lease
	expireTick = time.Second
)

// Config is what a reeve is made of. Clock, TTL and Log have defaults.
type Config struct {
	ID          crux.NodeID
	Incarnation uint64
	// Sign signs with the node key.
	Sign func(label string, msg []byte) ([]byte, error)
	// Dir is the folder for documents, made 0700 where it is not there.
	Dir     string
	Members crux.Members
	Policy  crux.Policy
	// Dial gives a connection to a member's node port. It is shared: whoever
	// made it closes it.
	Dial  func(ctx context.Context, m crux.Member) (*grpc.ClientConn, error)
	TTL   time.Duration // of this node's rows; 0: 30 s
	Clock crux.Clock
	Log   *slog.Logger
}

// Reeve is one node's reeve.
type Reeve struct {
	cfg  Config
	log  *slog.Logger
	docs *docStore

	table *steward.Table        // Find is for all; the rest is guarded by mu
	state atomic.Pointer[state] // what a snapshot says beside its rows

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when look-ups may answer otherwise
	own     ownRows
	ownNews chan struct{} // closed and replaced when this node has something to say
	claimed bool          // the steward says that every living member has reported
	steward crux.NodeID   // whose pushes are taken; zero while there is none
	keys    map[crux.NodeID]ed25519.PublicKey
	wanted  map[crux.NodeID]bool // owners whose full set is to be asked for
	peers   *peers
	// strangers are owners whose word could not be checked, as they are not
	// among the members that this node knows (yet).
	strangers map[crux.NodeID]bool

	group  sync.WaitGroup
	cancel context.CancelFunc
	closed chan struct{}
}

// state is immutable. It is stored after the table was published, and loaded
// before the table is read: rows are never older than what is said of them.
type state struct {
	rev   crux.Revision
	whole bool
}

// Open reads the documents from disk and begins to follow the leader.
func Open(cfg Config) (*Reeve, error) {
	if cfg.Sign == nil || cfg.Members == nil || cfg.Policy == nil || cfg.Dial == nil || cfg.Dir == "" || cfg.ID.IsZero() {
		return nil, crux.Errorf("open reeve", crux.Invalid, "ID, Sign, Dir, Members, Policy and Dial must be given")
	}
	if cfg.TTL == 0 {
		cfg.TTL = defaultTTL
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reeve{
		cfg: cfg, log: cfg.Log, table: steward.New(cfg.Clock.Now()), changed: make(chan struct{}), ownNews: make(chan struct{}),
		own: newOwnRows(), keys: map[crux.NodeID]ed25519.PublicKey{}, wanted: map[crux.NodeID]bool{}, strangers: map[crux.NodeID]bool{}, closed: make(chan struct{}),
	}
	r.state.Store(&state{})
	r.learnKeysLocked(cfg.Members.View()) // nobody else has it yet
	var err error
	if r.docs, err = openDocs(cfg.Dir, r.checkLoaded, r.log); err != nil {
		return nil, err
	}
	r.peers = openPeers(r.docs.root, cfg.Clock.Now().Add(cfg.TTL), r.log)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.group.Go(func() { r.follow(ctx) })
	r.group.Go(func() { r.tick(ctx) })
	return r, nil
}

// Close ends everything; watches are closed. A second Close does nothing.
func (r *Reeve) Close() error {
	r.cancel()
	r.mu.Lock() // Watch, under the same lock, starts nothing after this
	select {
	case <-r.closed:
		r.mu.Unlock()
		return nil
	default:
	}
	close(r.closed)
	r.mu.Unlock()
	r.group.Wait()
	return crux.Wrap("close reeve", r.docs.close())
}

// Steward is the node whose steward this reeve follows, or zero.
func (r *Reeve) Steward() crux.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steward
}

// tick renews this node's leases, lets those of others end, and asks again for
// what is lacking, until ctx ends.
func (r *Reeve) tick(ctx context.Context) {
	next := r.cfg.Clock.Now().Add(jitter(r.cfg.TTL / renewals))
	for {
		select {
		case <-r.cfg.Clock.After(r.tickEvery()):
		case <-ctx.Done():
			return
		}
		now := r.cfg.Clock.Now()
		r.mu.Lock()
		if !now.Before(next) {
			r.own.digestDue = true
			if _, err := r.ownDigestLocked(); err != nil { // steward or not, our own rows hold
				r.log.Error("this node's rows cannot be renewed", "error", err)
			}
			r.sayLocked()
			next = now.Add(jitter(r.cfg.TTL / renewals))
		}
		gone := r.table.Expire(now)
		r.wantLacking()
		r.publishLocked(len(gone) > 0)
		whole := r.state.Load().whole
		r.mu.Unlock()
		for _, k := range gone {
			r.log.Info("a row's lease has ended", "inst", k.Inst, "node", k.Node, "at", k.NetID)
		}
		if whole {
			r.peers.remember(r.cfg.Members.View())
		}
	}
}

// tickEvery is a second, or less where leases are short.
func (r *Reeve) tickEvery() time.Duration { return min(expireTick, r.cfg.TTL/10) }

// jitter spreads a period by a fifth, so that a thousand nodes do not speak at
// once.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// publishLocked shows look-ups what the table holds now, works out whether it is
// whole, and wakes the watchers if rows changed or that did.
func (r *Reeve) publishLocked(changed bool) {
	r.table.Publish()
	was := r.state.Load()
	if whole := r.wholeLocked(r.cfg.Members.View()); whole != was.whole {
		r.state.Store(&state{was.rev, whole})
		changed = true
	}
	if changed {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// wholeLocked is the rule of the package's doc.
func (r *Reeve) wholeLocked(v *crux.View) bool {
	return r.claimed && r.own.complete && r.lackingLocked(v, nil) == 0 && r.peers.settled(r.cfg.Clock.Now(), v)
}

// lackingLocked counts the living members of whom the table does not hold what
// their latest digest counts, and calls each with them.
func (r *Reeve) lackingLocked(v *crux.View, each func(crux.NodeID)) (n int) {
	for i := range v.Members {
		m := &v.Members[i]
		if m.State != crux.Alive || r.table.Holds(m.ID, m.Incarnation) {
			continue
		}
		n++
		if each != nil {
			each(m.ID)
		}
	}
	return n
}

// wantLacking asks for the full sets of the members that are lacking although
// the steward has them all. They should have come by themselves; this is for
// what went wrong in a way that nobody thought of.
func (r *Reeve) wantLacking() {
	if !r.claimed {
		return
	}
	asked := false
	r.lackingLocked(r.cfg.Members.View(), func(id crux.NodeID) {
		if id != r.cfg.ID {
			r.wanted[id], asked = true, true
		}
	})
	if asked {
		r.sayLocked()
	}
}

// sayLocked wakes whoever sends this node's news to the steward.
func (r *Reeve) sayLocked() {
	close(r.ownNews)
	r.ownNews = make(chan struct{})
}

// learnKeysLocked remembers the public keys of members: rows of a node that has
// left the list are still checked until their leases end.
func (r *Reeve) learnKeysLocked(v *crux.View) {
	met := false
	for _, m := range v.Members {
		r.keys[m.ID] = m.Key
		if r.strangers[m.ID] {
			delete(r.strangers, m.ID)
			r.wanted[m.ID], met = true, true
		}
	}
	if met {
		r.sayLocked()
	}
}

// keyLocked is the public key of a node that is or was a member.
func (r *Reeve) keyLocked(id crux.NodeID) (ed25519.PublicKey, bool) {
	k, ok := r.keys[id]
	if !ok {
		var m crux.Member
		if m, ok = r.cfg.Members.View().Member(id); ok {
			k = m.Key
			r.keys[id] = k
		}
	}
	return k, ok
}

// Key is the public key of a node that is or was a member, for whoever checks
// what it signed.
func (r *Reeve) Key(id crux.NodeID) (ed25519.PublicKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keyLocked(id)
}

// Export gives all rows and digests that this reeve holds: what a steward on
// this node begins with.
func (r *Reeve) Export() steward.Delta {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.Since(r.cfg.Clock.Now(), nil)
}
