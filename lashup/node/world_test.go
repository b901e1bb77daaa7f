package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
	"fulcrum.example/reeve/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

const inst = crux.Inst("lashup1_0")

// world is a bloc of nodes on a loopback net of its own.
type world struct {
	t       testing.TB
	net     string // the first three numbers, or what comes before the last of IPv6
	rows    *rpctest.Registry
	members *rpctest.Members
	policy  *rpctest.Policy
	all     []*host
}

// host is one node of the world: what survives its process.
type host struct {
	w      *world
	i      int
	key    ed25519.PrivateKey
	member crux.Member
	net    *network
	ring   *keys.Ring
	epoch  uint64

	*Node   // nil: no process
	sockets *Sockets

	mu         sync.Mutex
	delivered  []cast.Delivery
	received   []string
	neighbours []crux.NodeID
	saved      []crux.NodeID
}

// network is the crux.Node that a host's process is given.
type network struct {
	crux.Confab
	self    crux.Member
	inst    crux.Inst
	rows    crux.Registry
	members crux.Members
	keys    crux.Keys
	log     *slog.Logger
}

var _ crux.Node = (*network)(nil)

func (n *network) ID() crux.NodeID         { return n.self.ID }
func (n *network) Service() string         { return string(n.inst) }
func (n *network) Horde() crux.Horde       { return crux.DefaultHorde }
func (n *network) Registry() crux.Registry { return n.rows }
func (n *network) Keys() crux.Keys         { return n.keys }
func (n *network) Members() crux.Members   { return n.members }
func (n *network) Dir() string             { return "" }
func (n *network) Log() *slog.Logger       { return n.log }

// newWorld makes a bloc whose nodes do not run yet.
func newWorld(t testing.TB, nodes int) *world {
	t.Helper()
	return newWorldAt(t, nodes, fmt.Sprintf("127.%d.%d.", 64+mathrand.IntN(128), mathrand.IntN(256)))
}

func newWorldAt(t testing.TB, nodes int, net string) *world {
	t.Helper()
	w := &world{t: t, net: net, rows: &rpctest.Registry{}, policy: rpctest.NewPolicy("test")}
	w.rows.Set(true)
	for i := range nodes {
		w.add(i)
	}
	w.members = rpctest.NewMembers(w.all[0].member.ID, w.list()...)
	for _, h := range w.all {
		h.equip(inst)
	}
	return w
}

func (w *world) add(i int) {
	w.t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprint(w.net, i+1)), 7946)
	if addr.Addr().Is6() {
		addr = netip.AddrPortFrom(netip.IPv6Loopback(), 7946)
	}
	c, err := udp.New(udp.Config{Addr: addr, Candidates: []string{addr.Addr().String()}})
	if err != nil {
		w.t.Fatal(err)
	}
	h := &host{w: w, i: i, key: rpctest.NodeKey(i), net: &network{Confab: c}}
	h.member = rpctest.MemberOf(h.key, addr)
	w.policy.Enrol(h.member.Key, true)
	w.all = append(w.all, h)
}

// equip gives a host its keys and its network.
func (h *host) equip(inst crux.Inst) {
	h.w.t.Helper()
	if h.ring == nil {
		r, err := keys.New(keys.Config{NodeKey: h.key, Policy: h.w.policy, Members: h.w.members, Platform: []crux.API{"lashup1"}})
		if err != nil {
			h.w.t.Fatal(err)
		}
		h.w.t.Cleanup(func() { r.Close() })
		h.ring = r
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("LASHUP_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", h.i)
	}
	h.net = &network{
		Confab: h.net.Confab, self: h.member, inst: inst, rows: h.w.rows, members: h.w.members,
		keys: h.ring.For(string(inst), crux.DefaultHorde), log: log,
	}
}

func (w *world) list() (all []crux.Member) {
	for _, h := range w.all {
		all = append(all, h.member)
	}
	return all
}

