package reeve_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
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
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

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
	pipes *sync.Map // address → listener; nil: real sockets
}

type testNode struct {
	g       *group
	index   int
	id      crux.NodeID
	key     ed25519.PrivateKey
	inc     uint64
	addr    netip.AddrPort
	dir     string
	server  *grpc.Server
	reeve   *reeve.Reeve
	steward *service.Steward
	adopts  bool               // its services outlived it: the test says when it is ready
	instead func(*grpc.Server) // what is served in place of its reeve and steward

	listener net.Listener
	pipe     int
	mu       sync.Mutex
	cut      bool        // it reaches nobody
	blind    crux.NodeID // whom its view lacks; guarded by the group's lock
	conns    map[netip.AddrPort]*grpc.ClientConn
}

// newGroup starts n nodes of which the first leads.
func newGroup(t testing.TB, n int, ttl time.Duration) *group {
	g := makeGroup(t, n, ttl, nil)
	g.start()
	return g
}

// makeGroup makes the nodes and starts none.
func makeGroup(t testing.TB, n int, ttl time.Duration, pipes *sync.Map) *group {
	g := &group{pipes: pipes, t: t, ttl: ttl, news: make(chan struct{}), view: crux.View{Bloc: "b", Flock: crux.FlockID{1}, Epoch: 1, Synced: true}}
	for i := range n {
		seed := make([]byte, ed25519.SeedSize)
		seed[0], seed[1] = byte(i), byte(i>>8)
		key := ed25519.NewKeyFromSeed(seed)
		x := &testNode{g: g, index: i, key: key, id: crux.NodeIDOf(key.Public().(ed25519.PublicKey)), inc: 1, dir: t.TempDir()}
		g.nodes = append(g.nodes, x)
	}
	for _, x := range g.nodes {
		x.listen()
	}
	g.lead(0)
	t.Cleanup(func() {
		for _, x := range g.nodes {
			x.stop()
			x.listener.Close()
		}
	})
	return g
}

func (g *group) start() {
	for _, x := range g.nodes {
		x.open()
	}
}

// alone is the view of a node in a flock of its own.
func (g *group) alone(i int) {
	g.lead(i)
	g.update(func(v *crux.View) {
		v.Flock = crux.FlockID{byte(100 + i)}
		v.Members = slices.DeleteFunc(v.Members, func(m crux.Member) bool { return m.ID != g.nodes[i].id })
	})
}

// together puts all nodes back in the first flock.
func (g *group) together(leader int) {
	g.update(func(v *crux.View) { v.Flock = crux.FlockID{1} })
	g.lead(leader)
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
	if !m.x.blind.IsZero() {
		v.Members = slices.DeleteFunc(slices.Clone(v.Members), func(x crux.Member) bool { return x.ID == m.x.blind })
	}
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

// listen gives the node an address: on loopback, or of a pipe.
func (x *testNode) listen() {
	if x.g.pipes != nil {
		x.pipe++
		x.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(x.index >> 8), byte(x.index), 1}), uint16(x.pipe))
		l := bufconn.Listen(256 << 10)
		x.g.pipes.Store(x.addr.String(), l)
		x.listener = l
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		x.g.t.Fatal(err)
	}
	x.addr, x.listener = l.Addr().(*net.TCPAddr).AddrPort(), l
}

// connect opens what gRPC runs on.
func (g *group) connect(ctx context.Context, addr string) (net.Conn, error) {
	if g.pipes == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	l, ok := g.pipes.Load(addr)
	if !ok {
		return nil, fmt.Errorf("nobody listens at %s", addr)
	}
	return l.(*bufconn.Listener).DialContext(ctx)
}

func (x *testNode) dial(_ context.Context, m crux.Member) (*grpc.ClientConn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cut {
		return nil, crux.Errorf("dial", crux.Unavailable, "this node is cut off")
	}
	if c := x.conns[m.Addr]; c != nil {
		return c, nil
	}
	c, err := grpcDialTo(x, m.Addr)
	if err == nil {
		x.conns[m.Addr] = c
	}
	return c, err
}

// grpcDialTo connects as node x does.
func grpcDialTo(x *testNode, to netip.AddrPort) (*grpc.ClientConn, error) {
	who := metadata.Pairs("node", x.id.String())
	return grpc.NewClient("passthrough:///"+to.String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(x.g.connect),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(metadata.NewOutgoingContext(ctx, who), method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, s grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return s(metadata.NewOutgoingContext(ctx, who), desc, cc, method, opts...)
		}))
}

// grpcDial connects to the first node, as node x does.
func grpcDial(g *group, x *testNode) (*grpc.ClientConn, error) {
	return grpcDialTo(x, g.nodes[0].addr)
}

func peerOf(ctx context.Context) (crux.Peer, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	id, err := crux.ParseNodeID(md.Get("node")[0])
	return crux.Peer{Node: id}, err
}

func (x *testNode) open() {
	t := x.g.t
	x.conns = map[netip.AddrPort]*grpc.ClientConn{}
	sign := func(label string, msg []byte) ([]byte, error) {
		return ed25519.Sign(x.key, crux.Labelled(label, msg)), nil
	}
	var err error
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
	if x.instead != nil {
		x.server = grpc.NewServer()
		x.instead(x.server)
	}
	server, l := x.server, x.listener
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
	x.listen() // for the next life, at another address
}

// eventually looks at a condition until it holds, or the deadline has come.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("gave up waiting for: %s", what)
		}
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
