package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

// Local is what the steward needs of its own node's reeve.
type Local interface {
	// Export gives all rows, with what is left of their leases, and digests.
	Export() ([]steward.Held, []crux.Digest)
	VerifyRow(r *crux.Row) error
	VerifyDigest(d *crux.Digest) error
	// AllDocs lists the documents on this node's disk, and gives a channel that
	// is closed at the next change.
	AllDocs() ([]crux.Doc, <-chan struct{})
	// StoreDoc checks a document and keeps it on this node's disk.
	StoreDoc(d crux.Doc) error
}

// Config is what a steward is made of. Clock and Log have defaults.
type Config struct {
	Members crux.Members
	Reeve   Local
	// Dial gives a connection to a member's node port. It is shared: whoever
	// made it closes it.
	Dial func(ctx context.Context, m crux.Member) (*grpc.ClientConn, error)
	// Peer says who is calling, by the connection's certificate.
	Peer  func(ctx context.Context) (crux.Peer, error)
	Clock crux.Clock
	Log   *slog.Logger
}

// Steward is one node's steward, asleep or awake.
type Steward struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	reign *reign // nil while this node does not lead

	cancel context.CancelFunc
	group  sync.WaitGroup
}

// Open begins to watch who leads.
func Open(cfg Config) (*Steward, error) {
	if cfg.Members == nil || cfg.Reeve == nil || cfg.Dial == nil || cfg.Peer == nil {
		return nil, crux.Errorf("open steward", crux.Invalid, "Members, Reeve, Dial and Peer must be given")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Steward{cfg: cfg, log: cfg.Log, cancel: cancel}
	s.group.Go(func() { s.follow(ctx) })
	return s, nil
}

// Close puts the steward to sleep for good and ends its streams.
func (s *Steward) Close() error {
	s.cancel()
	s.group.Wait()
	return nil
}

// Register puts the steward on the node port.
func (s *Steward) Register(r grpc.ServiceRegistrar) { pb.RegisterStewardServer(r, server{s: s}) }

// follow begins and ends reigns as the flock's leader changes.
func (s *Steward) follow(ctx context.Context) {
	defer s.set(nil)
	for v := range s.cfg.Members.Watch(ctx) {
		leads := v.Leader == v.Self && v.Acting
		switch r := s.current(); {
		case !leads:
			s.set(nil)
		case r == nil || r.flock != v.Flock:
			s.begin(ctx, v)
			s.log.Info("this node's steward is awake", "flock", v.Flock, "epoch", v.Epoch)
		default:
			r.follow(v)
		}
	}
}

// begin begins a reign.
func (s *Steward) begin(ctx context.Context, v *crux.View) {
	s.set(nil)
	r := newReign(s.cfg, v)
	ctx, done, err := r.live(ctx)
	if err != nil {
		return // it is new, and cannot have ended
	}
	go func() {
		defer done()
		r.expire(ctx)
	}()
	s.set(r)
}

// set replaces the reign, and ends the one before.
func (s *Steward) set(r *reign) {
	s.mu.Lock()
	old := s.reign
	s.reign = r
	s.mu.Unlock()
	if old != nil {
		old.end()
	}
}

func (s *Steward) current() *reign {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reign
}

// awake gives the reign, or says where the steward is.
func (s *Steward) awake() (*reign, error) {
	if r := s.current(); r != nil {
		return r, nil
	}
	v := s.cfg.Members.View()
	if v.Leader.IsZero() || v.Leader == v.Self {
		return nil, crux.Errorf("steward", crux.Unavailable, "the flock has no acting leader just now: try again")
	}
	return nil, crux.Errorf("steward", crux.Unavailable, "this node does not lead: the steward is on %v", v.Leader)
}

// reign is one time of leading one flock.
type reign struct {
	cfg   Config
	flock crux.FlockID
	epoch uint64 // when it began: revisions before it were somebody else's

	mu       sync.Mutex
	table    *steward.Table
	view     *crux.View
	n        uint64 // of the last change
	log      []change
	subs     map[crux.NodeID]*subscriber
	reported map[crux.NodeID]uint64 // node → incarnation
	whole    bool
	news     chan struct{} // closed and replaced when streams have something to send

	ended   bool
	cancels map[int]context.CancelFunc // of everything that lives with the reign
	nextID  int
	group   sync.WaitGroup
}

// live gives a context that ends with the reign at the latest. done must be
// called when what lives by it has ended; the reign's end waits for that.
func (r *reign) live(parent context.Context) (ctx context.Context, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, nil, crux.Errorf("steward", crux.Unavailable, "this steward's reign has ended: ask the next leader's")
	}
	ctx, cancel := context.WithCancel(parent)
	id := r.nextID
	r.nextID++
	r.cancels[id] = cancel
	r.group.Add(1)
	return ctx, func() {
		cancel()
		r.mu.Lock()
		delete(r.cancels, id)
		r.mu.Unlock()
		r.group.Done()
	}, nil
}

