package lashup

import (
	"cmp"
	"context"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/crdt"

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
	store   *fakeStore
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
	w.net = &fakeNet{id: w.all[0].ID, moved: make(chan struct{})}
	w.store = newFakeStore()
	w.serve("lashup1_0", 7, newRequests(7))
	return w
}

// serve starts a server, which replaces the one before, if there is one, as after
// a handover.
func (w *world) serve(inst crux.Inst, epoch uint64, r *requests) {
	w.t.Helper()
	old := w.server
	w.api = &api{inst: inst, epoch: epoch, since: time.Now(), net: w.net, store: w.store, hub: newHub(), gate: newGate(),
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
	id  crux.NodeID
	hub *hub

	mu    sync.Mutex
	now   roster
	moved chan struct{}
	trees map[crux.NodeID][]branch
	sent  []cast.Request
}

func (n *fakeNet) setHub(h *hub) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hub = h
}

func (n *fakeNet) self() crux.NodeID { return n.id }

func (n *fakeNet) members() roster {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *fakeNet) changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.moved
}

func (n *fakeNet) set(r roster) {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortFunc(r.list, func(a, b member) int { return a.id.Compare(b.id) })
	n.now = r
	close(n.moved)
	n.moved = make(chan struct{})
}

func (n *fakeNet) tree(_ context.Context, origin crux.NodeID) ([]branch, error) {
	if t, ok := n.trees[origin]; ok {
		return t, nil
	}
	return nil, crux.Errorf("tree", crux.NotFound, "%s is not a member", origin)
}

func (n *fakeNet) check(_ context.Context, id crux.NodeID) (checked, error) {
	for _, m := range n.members().list {
		if m.id == id {
			return checked{m.state, m.rtt, n.id}, nil
		}
	}
	return checked{}, crux.Errorf("check", crux.NotFound, "%s is not a member", id)
}

func (n *fakeNet) publish(_ context.Context, r cast.Request) (cast.ID, error) {
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

func (n *fakeNet) counts() map[string]int64 { return map[string]int64{"fabric.neighbours": 1} }

// fakeStore is a store in memory, of one actor.
type fakeStore struct {
	mu       sync.Mutex
	keys     map[string]*crdt.State
	at       map[string]uint64 // the version of each key's last change, also of what is gone
	seq      uint64
	version  uint64
	writes   int
	watchers map[*fakeWatch]bool
	before   func() error // called before each write
	room     int          // events that a watcher may have queued; 0: any number
	forgets  bool         // it can resume no watch
}

func newFakeStore() *fakeStore {
	return &fakeStore{keys: map[string]*crdt.State{}, at: map[string]uint64{}, watchers: map[*fakeWatch]bool{}}
}

func (s *fakeStore) write(_ context.Context, list []write) (uint64, error) {
	if s.before != nil {
		if err := s.before(); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	next := map[string]*crdt.State{}
	for _, w := range list {
		name := strings.Join(w.key, "/")
		if next[name] == nil {
			next[name] = &crdt.State{}
			if old := s.keys[name]; old != nil {
				next[name] = old.Clone()
			}
		}
		dot := crdt.Dot{Actor: crdt.Actor{Node: crux.NodeID{1}, Incarnation: 1}, Seq: s.seq + 1}
		if _, err := next[name].Apply(w.op, dot, crdt.Timestamp(s.seq+1), w.context, crdt.Limits{Value: 1 << 20}); err != nil {
			return 0, err
		}
		s.seq += w.op.Dots()
	}
	for name, state := range next {
		s.version++
		e := event{key: strings.Split(name, "/"), new: state.Value(), version: s.version}
		if old := s.keys[name]; old != nil {
			e.old = old.Value()
		}
		s.keys[name], s.at[name] = state, s.version
		for w := range s.watchers {
			w.put(e)
		}
	}
	return s.version, nil
}

func (s *fakeStore) read(_ context.Context, key []string) (entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{key: key, version: s.version}
	if state := s.keys[strings.Join(key, "/")]; state != nil {
		e.value, e.context = state.Value(), state.Context()
	}
	return e, nil
}

func (p pattern) selects(key []string) bool {
	if len(key) < len(p.elements) || !p.prefix && len(key) > len(p.elements) {
		return false
	}
	for i, g := range p.elements {
		if ok, err := path.Match(g, key[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func (s *fakeStore) scan(_ context.Context, p pattern, f func(entry) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.names() {
		e := entry{key: strings.Split(name, "/"), value: s.keys[name].Value(), version: s.at[name]}
		if p.selects(e.key) && e.value.Type != 0 && !f(e) {
			return nil
		}
	}
	return nil
}

func (s *fakeStore) names() []string {
	var names []string
	for name := range s.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *fakeStore) watch(p pattern, since uint64) (watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &fakeWatch{s: s, p: p, token: make(chan struct{}, 1)}
	whole := since == 0 || s.forgets
	names := s.names()
	if !whole {
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(s.at[a], s.at[b]) })
	}
	for _, name := range names {
		v := s.keys[name].Value()
		if whole && v.Type == 0 || !whole && s.at[name] <= since {
			continue
		}
		w.put(event{key: strings.Split(name, "/"), new: v, version: s.at[name], existing: true})
	}
	w.put(event{synced: true, whole: whole, version: s.version})
	w.live = true
	s.watchers[w] = true
	return w, nil
}

func (s *fakeStore) counts() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]int64{"store.keys": int64(len(s.keys))}
}

type fakeWatch struct {
	s     *fakeStore
	p     pattern
	token chan struct{}

	mu     sync.Mutex
	live   bool
	queue  []event
	behind bool
}

func (w *fakeWatch) put(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.behind || !e.synced && !w.p.selects(e.key) {
		return
	}
	if w.live && w.s.room > 0 && len(w.queue) >= w.s.room {
		w.behind = true
	} else {
		w.queue = append(w.queue, e)
	}
	select {
	case w.token <- struct{}{}:
	default:
	}
}

func (w *fakeWatch) more() <-chan struct{} { return w.token }

func (w *fakeWatch) take() ([]event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.queue
	w.queue = nil
	return all, w.behind
}

func (w *fakeWatch) close() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	delete(w.s.watchers, w)
}

var (
	_ network = (*fakeNet)(nil)
	_ storage = (*fakeStore)(nil)
)
