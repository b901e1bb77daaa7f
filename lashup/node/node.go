package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

// Node is one node's fabric.
type Node struct {
	cfg      Config
	id       crux.NodeID
	log      *slog.Logger
	start    time.Time
	session  ed25519.PrivateKey
	secrets  secrets
	unsigned *route.Card // what own.go has to have signed yet; nil: nothing
	pairs    *packet.Pairs

	people     atomic.Pointer[people]
	news       bell // people and cards
	verified   verified
	ahead      ahead
	greetings  greetings
	counters   seal.Counters
	stats      stats
	frozen     atomic.Bool // Freeze was called, and not Thaw
	answering  atomic.Bool // the core is not there to answer pings
	superseded chan uint64

	core    *core
	leave   chan struct{} // closed by Close
	left    chan struct{} // closed by Close when nobody enters the core any more
	closing sync.Once
	closed  error // of Close; read after closing

	rosterMu sync.Mutex
	roster   *roster

	mu        sync.Mutex // guards the rest
	links     map[crux.NodeID]*link
	changed   chan struct{}
	listeners []*rpc.PinnedListener // the last one accepts
	ended     bool
	wg        sync.WaitGroup // what Close waits for; Add only while not ended
	speaking  sync.WaitGroup // of these, the goroutines of links
}

// Open starts a node's fabric: new, or that of cfg.State. When it returns, pings
// are answered. ctx bounds the start, for which fulcrum has to sign the card.
// Errors: Invalid for a configuration that lacks something, Corrupt for a State
// that is none, and why the card is not signed.
func Open(ctx context.Context, cfg Config) (_ *Node, err error) {
	defer func() {
		if err != nil && cfg.Sockets != nil {
			cfg.Sockets.drop()
		}
	}()
	if err := check(&cfg); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, id: cfg.Network.ID(), log: cfg.Log, start: cfg.Clock.Now(),
		superseded: make(chan uint64, 1),
		leave:      make(chan struct{}), left: make(chan struct{}),
		links: make(map[crux.NodeID]*link), changed: make(chan struct{}),
	}
	before, err := n.before()
	if err != nil {
		return nil, err
	}
	n.roster = newRoster(n.id, cfg.Master)
	n.roster.restore(before.Held)
	n.meet(crux.Snapshot{})
	if err := n.identify(ctx, before); err != nil {
		return nil, err
	}
	m, err := n.machine(before)
	if err != nil {
		return nil, err
	}
	if n.core, err = newCore(n, m); err != nil {
		return nil, err
	}
	l, err := rpc.ServePinned(cfg.Network, cfg.Inst, cfg.Sockets.Links)
	if err != nil {
		n.core.timer.close()
		return nil, crux.Wrap("open fabric", err)
	}
	n.listeners = append(n.listeners, l)
	n.run(before)
	return n, nil
}

// run starts what there is of goroutines at the beginning.
func (n *Node) run(before *state) {
	n.core.enter(func(c *core) { c.start(before.Links) })
	r, l := &reader{n: n}, n.listeners[0]
	n.spawn(r.run)
	n.spawn(n.core.tickOn)
	n.spawn(n.follow)
	n.spawn(func() { n.accept(l) })
	if n.unsigned != nil {
		n.spawn(func() { n.renew(n.unsigned) })
	}
}

// meet takes in the flock's newest view and the registry's rows.
func (n *Node) meet(s crux.Snapshot) (p *people, gone []crux.NodeID, same bool) {
	n.rosterMu.Lock()
	defer n.rosterMu.Unlock()
	p, gone, same = n.roster.update(n.now(), n.cfg.Network.Members().View(), s)
	n.people.Store(p)
	n.news.ring()
	return p, gone, same
}

// machine makes the machine: new, or with what the process before knew.
func (n *Node) machine(before *state) (*fabric.Machine, error) {
	var seed [32]byte
	entropy(seed[:])
	cfg := fabric.Config{
		Card: n.pairs.Own(), Rand: mathrand.New(mathrand.NewChaCha8(seed)),
		Index: route.NewIndex(), Cache: route.NewCache(route.DefaultCache),
		Sign: func(a *route.Adjacency) {
			a.Sig = [64]byte(ed25519.Sign(n.session, a.SignedBytes()))
		},
		Verify:     n.verifyAdjacency,
		SignCast:   func(signed []byte) [64]byte { return [64]byte(ed25519.Sign(n.session, signed)) },
		VerifyCast: n.verifyCast,
		Room:       n.room,
		Clock:      before.Clock, CastSeq: before.CastSeq, Saved: n.cfg.Saved,
	}
	if before.card == nil {
		return fabric.New(cfg, n.now()), nil
	}
	table, err := before.table(n.id, &cfg)
	if err != nil {
		return nil, err
	}
	table.Each(func(a *route.Adjacency) { n.learn(a.Card) })
	return fabric.Resume(cfg, table, n.people.Load().list, n.now()), nil
}

// learn takes in a verified card; false: a newer one is known.
func (n *Node) learn(c *route.Card) bool {
	if !n.pairs.Learn(c) {
		return false
	}
	n.news.ring()
	return true
}

// now is the time since the node's start, by the monotonic clock.
func (n *Node) now() time.Duration { return n.cfg.Clock.Now().Sub(n.start) }

// send sends a datagram. One that cannot be sent is lost, as datagrams are.
func (n *Node) send(p []byte, to netip.AddrPort) {
	if err := n.cfg.Sockets.Datagrams.WriteTo(p, to); err != nil {
		n.log.Debug("a datagram was not sent", "to", to, "err", err)
		return
	}
	n.counters.Sent()
	n.stats.bytesOut.Add(uint64(len(p)))
}

// Superseded gives an epoch of this node that the others know and that is greater
// than this process's: its files are older than it. The process must begin again
// with a greater one.
func (n *Node) Superseded() <-chan uint64 { return n.superseded }

func (n *Node) supersede(epoch uint64) {
	select {
	case n.superseded <- epoch:
	default: // it was told
	}
}

// Close ends the node: it leaves the fabric and says so, unless it is frozen, and
// waits for everything that Open started. Calling it again waits for the same end.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.core.mu.Lock()
		n.core.end()
		n.core.mu.Unlock()
		close(n.leave)
		close(n.left)
		// Until the last words on the links are read, pings are answered still:
		// nobody shall think that this node died.
		n.speaking.Wait()
		n.mu.Lock()
		n.ended = true
		listeners := n.listeners
		n.mu.Unlock()
		errs := []error{n.cfg.Sockets.Datagrams.Close()}
		for _, l := range listeners {
			errs = append(errs, l.Retire())
		}
		n.wg.Wait()
		for _, l := range listeners {
			errs = append(errs, l.Close())
		}
		if n.frozen.Load() {
			errs = append(errs, n.cfg.Sockets.Links.Close())
		}
		n.closed = errors.Join(errs...)
	})
	return n.closed
}

// spawn runs f in a goroutine that Close waits for; f must end when n.left is
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

// do enters the core for a call of the API.
func (n *Node) do(ctx context.Context, f func(*core) error) (err error) {
	if err := ctx.Err(); err != nil {
		return crux.Wrap("ask fabric", err)
	}
	if !n.core.enter(func(c *core) { err = f(c) }) {
		return crux.Errorf("ask fabric", crux.Unavailable, "this node has left the fabric")
	}
	return err
}

// within is for what goes out: it ends in time, or when the node does.
func (n *Node) within(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	if !n.spawn(func() {
		select {
		case <-n.leave:
			cancel()
		case <-ctx.Done():
		}
	}) {
		cancel()
	}
	return ctx, cancel
}
