package node

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/clock"
	"fulcrum.example/flock"
	"fulcrum.example/flock/packet"
)

// leaveTimeout bounds how long Close waits for the flock to be told.
const leaveTimeout = 2 * time.Second

// Node is one node's part in a flock: crux.Flock.
type Node struct {
	cfg      Config
	id       crux.NodeID
	log      *slog.Logger
	scope    seal.Scope
	start    time.Time
	socket   crux.Datagrams
	records  *records
	counters seal.Counters

	view    atomic.Pointer[crux.View]
	inbox   chan inbound
	calls   chan func(*core)
	leave   chan struct{} // closed by Close: leave the flock
	left    chan struct{} // closed by the core: left, or given up
	stop    chan struct{} // closed after that: everything ends
	leaving sync.Once
	closed  error // of Close; read after leaving

	mu      sync.Mutex // guards the rest
	changed chan struct{}
	ended   bool
	wg      sync.WaitGroup // what Close waits for; Add only while not ended
}

var _ crux.Flock = (*Node)(nil)

// Open starts a node's flock: it is a flock of one, and looks for others, when
// Open returns. ctx bounds the start only; Close ends the node. Errors: Invalid
// for a configuration that lacks something, and what the socket says.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := check(&cfg); err != nil {
		return nil, err
	}
	n := &Node{
		cfg:     cfg,
		id:      crux.NodeIDOf(cfg.Key.Public().(ed25519.PublicKey)),
		log:     cfg.Log,
		scope:   seal.Scope{Bloc: cfg.Policy.Bloc(), Name: cfg.FlockName},
		start:   cfg.Clock.Now(),
		inbox:   make(chan inbound, inboxSize),
		calls:   make(chan func(*core)),
		leave:   make(chan struct{}),
		left:    make(chan struct{}),
		stop:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	n.records = newRecords(n.scope)
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, crux.Wrap("open flock", err)
	}
	machine, err := flock.New(n.machineConfig(exchange), 0)
	if err != nil {
		return nil, crux.Wrap("open flock", err)
	}
	n.view.Store(machine.View())
	if n.socket, err = cfg.Confab.ListenPacket(ctx, cfg.Confab.Addr().Port()); err != nil {
		return nil, crux.Wrap("open flock", err)
	}
	ring := packet.NewRing(n.scope, cfg.Secrets)
	c := newCore(n, machine, ring, exchange)
	r := newReader(n, ring)
	n.wg.Add(2)
	go func() { defer n.wg.Done(); r.run() }()
	go func() { defer n.wg.Done(); c.run() }()
	return n, nil
}

