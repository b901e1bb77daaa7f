package fabric

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/lashup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a lashup whose answers to writes the test writes down. Between two
// of them it may lose its connections.
type server struct {
	pb.UnimplementedStoreServer
	t     *testing.T
	epoch uint64

	mu      sync.Mutex
	script  []answer
	asked   []*pb.RequestID
	grpc    *grpc.Server
	l       *bufconn.Listener
	stopped sync.WaitGroup
}

// answer is what becomes of a write: an error, or the loss of the connection.
type answer struct {
	err  error
	lose bool
}

func (s *server) Hello(context.Context, *pb.HelloRequest) (*pb.HelloReply, error) {
	return &pb.HelloReply{Epoch: s.epoch}, nil
}

func (s *server) Write(ctx context.Context, m *pb.WriteRequest) (*pb.WriteReply, error) {
	s.mu.Lock()
	s.asked = append(s.asked, m.GetId())
	number := uint64(len(s.asked))
	var a answer
	if len(s.script) > 0 {
		a, s.script = s.script[0], s.script[1:]
	}
	s.mu.Unlock()
	if a.lose {
		go s.restart()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if a.err != nil {
		_ = grpc.SetTrailer(ctx, map[string][]string{"fulcrum-answered": {"1"}})
		return nil, wire.ToStatus(a.err)
	}
	return &pb.WriteReply{Version: &pb.Version{Epoch: s.epoch, Number: number}}, nil
}

// start serves; restart loses the connections first.
func (s *server) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grpc, s.l = grpc.NewServer(), bufconn.Listen(1<<16)
	pb.RegisterStoreServer(s.grpc, s)
	g, l := s.grpc, s.l
	s.stopped.Go(func() {
		if err := g.Serve(l); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *server) restart() {
	s.mu.Lock()
	g := s.grpc
	s.mu.Unlock()
	g.Stop()
	s.start()
}

func newServer(t *testing.T, script ...answer) (*server, *Client) {
	t.Helper()
	s := &server{t: t, epoch: 7, script: script}
	s.start()
	fromStatus := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return wire.FromStatus(invoke(ctx, method, req, reply, cc, append(opts, grpc.WaitForReady(true))...))
	}
	cc, err := grpc.NewClient("passthrough:///lashup", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(fromStatus),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			s.mu.Lock()
			l := s.l
			s.mu.Unlock()
			return l.DialContext(ctx)
		}))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(crux.NodeID{1}, cc)
	t.Cleanup(func() {
		c.Close()
		s.mu.Lock()
		g := s.grpc
		s.mu.Unlock()
		g.Stop()
		s.stopped.Wait()
	})
	return s, c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// refused is a lashup's word that it is being replaced.
func refused() error {
	st, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.RetryInfo{})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func TestWritesAreRepeatedWhereThatIsSafe(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		script []answer
		kind   crux.Kind // Internal: none
		again  []bool    // of each request that the server sees
	}{
		{"answered", nil, crux.Internal, []bool{false}},
		{"refused during a handover", []answer{{err: refused()}, {err: refused()}}, crux.Internal, []bool{false, false, false}},
		{"the connection is lost", []answer{{lose: true}}, crux.Internal, []bool{false, true}},
		{"lost, then refused", []answer{{lose: true}, {err: refused()}}, crux.Internal, []bool{false, true, true}},
		{"an answer is an answer", []answer{{err: crux.Errorf("write", crux.Unavailable, "no disk")}}, crux.Unavailable, []bool{false}},
		{"stale", []answer{{err: crux.Errorf("write", crux.Conflict, "stale")}}, crux.Conflict, []bool{false}},
		{"lost, and forgotten", []answer{{lose: true}, {err: crux.Errorf("write", crux.Timeout, "not known")}}, crux.Timeout, []bool{false, true}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s, c := newServer(t, x.script...)
			err := c.Counter("n").Incr(soon(t), 1)
			if (err == nil) != (x.kind == crux.Internal) || err != nil && crux.KindOf(err) != x.kind {
				t.Errorf("%v", err)
			}
			var again []bool
			for _, id := range s.asked {
				again = append(again, id.GetAgain())
				if id.GetNumber() != 1 || id.GetEpoch() != 7 || len(id.GetClient()) != 16 {
					t.Errorf("request %v", id)
				}
			}
			if !slices.Equal(again, x.again) {
				t.Errorf("sent %v, want %v", again, x.again)
			}
		})
	}
}

func TestAWriteWhoseOutcomeIsNotKnownSaysSo(t *testing.T) {
	t.Parallel()
	s, c := newServer(t, answer{lose: true})
	s.mu.Lock()
	for range 1000 {
		s.script = append(s.script, answer{err: refused()})
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Counter("n").Incr(ctx, 1); crux.KindOf(err) != crux.Timeout {
		t.Errorf("%v is %v", err, crux.KindOf(err))
	}
}

func TestRequestsSayWhatIsUnanswered(t *testing.T) {
	t.Parallel()
	s, c := newServer(t)
	ctx := soon(t)
	for range 3 {
		if err := c.Counter("n").Incr(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range s.asked {
		if n := uint64(i + 1); id.GetNumber() != n || id.GetUnanswered() != n {
			t.Errorf("request %v", id)
		}
	}
	var group sync.WaitGroup
	for range maxWrites * 2 {
		group.Go(func() {
			if err := c.Counter("n").Incr(ctx, 1); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	seen := map[uint64]bool{}
	for _, id := range s.asked {
		if seen[id.GetNumber()] || id.GetUnanswered() > id.GetNumber() || id.GetNumber()-id.GetUnanswered() >= 3*maxWrites {
			t.Errorf("request %v", id)
		}
		seen[id.GetNumber()] = true
	}
}

func TestKeysWithAnOwner(t *testing.T) {
	t.Parallel()
	c := newClient(crux.NodeID{1}, nil)
	if k := c.Volatile("queue", "depth"); !isVolatile(k) || FormatKey(k) != "node/0100000000000000/volatile/queue/depth" {
		t.Errorf("volatile: %q", k)
	}
	if k := c.Own("vips"); isVolatile(k) || FormatKey(k) != "node/0100000000000000/vips" {
		t.Errorf("own: %q", k)
	}
	u, err := NewRegister[int](c, c.Volatile("depth")...).Setting(3)
	if err != nil || !u.write.GetVolatile() {
		t.Errorf("%v, %v", u.write, err)
	}
}
