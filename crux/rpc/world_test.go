package rpc_test

import (
	"context"
	"crypto/ed25519"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
	pb "fulcrum.example/protos/galumph"
	"fulcrum.example/reeve/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a bloc of a few nodes in one process that share a registry, and have
// real keys and real sockets on loopback.
type world struct {
	t       testing.TB
	policy  *rpctest.Policy
	rows    *rpctest.Registry
	members *rpctest.Members
	all     []crux.Member
	rings   []*keys.Ring
}

func newWorld(t testing.TB, nodes int) *world {
	t.Helper()
	w := &world{t: t, rows: &rpctest.Registry{}, policy: rpctest.NewPolicy("test")}
	for i := range nodes {
		m := rpctest.MemberOf(rpctest.NodeKey(i), netip.MustParseAddrPort("127.0.0.1:7000"))
		w.all = append(w.all, m)
		w.policy.Enrol(m.Key, true)
	}
	w.members = rpctest.NewMembers(w.all[0].ID, w.all...)
	for i := range nodes {
		w.rings = append(w.rings, w.ring(rpctest.NodeKey(i), w.policy))
	}
	w.policy.Allow("client", "galumph2", true)
	w.rows.Set(true)
	return w
}

func (w *world) ring(key ed25519.PrivateKey, policy crux.Policy) *keys.Ring {
	r, err := keys.New(keys.Config{NodeKey: key, Policy: policy, Members: w.members})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { r.Close() })
	return r
}

// node is node i as one service of it sees it.
func (w *world) node(i int, service string) *rpctest.Node {
	return &rpctest.Node{Self: w.all[i], Name: service, Rows: w.rows, View: w.members,
		Secrets: w.rings[i].For(service, crux.DefaultHorde)}
}

// replica is one running galumph.
type replica struct {
	*rpc.Server
	quit chan bool
	cut  *cutNode
	once sync.Once
}

// stop asks it to quit and waits.
func (r *replica) stop() error {
	r.once.Do(func() { close(r.quit) })
	return r.Wait()
}

// start runs a galumph on node i; its heartbeats reach the registry.
func (w *world) start(i int, inst crux.Inst) *replica {
	w.t.Helper()
	n := &cutNode{Node: w.node(i, string(inst))}
	alive := make(chan []crux.Fservice)
	r := &replica{quit: make(chan bool), cut: n}
	g := &galumph{inst: string(inst), node: n.ID().String()}
	s, err := rpc.Serve(n, rpc.Options{Inst: inst, Quit: r.quit, Alive: alive, Every: 50 * time.Millisecond, Drain: 5 * time.Second},
		func(s grpc.ServiceRegistrar) { pb.RegisterGalumphServer(s, g) })
	if err != nil {
		w.t.Fatal(err)
	}
	r.Server = s
	beaten := make(chan struct{})
	go func() {
		defer close(beaten)
		for b := range alive {
			if !n.dead.Load() { // a process that was killed does not beat
				w.rows.Beat(n.ID(), b)
			}
		}
	}()
	w.t.Cleanup(func() {
		if err := r.stop(); err != nil && !n.dead.Load() {
			w.t.Error(err)
		}
		close(alive)
		<-beaten
	})
	w.eventually("the row of "+string(inst), func() bool {
		for _, row := range w.rows.Lookup(crux.Selector{Inst: inst}).Rows {
			if row.NetID == s.NetID() {
				return true
			}
		}
		return false
	})
	return r
}

func (w *world) connect(n crux.Node, selector string, opts ...grpc.DialOption) pb.GalumphClient {
	w.t.Helper()
	return pb.NewGalumphClient(w.channel(n, selector, opts...))
}

func (w *world) channel(n crux.Node, selector string, opts ...grpc.DialOption) *grpc.ClientConn {
	w.t.Helper()
	sel, err := crux.ParseSelector(selector)
	if err != nil {
		w.t.Fatal(err)
	}
	cc, err := rpc.Connect(n, sel, 0, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cc.Close() })
	return cc
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatal("waited in vain for " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// galumph is the service under test.
type galumph struct {
	pb.UnimplementedGalumphServer
	inst, node string
	calls      atomic.Int64
	peers      sync.Map // crux.Peer of each caller
}

func (g *galumph) Register(ctx context.Context, in *pb.GalumphInstance) (*pb.RegisterResp, error) {
	if p, ok := rpc.PeerFrom(ctx); ok {
		g.peers.Store(p.Caller+"@"+p.Node.String(), true)
	}
	switch in.GetName() {
	case "panic":
		panic("as asked")
	case "denied":
		return nil, crux.Errorf("register", crux.Denied, "not you")
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &pb.RegisterResp{Inst: g.inst, Node: g.node, Total: g.calls.Add(1)}, nil
}

func (g *galumph) Table(ctx context.Context, in *pb.TableReq) (*pb.TableResp, error) {
	g.calls.Add(1)
	if in.GetLimit() < 0 {
		return nil, crux.Errorf("table", crux.Unavailable, "answered once")
	}
	return &pb.TableResp{Inst: g.inst, Node: g.node}, nil
}

// cutNode is a node whose sockets can be cut as if its process were killed.
type cutNode struct {
	*rpctest.Node
	dead  atomic.Bool
	mu    sync.Mutex
	parts []interface{ Close() error }
}

func (n *cutNode) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	l, err := n.Node.Listen(ctx, port)
	if err != nil {
		return nil, err
	}
	n.add(l)
	return cutListener{l, n}, nil
}

func (n *cutNode) add(c interface{ Close() error }) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parts = append(n.parts, c)
}

// kill closes the listener and all connections, abruptly.
func (n *cutNode) kill() {
	n.dead.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.parts {
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		c.Close()
	}
}

type cutListener struct {
	net.Listener
	n *cutNode
}

func (l cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.add(c)
	}
	return c, err
}

// revokeNode revokes all keys of node i as the server of node 1 sees them.
func revokeNode(w *world, i int) {
	if err := w.rings[1].Revoke(keys.Revocation{Node: w.all[i].ID, Floor: 100}); err != nil {
		w.t.Error(err)
	}
}
