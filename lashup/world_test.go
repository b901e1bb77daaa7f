package lashup

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store"
	"fulcrum.example/lashup/store/vfs"
	"fulcrum.example/reeve/keys"
)

// world is a bloc of two nodes with real keys and sockets; the first serves the
// API over fakes.
type world struct {
	t       *testing.T
	members *rpctest.Members
	policy  *rpctest.Policy
	rows    *rpctest.Registry
	all     []crux.Member
	rings   []*keys.Ring
	net     *fakeNet
	disk    *shelf
	store   *store.Store
	api     *api
	server  *rpc.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rows: &rpctest.Registry{}, policy: rpctest.NewPolicy("test")}
	for i := range 2 {
		m := rpctest.MemberOf(rpctest.NodeKey(i), netip.MustParseAddrPort("127.0.0.1:7000"))
		w.all = append(w.all, m)
		w.policy.Enrol(m.Key, true)
	}
	w.policy.Allow("client", fabric.API, true)
	w.members = rpctest.NewMembers(w.all[0].ID, w.all...)
	for i := range 2 {
		r, err := keys.New(keys.Config{NodeKey: rpctest.NodeKey(i), Policy: w.policy, Members: w.members})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		w.rings = append(w.rings, r)
	}
	w.net = &fakeNet{id: w.all[0].ID, moved: make(chan struct{}), now: &node.View{}}
	w.disk = &shelf{fs: vfs.NewMem()}
	w.store = w.disk.open(t, w.all[0].ID, 7, nil)
	w.serve("lashup1_0", 7, newRequests(7))
	return w
}

// serve starts a server, which replaces the one before, if there is one, as after
// a handover.
func (w *world) serve(inst crux.Inst, epoch uint64, r *requests) {
	w.t.Helper()
	old := w.server
	w.api = &api{inst: inst, self: w.all[0].ID, epoch: epoch, since: time.Now(), net: w.net, store: held(w.store), hub: newHub(), gate: newGate(),
		requests: r, local: fromNode(w.all[0].ID)}
	w.net.setHub(w.api.hub)
	w.api.gate.reopen()
	var err error
	w.server, err = rpc.Serve(w.node(0, string(inst)), rpc.Options{Inst: inst, Drain: time.Millisecond}, func(r grpc.ServiceRegistrar) { w.api.register(r) })
	if err != nil {
		w.t.Fatal(err)
	}
	s := w.server
	w.t.Cleanup(func() { s.Close() })
	w.rows.Put(s.Endpoint(), crux.Serving)
	if old != nil {
		w.rows.Drop(old.Endpoint())
		if err := old.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

func held(s *store.Store) *holder {
	h := new(holder)
	h.p.Store(s)
	return h
}

func (w *world) node(i int, service string) *rpctest.Node {
	return &rpctest.Node{Self: w.all[i], Name: service, Rows: w.rows, View: w.members, Secrets: w.rings[i].For(service, crux.DefaultHorde)}
}

// client is a client on the first node.
func (w *world) client() *fabric.Client {
	w.t.Helper()
	c, err := fabric.Dial(w.node(0, "client"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// fakeNet is a fabric that says what the test sets, and loops multicasts back.
type fakeNet struct {
	id crux.NodeID

	mu    sync.Mutex
	hub   *hub
	now   *node.View
	moved chan struct{}
	trees map[crux.NodeID][]node.Branch
	sent  []cast.Request
}

func (n *fakeNet) setHub(h *hub) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hub = h
}

func (n *fakeNet) View(context.Context) (*node.View, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now, nil
}

func (n *fakeNet) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.moved
}

func (n *fakeNet) set(v *node.View) {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortFunc(v.Members, func(a, b node.Member) int { return a.ID.Compare(b.ID) })
	n.now = v
	close(n.moved)
	n.moved = make(chan struct{})
}

func (n *fakeNet) Tree(_ context.Context, origin crux.NodeID) ([]node.Branch, error) {
	if t, ok := n.trees[origin]; ok {
		return t, nil
	}
	return nil, crux.Errorf("tree", crux.NotFound, "%s is not a member", origin)
}

func (n *fakeNet) Check(_ context.Context, id crux.NodeID) (detect.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.now.Members {
		if m.ID == id {
			return detect.Result{Node: id, State: detect.Alive, RTT: time.Millisecond}, nil
		}
	}
	return detect.Result{}, crux.Errorf("check", crux.NotFound, "%s is not a member", id)
}

func (n *fakeNet) Publish(_ context.Context, r cast.Request) (cast.ID, error) {
	n.mu.Lock()
	n.sent = append(n.sent, r)
	id := cast.ID{Origin: n.id, Epoch: 7, Seq: uint64(len(n.sent))}
	h := n.hub
	n.mu.Unlock()
	d := cast.Delivery{ID: id, Topic: r.Topic, Payload: r.Payload}
	if r.Options.RecordRoute {
		d.Route = []crux.NodeID{n.id}
	}
	h.deliver(d)
	return id, nil
}

func (n *fakeNet) Counts(context.Context) (map[string]int64, error) {
	return map[string]int64{"fabric.neighbours": 1}, nil
}

// shelf is where the world's stores are, one after another.
type shelf struct {
	fs     vfs.FS
	limits replica.Limits
}

// open opens the store of an incarnation; resume is the state of the store before
// in the same one.
func (d *shelf) open(t *testing.T, self crux.NodeID, incarnation uint64, resume []byte) *store.Store {
	t.Helper()
	o, err := d.prepare(t, self, incarnation)
	must(t, err)
	s, err := o.Open(resume)
	must(t, err)
	must(t, s.Members(t.Context(), []replica.Member{{ID: self, Standing: replica.Stable}}))
	t.Cleanup(func() { s.Close() })
	return s
}

// prepare begins to open the store.
func (d *shelf) prepare(t *testing.T, self crux.NodeID, incarnation uint64) (*store.Opening, error) {
	return store.Prepare(store.Config{
		Replica: replica.Config{
			Self: self, Bloc: "test", Incarnation: incarnation, Rand: rand.New(rand.NewPCG(1, incarnation)), Limits: d.limits,
			Sign:   func(root []byte) []byte { return root },
			Verify: func(_ crux.NodeID, _ uint64, _, root, sig []byte) bool { return string(root) == string(sig) },
			Card:   func(crux.NodeID, uint64) []byte { return []byte("card") },
		},
		FS: d.fs, Clock: clock.Real{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Send: func(crux.NodeID, []byte) error { return nil }, Cast: func([]byte) error { return nil },
	})
}
