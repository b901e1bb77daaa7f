package proctor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/crux/wire"
	"fulcrum.example/proctor/rollout"
	pwire "fulcrum.example/proctor/wire"
	pb "fulcrum.example/protos/proctor"
)

// Inst names the service in the registry.
const Inst crux.Inst = "proctor1_0"

// Config is what a Proctor needs. Members, Docs, Registry and Dial must be
// given.
type Config struct {
	Members  crux.Members
	Docs     crux.Docs
	Registry crux.Registry
	// Dial gives a connection to a member's node port; Progress uses it to ask
	// the leader. It is shared: whoever made it closes it.
	Dial func(ctx context.Context, m crux.Member) (*grpc.ClientConn, error)
	// Peer says who is calling, by the connection's certificate: a dean may
	// speak for its own node only. nil: callers are believed (tests).
	Peer func(ctx context.Context) (crux.Peer, error)
	// Grace is how long a node may be lost before its replicas are placed
	// elsewhere; 0: 15 s.
	Grace time.Duration
	// Settle is how long the members must have been the same before a new
	// leader's proctor plans for the first time (five times as long at most,
	// and not before the registry is whole, or three times that); 0: 2 s.
	Settle time.Duration
	Clock  crux.Clock
	Log    *slog.Logger
}

// Proctor is one node's proctor. All methods may be called from any goroutine.
type Proctor struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	reign *reign // nil while this node does not act as leader
	last  crux.Revision
}

// New makes the node's Proctor; Run makes it work.
func New(cfg Config) (*Proctor, error) {
	if cfg.Members == nil || cfg.Docs == nil || cfg.Registry == nil || cfg.Dial == nil {
		return nil, crux.Errorf("make proctor", crux.Invalid, "Members, Docs, Registry and Dial must be given")
	}
	if cfg.Grace == 0 {
		cfg.Grace = 15 * time.Second
	}
	if cfg.Settle == 0 {
		cfg.Settle = 2 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Proctor{cfg: cfg, log: cfg.Log}, nil
}

// Register puts the Proctor service on the node port.
func (p *Proctor) Register(s grpc.ServiceRegistrar) { pb.RegisterProctorServer(s, &server{p: p}) }

// Run works until ctx ends: while this node acts as leader, a reign plans. One
// Run at a time.
func (p *Proctor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := func() {}
	defer func() { end() }()
	for v := range p.cfg.Members.Watch(ctx) {
		now := p.current()
		if now != nil && v.Acting && v.Flock == now.flock {
			continue // the next epoch of the same leader is the same reign
		}
		end()
		end = func() {}
		if v.Acting {
			end = p.begin(ctx, v)
		}
	}
	return nil
}

// begin starts a reign and returns what ends it.
func (p *Proctor) begin(ctx context.Context, v *crux.View) (end func()) {
	p.mu.Lock()
	if p.last.Flock != v.Flock || p.last.Epoch != v.Epoch {
		p.last = crux.Revision{Flock: v.Flock, Epoch: v.Epoch}
	}
	r := newReign(p, v, p.last.N)
	p.reign = r
	p.mu.Unlock()
	p.log.Info("this node leads: proctor gathers reports", "flock", v.Flock, "epoch", v.Epoch)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	return func() {
		cancel()
		<-done
		p.mu.Lock()
		p.reign, p.last = nil, crux.Revision{Flock: r.flock, Epoch: r.epoch, N: r.n}
		p.mu.Unlock()
		p.log.Info("this node no longer leads: proctor stops planning", "flock", r.flock, "epoch", r.epoch)
	}
}

// current is the present reign, or nil.
func (p *Proctor) current() *reign {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reign
}

// Progress says how far the intent of an API is, as the leader's proctor sees
// it; another node asks it. Errors: NotFound where there is no such intent;
// Unavailable while no leader acts, or the new one gathers reports still.
func (p *Proctor) Progress(ctx context.Context, horde crux.Horde, api crux.API) (rollout.Progress, error) {
	const op = "ask for progress"
	if r := p.current(); r != nil {
		return r.progressOf(horde, api)
	}
	v := p.cfg.Members.View()
	leader, ok := v.Member(v.Leader)
	if !ok || leader.ID == v.Self {
		return rollout.Progress{}, crux.Errorf(op, crux.Unavailable, "no leader acts at the moment: try again")
	}
	conn, err := p.cfg.Dial(ctx, leader)
	if err != nil {
		return rollout.Progress{}, crux.Wrap(op, err)
	}
	reply, err := pb.NewProctorClient(conn).Progress(ctx, &pb.ProgressRequest{Horde: string(horde), Api: string(api)})
	if err != nil {
		return rollout.Progress{}, wire.FromStatus(err)
	}
	return pwire.ProgressFrom(horde, api, reply)
}
