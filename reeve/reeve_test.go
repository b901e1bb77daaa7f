package reeve_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/reeve"
	"fulcrum.example/steward/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// group is a flock of reeves and stewards in one process, over real gRPC on
// loopback. Who calls is said by metadata: the node port's TLS is tested with
// crux/rpc.
type group struct {
	t     testing.TB
	ttl   time.Duration
	mu    sync.Mutex
	view  crux.View
	nodes []*testNode
	news  chan struct{}
	need  int // publishers' signatures; 0: members sign
	pub   []ed25519.PublicKey
}

type testNode struct {
	g       *group
	id      crux.NodeID
	key     ed25519.PrivateKey
	inc     uint64
	addr    netip.AddrPort
	dir     string
	server  *grpc.Server
	reeve   *reeve.Reeve
	steward *service.Steward
	adopts  bool // its services outlived it: the test says when it is ready
	conns   map[crux.NodeID]*grpc.ClientConn
	mu      sync.Mutex
}

// newGroup starts n nodes of which the first leads.
func newGroup(t testing.TB, n int, ttl time.Duration) *group {
	g := &group{t: t, ttl: ttl, news: make(chan struct{}), view: crux.View{Bloc: "b", Flock: crux.FlockID{1}, Epoch: 1, Synced: true}}
	for i := range n {
		seed := make([]byte, ed25519.SeedSize)
		seed[0], seed[1] = byte(i), byte(i>>8)
		key := ed25519.NewKeyFromSeed(seed)
		x := &testNode{g: g, key: key, id: crux.NodeIDOf(key.Public().(ed25519.PublicKey)), inc: 1, dir: t.TempDir()}
		g.nodes = append(g.nodes, x)
	}
	for _, x := range g.nodes {
		x.listen()
	}
	g.lead(0)
	for _, x := range g.nodes {
		x.open()
	}
	t.Cleanup(func() {
		for _, x := range g.nodes {
			x.stop()
		}
	})
	return g
}

// update changes the view that all nodes see.
func (g *group) update(f func(v *crux.View)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.view
	v.Members = slices.Clone(v.Members)
	f(&v)
	v.Version++
	g.view = v
	close(g.news)
	g.news = make(chan struct{})
}

// lead makes node i the leader, in a new epoch.
func (g *group) lead(i int) {
	g.update(func(v *crux.View) {
		v.Members = nil
		for _, x := range g.nodes {
			v.Members = append(v.Members, crux.Member{
				ID: x.id, Addr: x.addr, Key: x.key.Public().(ed25519.PublicKey), Incarnation: x.inc, State: crux.Alive,
			})
		}
		slices.SortFunc(v.Members, func(a, b crux.Member) int { return a.ID.Compare(b.ID) })
		v.Leader = g.nodes[i].id
		v.Epoch++
	})
}

// lose marks a node as lost.
func (g *group) lose(i int) {
	g.update(func(v *crux.View) {
		for j := range v.Members {
			if v.Members[j].ID == g.nodes[i].id {
				v.Members[j].State = crux.Lost
			}
		}
	})
}

// members is the flock as one node sees it.
type members struct{ x *testNode }

func (m members) View() *crux.View {
	m.x.g.mu.Lock()
	defer m.x.g.mu.Unlock()
	v := m.x.g.view
	v.Self = m.x.id
	v.Acting = v.Leader == v.Self
	return &v
}

func (m members) Watch(ctx context.Context) <-chan *crux.View {
	out := make(chan *crux.View)
	go func() {
		defer close(out)
		for {
			m.x.g.mu.Lock()
			news := m.x.g.news
			m.x.g.mu.Unlock()
			select {
			case out <- m.View():
			case <-ctx.Done():
				return
			}
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// policy is the bloc's rules in the tests.
type policy struct{ g *group }

func (p policy) Bloc() crux.BlocID                         { return "b" }
func (p policy) Enrolled(ed25519.PublicKey) bool           { return true }
func (p policy) Open() bool                                { return false }
func (p policy) Allowed(string, crux.Horde, crux.API) bool { return true }
func (p policy) Publishers() ([]ed25519.PublicKey, int)    { return p.g.pub, p.g.need }

func (x *testNode) listen() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		x.g.t.Fatal(err)
	}
	x.addr = l.Addr().(*net.TCPAddr).AddrPort()
	l.Close() // open() listens on it again; the port is the node's address
}

func (x *testNode) dial(_ context.Context, m crux.Member) (*grpc.ClientConn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.conns[m.ID]; c != nil {
		return c, nil
	}
	who := metadata.Pairs("node", x.id.String())
	c, err := grpc.NewClient(m.Addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(metadata.NewOutgoingContext(ctx, who), method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, s grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return s(metadata.NewOutgoingContext(ctx, who), desc, cc, method, opts...)
		}))
	if err == nil {
		x.conns[m.ID] = c
	}
	return c, err
}

func peerOf(ctx context.Context) (crux.Peer, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	id, err := crux.ParseNodeID(md.Get("node")[0])
	return crux.Peer{Node: id}, err
}