// config is what a host's process is made of.
func (h *host) config(inst crux.Inst) Config {
	return Config{
		Network: h.net, Inst: inst, Sockets: h.sockets, Epoch: h.epoch, Log: h.net.log, Saved: h.saved,
		Save: func(ids []crux.NodeID) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.saved = ids
			return nil
		},
		Sink: Sink{Delivered: h.deliver, Received: h.receive, Neighbours: h.neighbour},
	}
}

func (h *host) deliver(d cast.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered = append(h.delivered, d)
}

func (h *host) receive(from crux.NodeID, m fabric.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.received = append(h.received, from.String()+" "+string(m.Append(nil)[1:]))
}

func (h *host) neighbour(ids []crux.NodeID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.neighbours = ids
}

// start starts a process of the host, of a new epoch.
func (h *host) start() {
	h.w.t.Helper()
	h.epoch++
	s, err := Listen(context.Background(), h.net)
	if err != nil {
		h.w.t.Fatal(err)
	}
	h.sockets = s
	if h.Node, err = Open(soon(h.w.t), h.config(inst)); err != nil {
		h.w.t.Fatal(err)
	}
	n := h.Node
	h.w.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			h.w.t.Errorf("close %d: %v", h.i, err)
		}
		s.Service.Close()
	})
	h.w.rows.Put(h.endpoint(inst), crux.Serving)
}

func (h *host) endpoint(inst crux.Inst) crux.Endpoint {
	return crux.Endpoint{
		Node: h.member.ID, Horde: crux.DefaultHorde, Inst: inst, NetID: crux.NetID(h.sockets.Service.Addr().String()),
	}
}

// stop ends the process in order.
func (h *host) stop() {
	h.w.t.Helper()
	if err := h.Node.Close(); err != nil {
		h.w.t.Error(err)
	}
	h.sockets.Service.Close()
	h.w.rows.Drop(h.endpoint(inst))
	h.Node = nil
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (h *host) look() *View {
	h.w.t.Helper()
	v, err := h.View(soon(h.w.t))
	if err != nil {
		h.w.t.Fatal(err)
	}
	return v
}

// state is another node's, as this one sees it.
func (h *host) state(o *host) (route.State, route.Why) {
	h.w.t.Helper()
	for _, m := range h.look().Members {
		if m.ID == o.member.ID {
			return m.State, m.Why
		}
	}
	return route.Unknown, 0
}

// up counts the members that are up, as this one sees them.
func (h *host) up() (n int) {
	for _, m := range h.look().Members {
		if m.State == route.Up {
			n++
		}
	}
	return n
}

// together waits until all that run see one another.
func (w *world) together() {
	w.t.Helper()
	running := 0
	for _, h := range w.all {
		if h.Node != nil {
			running++
		}
	}
	for _, h := range w.all {
		if h.Node != nil {
			eventually(w.t, fmt.Sprintf("all %d to be seen by %d", running, h.i), func() bool { return h.up() == running })
		}
	}
}

// calm waits until no links are being made or ended.
func (w *world) calm() {
	w.t.Helper()
	eventually(w.t, "the links to come to rest", func() bool {
		for _, h := range w.all {
			n, err := h.Counts(soon(w.t))
			if err != nil || n["fabric.dials"] != 0 || n["fabric.links"] != n["fabric.neighbours"] || n["fabric.neighbours"] == 0 {
				return false
			}
		}
		return true
	})
}

// form makes a world whose nodes run and see one another.
func form(t testing.TB, nodes int) *world {
	t.Helper()
	w := newWorld(t, nodes)
	for _, h := range w.all {
		h.start()
	}
	w.together()
	return w
}

// kill ends the process as if it had crashed: its sockets close, and it says
// nothing.
func (h *host) kill() {
	t := h.w.t
	t.Helper()
	h.sockets.Service.Close()
	for _, l := range h.Node.listeners {
		if err := l.Retire(); err != nil {
			t.Error(err)
		}
	}
	if err := h.sockets.Datagrams.Close(); err != nil {
		t.Error(err)
	}
	if err := h.Node.do(soon(t), func(c *core) error {
		c.thawed = make(chan struct{}) // it does not say that it leaves
		for l := range c.live {
			l.conn.Abort()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.Node.Close(); err != nil {
		t.Error(err)
	}
	h.Node = nil
}
