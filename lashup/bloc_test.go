package lashup

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/reeve/keys"
)

// bloc is some nodes in one process that run the service for real: sockets on a
// loopback net of their own, keys, folders.
type bloc struct {
	t       *testing.T
	rows    *rpctest.Registry
	policy  *rpctest.Policy
	members *rpctest.Members
	hosts   []*host
}

// host is one node.
type host struct {
	b      *bloc
	member crux.Member
	net    crux.Confab
	ring   *keys.Ring
	dir    string
}

func newBloc(t *testing.T, nodes int) *bloc {
	t.Helper()
	if testing.Short() {
		t.Skip("runs several nodes: left out with -short")
	}
	b := &bloc{t: t, rows: &rpctest.Registry{}, policy: rpctest.NewPolicy("test")}
	b.rows.Set(true)
	b.policy.Allow("client", fabric.API, true)
	prefix := fmt.Sprintf("127.%d.%d.", 64+rand.IntN(128), rand.IntN(256))
	var all []crux.Member
	for i := range nodes {
		addr := netip.AddrPortFrom(netip.MustParseAddr(prefix+fmt.Sprint(i+1)), 7946)
		c, err := udp.New(udp.Config{Addr: addr, Candidates: []string{addr.Addr().String()}})
		must(t, err)
		dir, err := os.MkdirTemp("", "lashup-")
		must(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		h := &host{b: b, member: rpctest.MemberOf(rpctest.NodeKey(i), addr), net: c, dir: dir}
		b.policy.Enrol(h.member.Key, true)
		all, b.hosts = append(all, h.member), append(b.hosts, h)
	}
	b.members = rpctest.NewMembers(all[0].ID, all...)
	for i, h := range b.hosts {
		r, err := keys.New(keys.Config{NodeKey: rpctest.NodeKey(i), Policy: b.policy, Members: b.members, Platform: []crux.API{fabric.API}})
		must(t, err)
		t.Cleanup(func() { r.Close() })
		h.ring = r
	}
	return b
}

// view is a node as one service of it sees it.
type view struct {
	crux.Confab
	h       *host
	service string
	log     *slog.Logger
}

func (v *view) ID() crux.NodeID         { return v.h.member.ID }
func (v *view) Service() string         { return v.service }
func (v *view) Horde() crux.Horde       { return crux.DefaultHorde }
func (v *view) Registry() crux.Registry { return v.h.b.rows }
func (v *view) Keys() crux.Keys         { return v.h.ring.For(v.service, crux.DefaultHorde) }
func (v *view) Members() crux.Members   { return v.h.b.members }
func (v *view) Dir() string             { return v.h.dir }
func (v *view) Log() *slog.Logger       { return v.log }

func (h *host) view(service string) *view {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("LASHUP_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", h.member.Addr.Addr(), "inst", service)
	}
	return &view{h.net, h, service, log}
}

func (h *host) client() *fabric.Client {
	h.b.t.Helper()
	c, err := fabric.Dial(h.view("client"))
	must(h.b.t, err)
	h.b.t.Cleanup(func() { c.Close() })
	return c
}

// routine is the service running on a host.
type routine struct {
	h     *host
	inst  crux.Inst
	quit  chan bool
	once  sync.Once
	ended chan struct{}
}

// run starts an instance of the service on a host; its heartbeats reach the
// registry.
func (h *host) run(inst crux.Inst) *routine {
	r := &routine{h: h, inst: inst, quit: make(chan bool), ended: make(chan struct{})}
	alive := make(chan []crux.Fservice)
	beaten := make(chan struct{})
	go func() {
		defer close(beaten)
		for b := range alive {
			h.b.rows.Beat(h.member.ID, b)
		}
	}()
	go func() {
		defer close(r.ended)
		Service(inst)(r.quit, alive, h.view(string(inst)))
		close(alive)
		<-beaten
	}()
	h.b.t.Cleanup(r.stop)
	return r
}

// stop asks it to quit and waits.
func (r *routine) stop() {
	r.once.Do(func() { close(r.quit) })
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		r.h.b.t.Errorf("%s does not end", r.inst)
	}
}