// change is one entry of the log: a row or a digest that was taken in.
type change struct {
	n      uint64
	row    *crux.Row
	digest *crux.Digest
}

// maxLog bounds the log; a reeve further behind gets a snapshot.
const maxLog = 8192

// newReign begins with what this node's reeve holds.
func newReign(cfg Config, v *crux.View) *reign {
	r := &reign{
		cfg: cfg, flock: v.Flock, epoch: v.Epoch, view: v, table: steward.New(), subs: map[crux.NodeID]*subscriber{},
		reported: map[crux.NodeID]uint64{}, news: make(chan struct{}), cancels: map[int]context.CancelFunc{},
	}
	rows, digests := cfg.Reeve.Export()
	r.table.Import(cfg.Clock.Now(), rows, digests)
	return r
}

// end ends the reign and its streams.
func (r *reign) end() {
	r.mu.Lock()
	r.ended = true
	for _, cancel := range r.cancels {
		cancel()
	}
	r.mu.Unlock()
	r.group.Wait()
}

// expire lets leases end until ctx does; every reeve does the same for itself,
// so there is nothing to push.
func (r *reign) expire(ctx context.Context) {
	for {
		select {
		case <-r.cfg.Clock.After(time.Second):
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		r.table.Expire(r.cfg.Clock.Now())
		r.mu.Unlock()
	}
}

// follow takes in a view: who must report, and whose streams must end.
func (r *reign) follow(v *crux.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	epoch := r.view.Epoch
	r.view = v
	for id, sub := range r.subs {
		if _, ok := v.Member(id); !ok {
			sub.cancel()
		}
	}
	r.judgeLocked()
	if epoch != v.Epoch {
		r.newsLocked()
	}
}

// judgeLocked works out whether every living member has reported.
func (r *reign) judgeLocked() {
	whole := true
	for _, m := range r.view.Members {
		if m.State == crux.Alive && r.reported[m.ID] != m.Incarnation {
			whole = false
			break
		}
	}
	if whole != r.whole {
		r.whole = whole
		r.newsLocked()
	}
}

func (r *reign) newsLocked() {
	close(r.news)
	r.news = make(chan struct{})
}

// logLocked gives a change its number and keeps it for the streams.
func (r *reign) logLocked(c change) {
	r.n++
	c.n = r.n
	r.log = append(r.log, c)
	if len(r.log) > maxLog {
		r.log = append([]change(nil), r.log[len(r.log)-maxLog/2:]...)
	}
	r.newsLocked()
}

// revisionLocked is the present revision.
func (r *reign) revisionLocked() *crux.Revision {
	return &crux.Revision{Flock: r.flock, Epoch: r.view.Epoch, N: r.n}
}

// server is the gRPC face.
type server struct {
	pb.UnimplementedStewardServer
	s *Steward
}

// Sync runs one reeve's stream.
func (x server) Sync(stream grpc.BidiStreamingServer[pb.FromReeve, pb.FromSteward]) error {
	p, err := x.s.cfg.Peer(stream.Context())
	if err != nil {
		return err
	}
	r, err := x.s.awake()
	if err != nil {
		return err
	}
	return r.serve(stream, p.Node)
}

// Propose gathers the majority for a document.
func (x server) Propose(ctx context.Context, m *docMessage) (*pb.ProposeReply, error) {
	d, err := wire.DocFrom(m)
	if err != nil {
		return nil, err
	}
	r, err := x.s.awake()
	if err != nil {
		return nil, err
	}
	if err := r.propose(ctx, d); err != nil {
		return nil, err
	}
	return &pb.ProposeReply{}, nil
}
