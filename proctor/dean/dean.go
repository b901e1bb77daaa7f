package dean

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/crux/rpc"
)

// Inst names the service in the registry.
const Inst crux.Inst = "dean1_0"

// Config is what a Dean needs; all but Backoff, Clock and Log must be given.
type Config struct {
	Dir       string // dean's own folder on this node, made 0700 where it is not there
	Members   crux.Members
	Docs      crux.Docs // this node's own reeve
	Runner    crux.Runner
	Artifacts crux.Artifacts
	// Dial gives a connection to a member's node port. It is shared: whoever
	// made it closes it.
	Dial func(ctx context.Context, m crux.Member) (*grpc.ClientConn, error)
	// Backoff is the first delay before something that failed is tried again;
	// it doubles up to 64 times that. 0: 250 ms.
	Backoff time.Duration
	Clock   crux.Clock
	Log     *slog.Logger
}

// Dean is one node's dean. Run may be called by one goroutine at a time.
type Dean struct {
	cfg   Config
	log   *slog.Logger
	file  *file
	board board // the newest report, for the subscription
}

// Open reads what dean last accepted; Run makes it work. A state file that
// cannot be read is set aside, and said so in the log: dean then begins anew
// with the next list.
func Open(cfg Config) (*Dean, error) {
	if cfg.Dir == "" || cfg.Members == nil || cfg.Docs == nil || cfg.Runner == nil || cfg.Artifacts == nil || cfg.Dial == nil {
		return nil, crux.Errorf("open dean", crux.Invalid, "Dir, Members, Docs, Runner, Artifacts and Dial must be given")
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 250 * time.Millisecond
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f, err := openFile(cfg.Dir, cfg.Log)
	if err != nil {
		return nil, crux.Wrap("open dean", err)
	}
	return &Dean{cfg: cfg, log: cfg.Log, file: f, board: board{changed: make(chan struct{}, 1)}}, nil
}

// Dean1_0 is the service routine (a crux.Service): it runs the Dean until quit,
// and beats for the node port. What dean started goes on running.
func (d *Dean) Dean1_0(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	rpc.Builtin(Inst, d.cfg.Clock, d.Run, quit, alive, network)
}

// Run conforms until ctx ends; it stops nothing then.
func (d *Dean) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	lists := make(chan list)
	c := newConformer(d, &group)
	c.start()
	d.board.put(c.report())
	group.Go(func() { d.subscribe(ctx, lists) })
	docs, units := d.cfg.Docs.Watch(ctx), d.cfg.Runner.Watch(ctx)
	for {
		c.conform(ctx)
		d.board.put(c.report())
		select {
		case <-ctx.Done():
			return nil
		case l := <-lists:
			l.reply <- c.accept(l)
		case _, ok := <-docs:
			if !ok {
				docs = nil
			}
			c.docsChanged()
		case _, ok := <-units:
			if !ok {
				units = nil
			}
			c.unitsChanged()
		case r := <-c.results:
			c.ended(r)
		case <-c.wake():
		}
	}
}