// formed waits until every host's lashup sees so many members up.
func (b *bloc) formed(clients []*fabric.Client, up int) {
	b.t.Helper()
	for _, c := range clients {
		eventually(b.t, "the fabric to form", func() bool {
			m, err := c.Members(soon(b.t))
			n := 0
			for _, x := range m.List {
				if x.State == fabric.Up {
					n++
				}
			}
			return err == nil && n == up
		})
	}
}

func TestThreeNodesAreOneFabricWithOneStore(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 3)
	var clients []*fabric.Client
	var routines []*routine
	for _, h := range b.hosts {
		routines = append(routines, h.run("lashup1_0"))
		clients = append(clients, h.client())
	}
	b.formed(clients, 3)
	ctx := soon(t)

	// A key that one writes all have, and its watchers learn of it.
	ctxWatch, cancel := context.WithCancel(ctx)
	f := follow(ctxWatch, clients[2], fabric.Prefix("calls"))
	f.sees(t, "synced")
	for i, c := range clients {
		must(t, c.Counter("calls").Incr(ctx, int64(i+1)))
	}
	for _, c := range clients {
		eventually(t, "the sum", func() bool { n, err := c.Counter("calls").Value(ctx); return n == 6 && err == nil })
	}
	cancel()
	<-f.done

	// Keys with an owner are written there alone, and seen everywhere.
	own := clients[0].Own("vips")
	must(t, clients[0].Set(own...).Add(ctx, "10.1.1.1:80"))
	eventually(t, "a key with an owner", func() bool { s, err := clients[1].Set(own...).Elements(ctx); return len(s) == 1 && err == nil })
	if err := clients[1].Set(own...).Add(ctx, "x"); crux.KindOf(err) != crux.Denied {
		t.Errorf("another node's key: %v", err)
	}
	depth := fabric.NewRegister[int](clients[0], clients[0].Volatile("depth")...)
	must(t, depth.Set(ctx, 3))
	eventually(t, "a volatile key", func() bool {
		n, ok, err := fabric.NewRegister[int](clients[1], clients[0].Volatile("depth")...).Get(ctx)
		return n == 3 && ok && err == nil
	})

	// Messages reach the others.
	s, err := clients[1].Subscribe(ctx, "news")
	must(t, err)
	defer s.Close()
	id, err := clients[0].Send(ctx, "news", []byte("hello"), fabric.SendOptions{RecordRoute: true})
	must(t, err)
	for m, err := range s.Messages() {
		must(t, err)
		if m.ID != id || string(m.Payload) != "hello" || len(m.Route) < 2 {
			t.Errorf("heard %+v", m)
		}
		break
	}

	// Ways, checks, figures.
	path, err := clients[0].Path(ctx, b.hosts[0].member.ID, b.hosts[2].member.ID)
	if must(t, err); len(path) < 2 {
		t.Errorf("path %v", path)
	}
	r, err := clients[0].Check(ctx, b.hosts[1].member.ID)
	if must(t, err); r.State != fabric.Up || r.RTT <= 0 {
		t.Errorf("check %+v", r)
	}
	stats, err := clients[0].Stats(ctx)
	if must(t, err); stats.Epoch == 0 || stats.Counts["fabric.up"] != 3 || stats.Counts["store.keys"] < 3 {
		t.Errorf("stats %+v", stats)
	}

	// One that quits has left; what it had it has again when it is back.
	routines[2].stop()
	eventually(t, "the others to know that one has left", func() bool {
		m, err := clients[0].Members(ctx)
		for _, x := range m.List {
			if x.Node == b.hosts[2].member.ID {
				return x.State == fabric.Left && err == nil
			}
		}
		return false
	})
	must(t, clients[0].Counter("calls").Incr(ctx, 4))
	b.hosts[2].run("lashup1_0")
	b.formed(clients, 3)
	eventually(t, "what was written meanwhile", func() bool { n, err := clients[2].Counter("calls").Value(ctx); return n == 10 && err == nil })
}