func (x *testNode) open() {
	t := x.g.t
	l, err := net.Listen("tcp", x.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	x.conns = map[crux.NodeID]*grpc.ClientConn{}
	sign := func(label string, msg []byte) ([]byte, error) {
		return ed25519.Sign(x.key, crux.Labelled(label, msg)), nil
	}
	x.reeve, err = reeve.Open(reeve.Config{
		ID: x.id, Incarnation: x.inc, Sign: sign, Dir: filepath.Join(x.dir, "docs"), Members: members{x}, Policy: policy{x.g}, Dial: x.dial, TTL: x.g.ttl,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !x.adopts {
		x.reeve.Ready()
	}
	x.steward, err = service.Open(service.Config{Members: members{x}, Reeve: x.reeve, Dial: x.dial, Peer: peerOf})
	if err != nil {
		t.Fatal(err)
	}
	x.server = grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			r, err := h(ctx, req)
			return r, wire.ToStatus(err)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return wire.ToStatus(h(srv, s))
		}))
	x.reeve.Register(x.server)
	x.steward.Register(x.server)
	server := x.server
	go func() { _ = server.Serve(l) }() // ends with stop
}

// stop ends a node as a kill would: nobody is told.
func (x *testNode) stop() {
	if x.server == nil {
		return
	}
	x.server.Stop()
	x.steward.Close()
	x.reeve.Close()
	for _, c := range x.conns {
		c.Close()
	}
	x.server = nil
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // between looks, within the deadline
	}
}

func (x *testNode) put(inst crux.Inst, port int) {
	x.g.t.Helper()
	err := x.reeve.Put(context.Background(), crux.Fservice{
		Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, NetID: crux.NetID(fmt.Sprintf("127.0.0.1:%d", port)), Status: crux.Serving,
	}, make([]byte, 32), 1)
	if err != nil {
		x.g.t.Fatal(err)
	}
}

func (x *testNode) count(api crux.API) int {
	return len(x.reeve.Lookup(crux.Selector{Horde: crux.DefaultHorde, API: api}).Rows)
}

func (g *group) allSee(api crux.API, n int) {
	g.t.Helper()
	for i, x := range g.nodes {
		if x.server != nil {
			eventually(g.t, fmt.Sprintf("node %d to see %d of %s and be whole", i, n, api), func() bool {
				s := x.reeve.Lookup(crux.Selector{Horde: crux.DefaultHorde, API: api})
				return len(s.Rows) == n && s.Whole
			})
		}
	}
}

func TestRegistrationIsSeenByAllAndWithdrawnByItsOwner(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 5)
	if err := g.nodes[3].reeve.Drop(context.Background(), crux.DefaultHorde, "galumph2_3", "127.0.0.1:1003"); err != nil {
		t.Fatal(err)
	}
	g.allSee("galumph2", 4)
}

func TestNewStewardErasesNothingAndIsWholeAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 5)
	// The leader's fulcrum dies; its services live on.
	ctx, cancel := context.WithCancel(context.Background())
	watch := g.nodes[2].reeve.Watch(ctx, crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"})
	fewest := make(chan int)
	go func() {
		low := 99
		for s := range watch {
			low = min(low, len(s.Rows))
		}
		fewest <- low
	}()
	g.nodes[0].stop()
	g.lead(1)
	g.lose(0)
	g.allSee("galumph2", 5)
	cancel()
	if low := <-fewest; low != 5 {
		t.Errorf("a watcher saw %d rows while the leader moved, want 5 throughout", low)
	}
	// What is registered now is seen, and the dead node's rows are still there.
	g.nodes[4].put("other1_0", 2000)
	g.allSee("other1", 1)
	g.allSee("galumph2", 5)
}

func TestDeadNodesRowsEndWithTheirLease(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, 3*time.Second)
	for i, x := range g.nodes {
		x.put("galumph2_3", 1000+i)
	}
	g.allSee("galumph2", 3)
	g.nodes[2].stop()
	g.lose(2)
	g.allSee("galumph2", 2)
}

func TestRestartedNodeKeepsOldRowsUntilItIsReady(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	x := g.nodes[2]
	x.put("kept1_0", 1000)
	x.put("ended1_0", 1001)
	g.allSee("kept1", 1)
	g.allSee("ended1", 1)
	x.stop()
	x.inc, x.adopts = 2, true
	g.lead(0)
	x.open()
	x.put("kept1_0", 1000) // adopted: the same endpoint, a new incarnation
	eventually(t, "the new row at node 0", func() bool {
		s := g.nodes[0].reeve.Lookup(crux.Selector{Horde: crux.DefaultHorde, API: "kept1"})
		return len(s.Rows) == 1 && s.Rows[0].Incarnation == 2
	})
	if n := g.nodes[0].count("ended1"); n != 1 {
		t.Errorf("before the node was ready, its old row was dropped: %d rows", n)
	}
	x.reeve.Ready()
	g.allSee("ended1", 0)
	g.allSee("kept1", 1)
}

