package service

import (
	"context"
	"log/slog"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/reeve"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

// Local is what the steward needs of its own node's reeve.
type Local interface {
	// Export gives all rows and digests, with what is left of their leases.
	Export() steward.Delta
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
	n     uint64 // the last revision's number: those of the next reign follow it

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
	defer s.sleep()
	for v := range s.cfg.Members.Watch(ctx) {
		r := s.current()
		switch leads := v.Leader == v.Self && v.Acting; {
		case !leads:
			s.sleep()
		case r == nil || r.flock != v.Flock:
			s.sleep()
			s.wake(v)
		default:
			r.follow(v)
		}
	}
}

// wake begins a reign.
func (s *Steward) wake(v *crux.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reign = newReign(s.cfg, v, s.n)
	s.log.Info("this node's steward is awake", "flock", v.Flock, "epoch", v.Epoch, "rows", s.reign.table.Len())
}

// sleep ends the reign, if there is one, and waits for its streams.
func (s *Steward) sleep() {
	s.mu.Lock()
	r := s.reign
	s.reign = nil
	s.mu.Unlock()
	if r == nil {
		return
	}
	n := r.end()
	s.mu.Lock()
	s.n = n
	s.mu.Unlock()
	s.log.Info("this node's steward sleeps", "flock", r.flock)
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
	return nil, crux.Errorf("steward", crux.Unavailable, "node %v does not lead: the steward is on node %v", v.Self, v.Leader)
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
func (x server) Propose(ctx context.Context, m *reeve.Doc) (*pb.ProposeReply, error) {
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