// check looks at what there must be, and fills in what may be left out.
func check(cfg *Config) error {
	const op = "open flock"
	switch {
	case cfg.Confab == nil || cfg.Policy == nil:
		return crux.Errorf(op, crux.Invalid, "Confab and Policy are needed")
	case !crux.ValidName(cfg.FlockName):
		return crux.Errorf(op, crux.Invalid, "flock name %q: want 1 to 63 of a-z, 0-9, dot and hyphen", cfg.FlockName)
	case len(cfg.Key) != ed25519.PrivateKeySize || cfg.Incarnation == 0:
		return crux.Errorf(op, crux.Invalid, "the node key and the incarnation are needed (LoadIdentity)")
	case len(cfg.Secrets) == 0 || len(cfg.Secrets) > 2:
		return crux.Errorf(op, crux.Invalid, "%d secondary keys; want the bloc's current one and, while it is changed, the one before", len(cfg.Secrets))
	}
	for _, s := range cfg.Secrets {
		if s.IsZero() {
			return crux.Errorf(op, crux.Invalid, "a secondary key is all zeros")
		}
	}
	if d := cfg.Policy.Document(); d != nil && d.Flock != cfg.FlockName {
		return crux.Errorf(op, crux.Invalid, "the flock name is %s, but the bloc file names the flock %s", cfg.FlockName, d.Flock)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// machineConfig gives the pure machine its keys, its entropy and its rules.
func (n *Node) machineConfig(exchange *ecdh.PrivateKey) flock.Config {
	var seed [32]byte
	entropy(seed[:])
	return flock.Config{
		Bloc:        n.scope.Bloc,
		Name:        n.scope.Name,
		Addr:        n.cfg.Confab.Addr(),
		Key:         [32]byte(n.cfg.Key.Public().(ed25519.PublicKey)),
		Exchange:    [32]byte(exchange.PublicKey().Bytes()),
		Incarnation: n.cfg.Incarnation,
		File:        fileOf(n.cfg.Policy),
		Candidates:  n.cfg.Confab.Candidates(),
		Enrolled:    n.cfg.Policy.Enrolled,
		Sign: func(r *flock.Record) {
			r.Signature = [64]byte(ed25519.Sign(n.cfg.Key, crux.Labelled(crux.LabelRecord, r.SignedBytes(n.scope.Bloc, n.scope.Name))))
		},
		Entropy: entropy,
		Rand:    mathrand.New(mathrand.NewChaCha8(seed)),
		Log:     n.log,
	}
}

// entropy fills b; crypto/rand never fails and never returns less.
func entropy(b []byte) { _, _ = rand.Read(b) }

// fileOf says which bloc file is in force, as the flock compares them.
func fileOf(p *bloc.Policy) flock.Bloc {
	d := p.Document()
	if d == nil {
		return flock.Bloc{Open: p.Open()}
	}
	sum := d.Sum()
	return flock.Bloc{Version: d.Version, Hash: [8]byte(sum[:8]), Open: d.Enroll == bloc.Open}
}

// ID names this node.
func (n *Node) ID() crux.NodeID { return n.id }

// now is the time since the node's start, by the monotonic clock.
func (n *Node) now() time.Duration { return n.cfg.Clock.Now().Sub(n.start) }

// Evict implements crux.Flock.
func (n *Node) Evict(ctx context.Context, id crux.NodeID) error {
	return n.do(ctx, func(c *core) error {
		ready, err := c.machine.Evict(c.n.now(), id)
		c.apply(ready)
		return err // it names the member and what to do
	})
}

// do runs f in the goroutine that owns the machine.
func (n *Node) do(ctx context.Context, f func(*core) error) error {
	out := make(chan error, 1)
	select {
	case n.calls <- func(c *core) { out <- f(c) }:
		return <-out
	case <-n.left:
		return crux.Errorf("ask flock", crux.Unavailable, "this node has left its flock")
	case <-ctx.Done():
		return crux.Wrap("ask flock", ctx.Err())
	}
}

// Close implements crux.Flock. Calling it again waits for the same end.
func (n *Node) Close() error {
	n.leaving.Do(func() {
		close(n.leave)
		<-n.left
		n.mu.Lock()
		n.ended = true
		n.mu.Unlock()
		close(n.stop)
		n.closed = n.socket.Close()
	})
	n.wg.Wait()
	return n.closed
}

// spawn runs f in a goroutine that Close waits for; f must end when n.stop is
// closed. It says no when the node is closed.
func (n *Node) spawn(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return false
	}
	n.wg.Add(1)
	go func() { defer n.wg.Done(); f() }()
	return true
}

// Dropped counts the packets that came to nothing since the node's start, by
// reason; reasons that never occurred are left out.
func (n *Node) Dropped() map[string]uint64 {
	counts := n.counters.Snapshot()
	d := counts.Dropped()
	if s, ok := n.socket.(interface {
		Lost() (oversized, unsent uint64)
	}); ok {
		oversized, unsent := s.Lost()
		for name, count := range map[string]uint64{"oversized": oversized, "unsent": unsent} {
			if count > 0 {
				d[name] = count
			}
		}
	}
	return d
}

// Counts reads the counters of packets.
func (n *Node) Counts() seal.Counts { return n.counters.Snapshot() }

// Stats reads the machine's counters.
func (n *Node) Stats(ctx context.Context) (s flock.Stats, err error) {
	err = n.do(ctx, func(c *core) error {
		s = c.machine.Stats()
		return nil
	})
	return s, err
}

// recordSum names a signed record.
func recordSum(signed, signature []byte) [32]byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(signed)+len(signature)), uint32(len(signed)))
	return sha256.Sum256(append(append(b, signed...), signature...))
}
