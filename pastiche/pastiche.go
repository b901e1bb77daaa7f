package pastiche

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/pastiche/plan"
	"fulcrum.example/pastiche/store"
	pb "fulcrum.example/protos/pastiche"
)

// Inst names the service in the registry.
const Inst crux.Inst = "pastiche1_0"

// Config is what a Pastiche needs. ID, Dir, Members and Dial must be given.
type Config struct {
	ID  crux.NodeID
	Dir string // the cache's folder, made 0700 where it is not there
	// MaxBytes bounds the cache; 0: 4 GiB.
	MaxBytes int64
	// Origin is the artifact store; nil: this node knows of none and asks peers
	// alone. Pastiche does not close it.
	Origin  Origin
	Members crux.Members
	// Dial gives a connection to a member's node port. It is shared: whoever
	// made it closes it.
	Dial func(ctx context.Context, m crux.Member) (*grpc.ClientConn, error)
	// Peer says who is calling, by the connection's certificate. nil: callers
	// are believed (tests; a node port that admits members only still bounds
	// who they are).
	Peer func(ctx context.Context) (crux.Peer, error)
	// MaxUploads bounds how many artifacts are sent to peers at once; 0: 8.
	MaxUploads int
	// Stagger is how long a node waits for a sign of life of whoever reads the
	// artifact store before it goes on by itself; 0: 10 s.
	Stagger time.Duration
	Clock   crux.Clock
	Log     *slog.Logger
}

// Pastiche is one node's pastiche.
type Pastiche struct {
	cfg     Config
	log     *slog.Logger
	store   *store.Store
	arbiter *arbiter
	uploads chan struct{}
	counts  counters

	mu      sync.Mutex
	flights map[crux.Checksum]*flight
	bad     map[crux.NodeID]badPeer
	closed  bool
	group   sync.WaitGroup // flights and the arbiter's ticker
	stop    context.CancelFunc
}

// Stats counts what a Pastiche did since it was opened.
type Stats struct {
	OriginReads  uint64 // artifacts read whole from the artifact store
	OriginBytes  uint64
	PeerFetches  uint64 // artifacts pulled from peers
	PeerBytes    uint64
	Served       uint64 // artifacts sent to peers, whole or in part
	ServedBytes  uint64
	Refused      uint64 // requests refused because as many were under way
	BadArtifacts uint64 // artifacts from peers or origin whose bytes did not match
}

type counters struct {
	originReads, originBytes, peerFetches, peerBytes atomic.Uint64
	served, servedBytes, refused, badArtifacts       atomic.Uint64
}

// Open opens the cache and makes the node's Pastiche.
func Open(cfg Config) (*Pastiche, error) {
	if cfg.Members == nil || cfg.Dial == nil || cfg.ID.IsZero() {
		return nil, crux.Errorf("open pastiche", crux.Invalid, "ID, Members and Dial must be given")
	}
	setDefaults(&cfg)
	st, err := store.Open(store.Config{Dir: cfg.Dir, MaxBytes: cfg.MaxBytes, Clock: cfg.Clock, Log: cfg.Log})
	if err != nil {
		return nil, crux.Wrap("open pastiche", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Pastiche{
		cfg: cfg, log: cfg.Log, store: st, stop: stop,
		arbiter: newArbiter(plan.NewTable(plan.Config{Stall: cfg.Stagger}), cfg.Clock),
		uploads: make(chan struct{}, cfg.MaxUploads),
		flights: make(map[crux.Checksum]*flight),
		bad:     make(map[crux.NodeID]badPeer),
	}
	p.group.Go(func() { p.arbiter.tick(ctx) })
	return p, nil
}

func setDefaults(cfg *Config) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 4 << 30
	}
	if cfg.MaxUploads == 0 {
		cfg.MaxUploads = 8
	}
	if cfg.Stagger == 0 {
		cfg.Stagger = 10 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
}

// Register puts the Pastiche service on the node port.
func (p *Pastiche) Register(s grpc.ServiceRegistrar) { pb.RegisterPasticheServer(s, &server{p: p}) }

// Close ends all fetches, waits for them, and closes the cache.
func (p *Pastiche) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.mu.Lock()
	for _, f := range p.flights {
		f.cancel()
	}
	p.mu.Unlock()
	p.group.Wait()
	return p.store.Close()
}

// Pin keeps the artifact in the cache until as many Unpins. It may be called
// before the artifact is there.
func (p *Pastiche) Pin(sum crux.Checksum) { p.store.Pin(sum) }

// Unpin takes one Pin back.
func (p *Pastiche) Unpin(sum crux.Checksum) { p.store.Unpin(sum) }

// Verify hashes an artifact of the cache again; a wrong one is removed and
// reported as Corrupt.
func (p *Pastiche) Verify(ctx context.Context, sum crux.Checksum) error {
	return p.store.Verify(ctx, sum)
}

// Sums lists what is in the cache, sorted by sum.
func (p *Pastiche) Sums() []store.Entry { return p.store.List() }

// Stats gives the counters.
func (p *Pastiche) Stats() Stats {
	c := &p.counts
	return Stats{
		OriginReads: c.originReads.Load(), OriginBytes: c.originBytes.Load(),
		PeerFetches: c.peerFetches.Load(), PeerBytes: c.peerBytes.Load(),
		Served: c.served.Load(), ServedBytes: c.servedBytes.Load(),
		Refused: c.refused.Load(), BadArtifacts: c.badArtifacts.Load(),
	}
}

// Publish takes a file into the node's own cache and the artifact store, and
// says what it is called now. Nothing is published unless both have it. Without
// an artifact store it fails with Unavailable.
func (p *Pastiche) Publish(ctx context.Context, r io.Reader) (crux.Checksum, int64, error) {
	if p.cfg.Origin == nil {
		return crux.Checksum{}, 0, crux.Errorf("publish", crux.Unavailable,
			"this node has no artifact store: start it with --store s3://BUCKET/PREFIX or --store dir:PATH")
	}
	if err := p.cfg.Origin.Check(ctx); err != nil {
		return crux.Checksum{}, 0, crux.Wrap("publish", err)
	}
	sum, size, err := p.store.Add(ctx, r)
	if err != nil {
		return crux.Checksum{}, 0, crux.Wrap("publish", err)
	}
	p.store.Pin(sum)
	defer p.store.Unpin(sum)
	f, _, err := p.store.Get(ctx, sum)
	if err != nil {
		return crux.Checksum{}, 0, crux.Wrap("publish", err)
	}
	defer f.Close()
	if err := p.cfg.Origin.Put(ctx, sum, size, f); err != nil {
		return crux.Checksum{}, 0, crux.Wrap("publish", err)
	}
	p.announce(ctx, sum)
	return sum, size, nil
}

// PublishFile publishes a regular file of this machine.
func (p *Pastiche) PublishFile(ctx context.Context, path string) (crux.Checksum, int64, error) {
	// A look first: to open a pipe would wait for its writer.
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return crux.Checksum{}, 0, crux.Errorf("publish", crux.Invalid, "%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return crux.Checksum{}, 0, crux.Errorf("publish", crux.Invalid, "cannot read the file: %w", err)
	}
	defer f.Close()
	return p.Publish(ctx, f)
}

// shuffle puts nodes in random order: the choice of a peer needs no secrecy.
func shuffle[T any](s []T) { rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }
