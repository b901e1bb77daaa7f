package dean

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"fulcrum.example/crux"
	"fulcrum.example/proctor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub hands the newest value to any number of watchers.
type hub[T any] struct {
	mu       sync.Mutex
	value    T
	watchers map[chan T]bool
}

func (h *hub[T]) get() T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.value
}

func (h *hub[T]) set(change func(T) T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.value = change(h.value)
	for w := range h.watchers {
		select {
		case <-w:
		default:
		}
		w <- h.value
	}
}

func (h *hub[T]) watch(ctx context.Context) <-chan T {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := make(chan T, 1)
	w <- h.value
	if h.watchers == nil {
		h.watchers = make(map[chan T]bool)
	}
	h.watchers[w] = true
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
		close(w)
	})
	return w
}

// flock is a node's view of the flock.
type flock struct{ hub[*crux.View] }

func (f *flock) View() *crux.View                            { return f.get() }
func (f *flock) Watch(ctx context.Context) <-chan *crux.View { return f.watch(ctx) }

// docs is a node's store of signed documents.
type docs struct{ hub[map[crux.DocKey]crux.Doc] }

func (d *docs) Get(k crux.DocKey) (crux.Doc, bool) {
	doc, ok := d.get()[k]
	return doc, ok
}

func (d *docs) List(kind crux.DocKind) []crux.Doc {
	var out []crux.Doc
	for k, doc := range d.get() {
		if k.Kind == kind {
			out = append(out, doc)
		}
	}
	slices.SortFunc(out, func(a, b crux.Doc) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (d *docs) Watch(ctx context.Context) <-chan struct{} { return tokens(ctx, d.watch(ctx)) }

func (d *docs) Propose(context.Context, crux.Doc) error { panic("not used") }

// tokens turns a watch into one of tokens.
func tokens[T any](ctx context.Context, in <-chan T) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		for range in {
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

// registry is the whole bloc's: rows of what runs and of what lives on.
type registry struct{ hub[crux.Snapshot] }

func (r *registry) Lookup(crux.Selector) crux.Snapshot { return r.get() }

func (r *registry) Watch(ctx context.Context, _ crux.Selector) <-chan crux.Snapshot {
	return r.watch(ctx)
}

// runner runs units by writing them down. It survives its node's fulcrum, as
// children of picket do.
type runner struct {
	node crux.NodeID
	reg  *registry
	hub[map[crux.UnitKey]crux.UnitStatus]
	starts, stops []string
	refuse        map[crux.Inst]error // Start fails
	slow          map[crux.Inst]bool  // stays starting
}

func (r *runner) Start(_ context.Context, u crux.Unit) error {
	r.mu.Lock()
	err, slow := r.refuse[u.Inst], r.slow[u.Inst]
	_, runs := r.value[u.Key()]
	r.mu.Unlock()
	if err != nil || runs {
		return err
	}
	state, status := "serving", crux.Serving
	if slow {
		state, status = "starting", crux.Starting
	}
	r.change(func(m map[crux.UnitKey]crux.UnitStatus) {
		m[u.Key()] = crux.UnitStatus{Unit: u, State: state}
		r.starts = append(r.starts, string(u.Inst))
	})
	r.row(u.Inst, status)
	return nil
}

func (r *runner) Stop(_ context.Context, k crux.UnitKey) error {
	r.change(func(m map[crux.UnitKey]crux.UnitStatus) {
		if _, ok := m[k]; ok {
			r.stops = append(r.stops, string(k.Inst))
		}
		delete(m, k)
	})
	r.row(k.Inst, crux.Gone)
	return nil
}

func (r *runner) change(f func(map[crux.UnitKey]crux.UnitStatus)) {
	r.set(func(m map[crux.UnitKey]crux.UnitStatus) map[crux.UnitKey]crux.UnitStatus {
		next := make(map[crux.UnitKey]crux.UnitStatus)
		for k, s := range m {
			next[k] = s
		}
		f(next)
		return next
	})
}

// row sets the registry's row of one instance of this node.
func (r *runner) row(inst crux.Inst, status crux.Status) {
	r.reg.set(func(s crux.Snapshot) crux.Snapshot {
		rows := slices.DeleteFunc(slices.Clone(s.Rows), func(o crux.Row) bool { return o.Node == r.node && o.Inst == inst })
		if status != crux.Gone {
			rows = append(rows, crux.Row{Node: r.node, Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Status: status})
		}
		return crux.Snapshot{Whole: true, Rows: rows}
	})
}

// serveAll makes what is starting serve.
func (r *runner) serveAll(inst crux.Inst) {
	r.mu.Lock()
	delete(r.slow, inst)
	r.mu.Unlock()
	r.change(func(m map[crux.UnitKey]crux.UnitStatus) {
		for k, s := range m {
			if k.Inst == inst {
				s.State = "serving"
				m[k] = s
			}
		}
	})
	if r.runs(inst) {
		r.row(inst, crux.Serving)
	}
}

func (r *runner) Units() []crux.UnitStatus {
	var out []crux.UnitStatus
	for _, s := range r.get() {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b crux.UnitStatus) int { return a.Inst.Compare(b.Inst) })
	return out
}

func (r *runner) Watch(ctx context.Context) <-chan struct{} { return tokens(ctx, r.watch(ctx)) }

func (r *runner) runs(inst crux.Inst) bool {
	_, ok := r.get()[crux.UnitKey{Horde: crux.DefaultHorde, Inst: inst}]
	return ok
}

// artifacts is a pastiche that has what the test says.
type artifacts struct {
	mu      sync.Mutex
	missing map[crux.Checksum]error
	fetched map[crux.Checksum]int
	pins    map[crux.Checksum]int
}

func (a *artifacts) Fetch(_ context.Context, sum crux.Checksum) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pins[sum] == 0 {
		return "", crux.Errorf("fetch", crux.Internal, "fetched before it was pinned")
	}
	a.fetched[sum]++
	return "/cache/" + sum.String(), a.missing[sum]
}

func (a *artifacts) Pin(sum crux.Checksum)   { a.mu.Lock(); a.pins[sum]++; a.mu.Unlock() }
func (a *artifacts) Unpin(sum crux.Checksum) { a.mu.Lock(); a.pins[sum]--; a.mu.Unlock() }

// bloc is some nodes, each with a proctor and a dean, over gRPC on loopback.
type bloc struct {
	t     *testing.T
	reg   *registry
	flock crux.FlockID
	epoch uint64
	lead  int
	nodes []*node
	peer  func(context.Context) (crux.Peer, error) // of nodes started from now on
}

type node struct {
	b         *bloc
	member    crux.Member
	dir       string
	flock     flock
	docs      docs
	runner    runner
	artifacts artifacts
	proctor   *proctor.Proctor
	dean      *Dean
	server    *grpc.Server
	conns     map[crux.NodeID]*grpc.ClientConn
	mu        sync.Mutex
	stop      func()
}

const grace = 300 * time.Millisecond

func newBloc(t *testing.T, n int) *bloc {
	t.Helper()
	b := &bloc{t: t, reg: &registry{}, flock: crux.FlockID{1}, epoch: 1, lead: 0}
	b.reg.set(func(crux.Snapshot) crux.Snapshot { return crux.Snapshot{Whole: true} })
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		id := crux.NodeID{byte(i + 1)}
		node := &node{
			b: b, dir: filepath.Join(t.TempDir(), fmt.Sprint(i)), conns: make(map[crux.NodeID]*grpc.ClientConn),
			member: crux.Member{ID: id, Addr: netip.MustParseAddrPort(l.Addr().String()), State: crux.Alive, Incarnation: 1},
			runner: runner{node: id, reg: b.reg, refuse: make(map[crux.Inst]error), slow: make(map[crux.Inst]bool)},
			artifacts: artifacts{
				missing: make(map[crux.Checksum]error), fetched: make(map[crux.Checksum]int), pins: make(map[crux.Checksum]int),
			},
		}
		node.docs.set(func(map[crux.DocKey]crux.Doc) map[crux.DocKey]crux.Doc { return map[crux.DocKey]crux.Doc{} })
		node.runner.set(func(map[crux.UnitKey]crux.UnitStatus) map[crux.UnitKey]crux.UnitStatus {
			return map[crux.UnitKey]crux.UnitStatus{}
		})
		b.nodes = append(b.nodes, node)
		l.Close()
	}
	b.views()
	for _, n := range b.nodes {
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range b.nodes {
			n.kill()
		}
	})
	return b
}

// views gives every node its view of what the test has set.
func (b *bloc) views() {
	var members []crux.Member
	for _, n := range b.nodes {
		members = append(members, n.member)
	}
	for i, n := range b.nodes {
		v := &crux.View{
			Flock: b.flock, Epoch: b.epoch, Self: n.member.ID, Synced: true, Members: members,
			Leader: b.nodes[b.lead].member.ID, Acting: i == b.lead,
		}
		n.flock.set(func(*crux.View) *crux.View { return v })
	}
}

// leader moves the leadership, with a new epoch.
func (b *bloc) leader(i int) {
	b.epoch++
	b.lead = i
	b.views()
}

// start starts a node's proctor and dean, as its fulcrum does.
func (n *node) start() {
	t := n.b.t
	t.Helper()
	l, err := net.Listen("tcp", n.member.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", n.member.ID)
	}
	n.proctor, err = proctor.New(proctor.Config{
		Members: &n.flock, Docs: &n.docs, Registry: n.b.reg, Dial: n.dial, Peer: n.b.peer, Grace: grace, Settle: 50 * time.Millisecond, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.dean, err = Open(Config{
		Dir: n.dir, Members: &n.flock, Docs: &n.docs, Runner: &n.runner, Artifacts: &n.artifacts, Dial: n.dial,
		Backoff: 10 * time.Millisecond, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.server = grpc.NewServer()
	n.proctor.Register(n.server)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { n.server.Serve(l) })
	group.Go(func() { n.proctor.Run(ctx) })
	group.Go(func() { n.dean.Run(ctx) })
	n.stop = func() {
		cancel()
		n.server.Stop()
		group.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		for id, c := range n.conns {
			c.Close()
			delete(n.conns, id)
		}
	}
}

// kill ends a node's fulcrum; what it runs lives on.
func (n *node) kill() {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

func (n *node) dial(_ context.Context, m crux.Member) (*grpc.ClientConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, ok := n.conns[m.ID]; ok {
		return c, nil
	}
	c, err := grpc.NewClient("passthrough:///"+m.Addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		n.conns[m.ID] = c
	}
	return c, err
}

func function(inst crux.Inst, sum byte) crux.Function {
	return crux.Function{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.Executable, Checksum: crux.Checksum{sum}, Func: "F"}
}

// doc makes a document as a store hands it out: verified already.
func doc(kind crux.DocKind, name string, version uint64, body any) crux.Doc {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return crux.Doc{DocKey: crux.DocKey{Kind: kind, Name: name}, Version: version, Body: b}
}

func (d *docs) put(doc crux.Doc) {
	d.set(func(m map[crux.DocKey]crux.Doc) map[crux.DocKey]crux.Doc {
		next := map[crux.DocKey]crux.Doc{doc.DocKey: doc}
		for k, o := range m {
			if k != doc.DocKey {
				next[k] = o
			}
		}
		return next
	})
}

func (b *bloc) publish(inst crux.Inst, sum byte) {
	for _, n := range b.nodes {
		n.docs.put(doc(crux.MusterDoc, crux.MusterName(crux.DefaultHorde, inst), 1, function(inst, sum)))
	}
}

func intentDoc(inst crux.Inst, count int, version uint64) crux.Doc {
	return doc(crux.IntentDoc, crux.IntentName(crux.DefaultHorde, inst.API()), version,
		crux.Intent{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Count: count})
}

func (b *bloc) intend(inst crux.Inst, count int, version uint64) {
	for _, n := range b.nodes {
		n.docs.put(intentDoc(inst, count, version))
	}
}

// on lists the nodes that run inst.
func (b *bloc) on(inst crux.Inst) []int {
	var out []int
	for i, n := range b.nodes {
		if n.runner.runs(inst) {
			out = append(out, i)
		}
	}
	return out
}

// eventually waits for a condition.
func (b *bloc) eventually(what string, cond func() bool) {
	b.t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-look.C:
		case <-deadline:
			b.t.Fatalf("never: %s; 2_3 on %v, 2_4 on %v", what, b.on("galumph2_3"), b.on("galumph2_4"))
		}
	}
}

// done waits until an intent is reported done, as a node that does not lead
// hears it.
func (b *bloc) done(inst crux.Inst) {
	b.t.Helper()
	asker := b.nodes[(b.lead+1)%len(b.nodes)]
	b.eventually(string(inst)+" is done", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		pr, err := asker.proctor.Progress(ctx, crux.DefaultHorde, inst.API())
		return err == nil && pr.Inst == inst && pr.Done
	})
}

// network is what a service routine is given.
type network struct {
	crux.Node
	n *node
}

func (w network) Horde() crux.Horde     { return crux.DefaultHorde }
func (w network) Addr() netip.AddrPort  { return w.n.member.Addr }
func (w network) Members() crux.Members { return &w.n.flock }
func (w network) Log() *slog.Logger     { return slog.New(slog.DiscardHandler) }
