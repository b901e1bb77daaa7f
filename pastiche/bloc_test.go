package pastiche

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/dir"
	pb "fulcrum.example/protos/pastiche"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// members is the flock as a test wants it.
type members struct{ view atomic.Pointer[crux.View] }

func (m *members) View() *crux.View { return m.view.Load() }

func (m *members) Watch(ctx context.Context) <-chan *crux.View {
	ch := make(chan *crux.View, 1)
	ch <- m.View()
	context.AfterFunc(ctx, func() { close(ch) })
	return ch
}

// bloc is some nodes with a pastiche each, gRPC over loopback, and one origin.
type bloc struct {
	t      testing.TB
	origin *countingOrigin
	nodes  []*testNode
}

type testNode struct {
	*Pastiche
	member  crux.Member
	members *members
	server  *grpc.Server
	conns   sync.Map // crux.NodeID → *grpc.ClientConn
}

// newBloc makes n nodes. change may set what differs from the defaults; wrap
// may put another service in the place of a node's own.
func newBloc(t testing.TB, n int, change func(i int, c *Config), wrap func(i int, s pb.PasticheServer) pb.PasticheServer) *bloc {
	t.Helper()
	o, err := dir.Open(filepath.Join(t.TempDir(), "origin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	b := &bloc{t: t, origin: &countingOrigin{Origin: o}}
	listeners := make([]net.Listener, n)
	for i := range n {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		m := crux.Member{
			ID:    crux.NodeID{byte(i + 1), byte(rand.Uint32())},
			Addr:  netip.MustParseAddrPort(listeners[i].Addr().String()),
			State: crux.Alive,
		}
		b.nodes = append(b.nodes, &testNode{member: m, members: &members{}})
	}
	b.setMembers(b.nodes...)
	for i, node := range b.nodes {
		b.open(i, node, listeners[i], change, wrap)
	}
	return b
}

func (b *bloc) open(i int, node *testNode, l net.Listener, change func(int, *Config), wrap func(int, pb.PasticheServer) pb.PasticheServer) {
	b.t.Helper()
	cfg := Config{
		ID: node.member.ID, Dir: filepath.Join(b.t.TempDir(), "cache"), MaxBytes: 1 << 30,
		Origin: b.origin, Members: node.members, Dial: node.dial, Stagger: 5 * time.Second,
	}
	if change != nil {
		change(i, &cfg)
	}
	var err error
	if node.Pastiche, err = Open(cfg); err != nil {
		b.t.Fatal(err)
	}
	node.server = grpc.NewServer()
	var s pb.PasticheServer = &server{p: node.Pastiche}
	if wrap != nil {
		s = wrap(i, s)
	}
	pb.RegisterPasticheServer(node.server, s)
	served := make(chan struct{})
	go func() {
		defer close(served)
		node.server.Serve(l)
	}()
	b.t.Cleanup(func() {
		if err := node.Pastiche.Close(); err != nil {
			b.t.Error(err)
		}
		node.conns.Range(func(_, c any) bool { c.(*grpc.ClientConn).Close(); return true })
		node.server.Stop()
		<-served
	})
}

func (n *testNode) dial(_ context.Context, m crux.Member) (*grpc.ClientConn, error) {
	if c, ok := n.conns.Load(m.ID); ok {
		return c.(*grpc.ClientConn), nil
	}
	c, err := grpc.NewClient("passthrough:///"+m.Addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	if old, there := n.conns.LoadOrStore(m.ID, c); there {
		c.Close()
		return old.(*grpc.ClientConn), nil
	}
	return c, nil
}

// setMembers gives every node a view of these nodes and of itself.
func (b *bloc) setMembers(nodes ...*testNode) {
	for _, n := range b.nodes {
		v := &crux.View{Self: n.member.ID}
		for _, o := range nodes {
			v.Members = append(v.Members, o.member)
		}
		if !slices.Contains(nodes, n) {
			v.Members = append(v.Members, n.member)
		}
		slices.SortFunc(v.Members, func(a, b crux.Member) int { return a.ID.Compare(b.ID) })
		n.members.view.Store(v)
	}
}

// countingOrigin counts what is read, and fails on demand.
type countingOrigin struct {
	Origin
	gets  atomic.Int64
	bytes atomic.Int64
	fail  atomic.Pointer[error]
}

func (o *countingOrigin) Get(ctx context.Context, sum crux.Checksum) (io.ReadCloser, int64, error) {
	o.gets.Add(1)
	if err := o.fail.Load(); err != nil {
		return nil, 0, *err
	}
	r, size, err := o.Origin.Get(ctx, sum)
	if err != nil {
		return nil, 0, err
	}
	return &countingReader{r, o}, size, nil
}

type countingReader struct {
	io.ReadCloser
	o *countingOrigin
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.o.bytes.Add(int64(n))
	return n, err
}

// artifact makes n bytes that are like no other's.
func artifact(n int) ([]byte, crux.Checksum) {
	b := make([]byte, n)
	seed := [32]byte{byte(n), byte(rand.Uint32()), byte(rand.Uint32())}
	c := rand.NewChaCha8(seed)
	c.Read(b)
	return b, sha256.Sum256(b)
}

// stored puts an artifact into the origin alone.
func (b *bloc) stored(n int) ([]byte, crux.Checksum) {
	b.t.Helper()
	data, sum := artifact(n)
	if err := b.origin.Put(context.Background(), sum, int64(n), bytes.NewReader(data)); err != nil {
		b.t.Fatal(err)
	}
	return data, sum
}

// fetchAll makes all nodes fetch at once and returns their errors.
func fetchAll(ctx context.Context, nodes []*testNode, sum crux.Checksum) []error {
	errs := make([]error, len(nodes))
	var group sync.WaitGroup
	for i, n := range nodes {
		group.Go(func() { _, errs[i] = n.Fetch(ctx, sum) })
	}
	group.Wait()
	return errs
}

func noErrors(t testing.TB, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}
