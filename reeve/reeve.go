package reeve

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"math/rand/v2"
	"sync"
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

	mu       sync.Mutex
	table    *steward.Table
	changed  chan struct{} // closed and replaced when look-ups may answer otherwise
	own      ownRows
	ownNews  chan struct{} // closed and replaced when this node has something to say
	rev      crux.Revision
	whole    bool
	steward  crux.NodeID // whose pushes are taken; zero while there is none
	keys     map[crux.NodeID]ed25519.PublicKey
	mismatch map[crux.NodeID]bool // owners whose full set is wanted
	// strangers are owners whose word could not be checked, as they are not
	// among the members that this node knows (yet).
	strangers map[crux.NodeID]bool

	group  sync.WaitGroup
	cancel context.CancelFunc
	closed chan struct{}
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
		cfg: cfg, log: cfg.Log, table: steward.New(), changed: make(chan struct{}), ownNews: make(chan struct{}),
		own: newOwnRows(), keys: map[crux.NodeID]ed25519.PublicKey{}, mismatch: map[crux.NodeID]bool{}, strangers: map[crux.NodeID]bool{}, closed: make(chan struct{}),
	}
	r.learnKeys(cfg.Members.View())
	var err error
	if r.docs, err = openDocs(cfg.Dir, r.log); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.group.Go(func() { r.follow(ctx) })
	r.group.Go(func() { r.tick(ctx) })
	return r, nil
}

// Close ends everything; watches are closed.
func (r *Reeve) Close() error {
	r.cancel()
	r.mu.Lock() // Watch, under the same lock, starts nothing after this
	close(r.closed)
	r.mu.Unlock()
	r.group.Wait()
	return nil
}

// Steward is the node whose steward this reeve follows, or zero.
func (r *Reeve) Steward() crux.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steward
}

// tick renews this node's leases and lets those of others end.
func (r *Reeve) tick(ctx context.Context) {
	next := r.cfg.Clock.Now()
	for {
		now := r.cfg.Clock.Now()
		r.mu.Lock()
		if !now.Before(next) {
			r.own.digestDue = true
			r.sayLocked()
			next = now.Add(jitter(r.cfg.TTL / renewals))
		}
		if gone := r.table.Expire(now); len(gone) > 0 {
			for _, row := range gone {
				r.log.Info("a row's lease has ended", "inst", row.Inst, "node", row.Node, "at", row.NetID)
			}
			r.changedLocked()
		}
		r.mu.Unlock()
		select {
		case <-r.cfg.Clock.After(expireTick):
		case <-ctx.Done():
			return
		}
	}
}

// jitter spreads a period by a fifth, so that a thousand nodes do not speak at
// once.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// changedLocked wakes the watchers.
func (r *Reeve) changedLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// sayLocked wakes whoever sends this node's news to the steward.
func (r *Reeve) sayLocked() {
	close(r.ownNews)
	r.ownNews = make(chan struct{})
}

// learnKeys remembers the public keys of members: rows of a node that has left
// the list are still checked until their leases end.
func (r *Reeve) learnKeys(v *crux.View) {
	met := false
	for _, m := range v.Members {
		r.keys[m.ID] = m.Key
		if r.strangers[m.ID] {
			delete(r.strangers, m.ID)
			r.mismatch[m.ID], met = true, true
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
func (r *Reeve) Export() ([]steward.Held, []crux.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.Export(r.cfg.Clock.Now())
}
