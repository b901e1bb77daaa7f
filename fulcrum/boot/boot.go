package boot

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock/node"
	"fulcrum.example/pastiche"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/picket"
	"fulcrum.example/proctor"
	"fulcrum.example/proctor/dean"
	"fulcrum.example/reeve"
	"fulcrum.example/reeve/keys"
	"fulcrum.example/steward/service"
)

// Config is what a node is told. Data must be absolute.
type Config struct {
	Bloc       crux.BlocID
	FlockName  string // empty: "flock"
	BlocFile   *bloc.Document
	Secrets    []bloc.Secondary // the current one first
	Addr       netip.AddrPort
	Data       string
	Candidates []string
	Store      string // artifact store; empty: a folder in Data
	S3         s3.Config
	CacheBytes int64
	Drain      time.Duration
	Children   []crux.Inst // built-ins that run in processes of their own
	Version    string      // of the binary, for people
	Log        *slog.Logger
}

// Node is a running node.
type Node struct {
	cfg      Config
	identity node.Identity
	id       crux.NodeID
	store    pastiche.Origin
	listener net.Listener // of the node port, until it is served
	policy   *bloc.Policy
	confab   *udp.Confab
	flock    *node.Node
	ring     *keys.Ring
	peers    *peers
	reeve    *reeve.Reeve
	steward  *service.Steward
	picket   *picket.Picket
	pastiche *pastiche.Pastiche
	proctor  *proctor.Proctor
	dean     *dean.Dean

	haveKeys chan struct{} // closed once ring is set
	keepMu   sync.Mutex    // held while the bloc file is written

	closers []closer // in the order of opening
	failed  chan error
}

// closer undoes one step of Open.
type closer struct {
	name  string
	close func(ctx context.Context) error
}

// onClose registers how to undo what was just opened.
func (n *Node) onClose(name string, f func(ctx context.Context) error) {
	n.closers = append(n.closers, closer{name, f})
}

// Failed gives the error that makes the node unable to go on.
func (n *Node) Failed() <-chan error { return n.failed }

// Open boots a node. ctx bounds the boot, not the node's life.
func Open(ctx context.Context, cfg Config) (_ *Node, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.FlockName == "" {
		cfg.FlockName = "flock"
	}
	n := &Node{cfg: cfg, haveKeys: make(chan struct{}), failed: make(chan error, 4)}
	defer func() {
		if err != nil {
			n.unwind(context.WithoutCancel(ctx))
		}
	}()
	for _, step := range []func(context.Context) error{
		n.openIdentity, n.openStore, n.openFlock, n.openRegistry, n.openMirror, n.openArtifacts, n.openPicket, n.openProctor, n.openNodePort, n.openBuiltins, n.openSocket,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Close ends the node in good order: services are drained and stopped, the
// flock is told. What has not ended when ctx does is cut off.
func (n *Node) Close(ctx context.Context) error { return n.unwind(ctx) }

func (n *Node) unwind(ctx context.Context) error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		c := n.closers[i]
		if err := c.close(ctx); err != nil {
			errs = append(errs, crux.Wrap("close "+c.name, err))
		}
	}
	n.closers = nil
	return errors.Join(errs...)
}

// run starts a goroutine that ends with the node; Close waits for it. f returns
// when its context ends.
func (n *Node) run(name string, f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { f(ctx) })
	n.onClose(name, func(context.Context) error {
		cancel()
		group.Wait()
		return nil
	})
}