func TestSlowWatcherGetsTheNewest(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, time.Minute)
	x := g.nodes[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := x.reeve.Watch(ctx, crux.Selector{Horde: crux.DefaultHorde, API: "many1"})
	if first := <-w; len(first.Rows) != 0 {
		t.Fatalf("the first snapshot has %d rows", len(first.Rows))
	}
	for i := range 100 {
		x.put("many1_0", 1000+i)
	}
	seen := 0
	for s := range w {
		seen++
		if len(s.Rows) == 100 {
			break
		}
	}
	if seen > 10 {
		t.Errorf("the watcher was given %d snapshots for 100 changes that it slept through", seen)
	}
	cancel()
	for range w { // closes
	}
}

func intent(t testing.TB, version uint64, count int, signer ed25519.PrivateKey) crux.Doc {
	body, err := json.Marshal(crux.Intent{Horde: "default", API: "galumph2", Inst: "galumph2_3", Count: count})
	if err != nil {
		t.Fatal(err)
	}
	d := crux.Doc{DocKey: crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"}, Version: version, Body: body}
	d.Signatures = []crux.DocSignature{{
		Key: signer.Public().(ed25519.PublicKey), Sig: ed25519.Sign(signer, crux.Labelled(d.Kind.Label(), d.SignedBytes("b"))),
	}}
	return d
}

// propose tries until the flock is ready for it.
func (x *testNode) propose(d crux.Doc) error {
	var err error
	eventually(x.g.t, "the steward to answer", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = x.reeve.Propose(ctx, d)
		return crux.KindOf(err) != crux.Unavailable
	})
	return err
}

func TestDocumentsOutliveAPowerOffOfAll(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	g.nodes[4].stop() // one is down all the while
	if err := g.nodes[1].propose(intent(t, 1, 3, g.nodes[1].key)); err != nil {
		t.Fatal(err)
	}
	if err := g.nodes[1].propose(intent(t, 1, 4, g.nodes[1].key)); crux.KindOf(err) != crux.Conflict {
		t.Errorf("another document of the same version: %v, want a conflict", err)
	}
	if err := g.nodes[1].propose(intent(t, 2, 2, g.nodes[1].key)); err != nil {
		t.Fatal(err)
	}
	for _, x := range g.nodes {
		x.stop()
	}
	for _, x := range g.nodes {
		x.inc++
	}
	g.lead(4) // the one that knows nothing leads now
	for _, x := range g.nodes {
		x.open()
	}
	for i, x := range g.nodes {
		eventually(t, fmt.Sprintf("node %d to have version 2", i), func() bool {
			d, ok := x.reeve.Get(crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"})
			return ok && d.Version == 2
		})
	}
	if err := g.nodes[4].propose(intent(t, 1, 9, g.nodes[1].key)); crux.KindOf(err) != crux.Conflict {
		t.Errorf("an older version: %v, want a conflict", err)
	}
}

func TestMinorityAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	for _, x := range g.nodes[2:] {
		x.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := g.nodes[0].reeve.Propose(ctx, intent(t, 1, 3, g.nodes[0].key)); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("two of five: %v, want unavailable", err)
	}
}

func TestOnlyPublishersCount(t *testing.T) {
	t.Parallel()
	pub := ed25519.NewKeyFromSeed([]byte("a publisher of thirty-two bytes!"))
	other := ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes"))
	g := newGroup(t, 3, time.Minute)
	g.pub, g.need = []ed25519.PublicKey{pub.Public().(ed25519.PublicKey)}, 1
	for name, d := range map[string]crux.Doc{
		"a stranger's": intent(t, 1, 3, other), "a member's": intent(t, 1, 3, g.nodes[0].key),
	} {
		if err := g.nodes[0].reeve.StoreDoc(d); crux.KindOf(err) != crux.Denied {
			t.Errorf("%s signature: %v, want denied", name, err)
		}
	}
	forged := intent(t, 1, 3, pub)
	forged.Version = 2
	if err := g.nodes[0].reeve.StoreDoc(forged); crux.KindOf(err) != crux.Denied {
		t.Errorf("a changed document: %v, want denied", err)
	}
	if err := g.nodes[0].reeve.StoreDoc(intent(t, 1, 3, pub)); err != nil {
		t.Errorf("the publisher's: %v", err)
	}
}

func TestDamagedDocumentIsSetAsideAndComesAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	if err := g.nodes[0].propose(intent(t, 1, 3, g.nodes[0].key)); err != nil {
		t.Fatal(err)
	}
	x := g.nodes[2]
	key := crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"}
	eventually(t, "the document at node 2", func() bool { _, ok := x.reeve.Get(key); return ok })
	x.stop()
	files, err := filepath.Glob(filepath.Join(x.dir, "docs", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("{ torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.inc++
	g.lead(0)
	x.open()
	eventually(t, "the document to come again", func() bool { _, ok := x.reeve.Get(key); return ok })
	if _, err := os.Stat(files[0] + ".damaged"); err != nil {
		t.Errorf("the damaged file was not set aside: %v", err)
	}
}
