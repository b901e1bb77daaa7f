package pastiche

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/plan"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/pastiche/s3/s3test"
	pb "fulcrum.example/protos/pastiche"
)

func TestWhatOnePublishesTheOthersFetchFromPeers(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 6, nil, nil)
	data, want := artifact(3 << 20)
	sum, size, err := b.nodes[0].Publish(t.Context(), bytes.NewReader(data))
	if err != nil || sum != want || size != int64(len(data)) {
		t.Fatalf("published %s, %d bytes, %v", sum, size, err)
	}
	noErrors(t, fetchAll(t.Context(), b.nodes, sum))
	for _, n := range b.nodes {
		path, err := n.Fetch(t.Context(), sum)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if n := b.origin.gets.Load(); n != 0 {
		t.Errorf("the artifact store was read %d times", n)
	}
	if size, err := b.origin.Stat(t.Context(), sum); err != nil || size != int64(len(data)) {
		t.Errorf("the artifact store has %d bytes, %v", size, err)
	}
}

func TestOneOriginReadServesTwentyNodes(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 20, nil, nil)
	data, sum := b.stored(4 << 20)
	noErrors(t, fetchAll(t.Context(), b.nodes, sum))
	if n := b.origin.bytes.Load(); n != int64(len(data)) {
		t.Errorf("%.2f copies were read from the artifact store", float64(n)/float64(len(data)))
	}
}

func TestConcurrentFetchesAreOne(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1, nil, nil)
	_, sum := b.stored(1 << 20)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := b.nodes[0].Fetch(t.Context(), sum); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := b.origin.gets.Load(); n != 1 {
		t.Errorf("%d reads", n)
	}
}

// liar serves its cache with one bit wrong.
type liar struct{ pb.PasticheServer }

func (l liar) Fetch(req *pb.FetchRequest, out grpc.ServerStreamingServer[pb.Chunk]) error {
	return l.PasticheServer.Fetch(req, lyingStream{out})
}

type lyingStream struct {
	grpc.ServerStreamingServer[pb.Chunk]
}

func (s lyingStream) Send(c *pb.Chunk) error {
	if len(c.Data) > 0 {
		c.Data[len(c.Data)/2] ^= 1
	}
	return s.ServerStreamingServer.Send(c)
}

func TestAPeersWrongBytesNeverBecomeAFileAndAreCounted(t *testing.T) {
	t.Parallel()
	const liars = 3
	b := newBloc(t, 6, nil, func(i int, s pb.PasticheServer) pb.PasticheServer {
		if i < liars {
			return liar{s}
		}
		return s
	})
	data, sum := b.stored(300_000)
	for _, n := range b.nodes[:liars] { // they alone have it
		if err := n.store.Put(t.Context(), sum, int64(len(data)), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		n.announce(t.Context(), sum)
	}
	noErrors(t, fetchAll(t.Context(), b.nodes[liars:], sum))
	bad := uint64(0)
	for _, n := range b.nodes[liars:] {
		path, err := n.Fetch(t.Context(), sum)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("wrong bytes became a file (%v)", err)
		}
		bad += n.Stats().BadArtifacts
		n.mu.Lock()
		if n.Stats().BadArtifacts > 0 && len(n.bad) == 0 {
			t.Error("no bad peer is remembered")
		}
		n.mu.Unlock()
		if left, _ := os.ReadDir(filepath.Join(n.store.Dir(), "incoming")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if bad == 0 {
		t.Error("nobody noticed")
	}
}

// quitter breaks off after some chunks, once.
type quitter struct {
	pb.PasticheServer
	quit *atomic.Bool
	sent *atomic.Int64
}

func (q quitter) Fetch(req *pb.FetchRequest, out grpc.ServerStreamingServer[pb.Chunk]) error {
	return q.PasticheServer.Fetch(req, quittingStream{out, q})
}

type quittingStream struct {
	grpc.ServerStreamingServer[pb.Chunk]
	q quitter
}

func (s quittingStream) Send(c *pb.Chunk) error {
	if s.q.sent.Add(int64(len(c.Data))) > 1<<20 && s.q.quit.CompareAndSwap(false, true) {
		return status.Error(codes.Unavailable, "pulled the plug")
	}
	return s.ServerStreamingServer.Send(c)
}

func TestNextPeerGoesOnWhereTheFirstBrokeOff(t *testing.T) {
	t.Parallel()
	var quit atomic.Bool
	var sent atomic.Int64
	b := newBloc(t, 3, func(_ int, c *Config) { c.Origin = nil }, func(i int, s pb.PasticheServer) pb.PasticheServer {
		return quitter{s, &quit, &sent}
	})
	data, sum := artifact(4 << 20)
	for _, n := range b.nodes[:2] {
		if err := n.store.Put(t.Context(), sum, int64(len(data)), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		n.announce(t.Context(), sum)
	}
	if _, err := b.nodes[2].Fetch(t.Context(), sum); err != nil {
		t.Fatal(err)
	}
	if !quit.Load() {
		t.Fatal("no peer broke off")
	}
	if got := b.nodes[2].Stats().PeerBytes; got != uint64(len(data)) {
		t.Errorf("%d bytes were pulled for an artifact of %d: nothing should come twice", got, len(data))
	}
}

func TestAReaderThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 5, nil, nil)
	data, sum := b.stored(2 << 20)
	// A node asks the arbiter, is told to read, and is never heard of again.
	v := b.nodes[0].members.View()
	arbiter, _ := v.Member(b.nodes[0].arbiters(sum)[0].ID)
	var a *testNode
	for _, n := range b.nodes {
		if n.member.ID == arbiter.ID {
			a = n
		}
	}
	ticket, advice := a.arbiter.open(sum, crux.NodeID{99})
	if e := <-advice; e.Do != plan.Read {
		t.Fatalf("told %v", e)
	}
	time.AfterFunc(100*time.Millisecond, func() { a.arbiter.close(ticket) })
	noErrors(t, fetchAll(t.Context(), b.nodes, sum))
	if n := b.origin.bytes.Load(); n != int64(len(data)) {
		t.Errorf("%.2f copies were read", float64(n)/float64(len(data)))
	}
}

func TestDeadArbiterDelaysNobodyForLong(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 5, nil, nil)
	_, sum := b.stored(100_000)
	first := b.nodes[0].arbiters(sum)[0].ID
	var alive []*testNode
	for _, n := range b.nodes {
		if n.member.ID == first {
			n.server.Stop() // the flock has not noticed yet
		} else {
			alive = append(alive, n)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	noErrors(t, fetchAll(ctx, alive, sum))
	if n := b.origin.gets.Load(); n > 2 {
		t.Errorf("%d reads of the artifact store", n)
	}
}

// mute takes requests as an arbiter and never answers.
type mute struct {
	pb.PasticheServer
	deaf *atomic.Bool
}

func (m mute) Want(stream grpc.BidiStreamingServer[pb.WantRequest, pb.Advice]) error {
	if !m.deaf.Load() {
		return m.PasticheServer.Want(stream)
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func TestHungArbiterDelaysNobodyForLong(t *testing.T) {
	t.Parallel()
	deaf := make([]atomic.Bool, 4)
	b := newBloc(t, 4, nil, func(i int, s pb.PasticheServer) pb.PasticheServer { return mute{s, &deaf[i]} })
	_, sum := b.stored(100_000)
	first := b.nodes[0].arbiters(sum)[0].ID
	var others []*testNode
	for i, n := range b.nodes {
		if n.member.ID == first {
			deaf[i].Store(true)
		} else {
			others = append(others, n)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*openWait)
	defer cancel()
	noErrors(t, fetchAll(ctx, others, sum))
	if n := b.origin.gets.Load(); n != 1 {
		t.Errorf("%d reads of the artifact store", n)
	}
}

func TestWhatNobodyHasIsSaidSoon(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 4, nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	for i, err := range fetchAll(ctx, b.nodes, crux.Checksum{1}) {
		if err == nil || crux.KindOf(err) != crux.NotFound || !strings.Contains(err.Error(), "publish it first") {
			t.Errorf("node %d: %v", i, err)
		}
	}
	down := crux.Errorf("read artifact store", crux.Unavailable, "s3://b cannot be reached")
	b.origin.fail.Store(&down)
	for i, err := range fetchAll(ctx, b.nodes, crux.Checksum{2}) {
		if err == nil || crux.KindOf(err) != crux.Unavailable || !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("node %d: %v", i, err)
		}
	}
	b.origin.fail.Store(nil)
	_, sum := b.stored(1000)
	noErrors(t, fetchAll(ctx, b.nodes, sum))
}

func TestDamagedOriginCopyIsNeverTaken(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 3, nil, nil)
	_, sum := b.stored(100_000)
	path := filepath.Join(strings.TrimPrefix(b.origin.String(), "dir:"), "sha256", sum.String())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, err := range fetchAll(t.Context(), b.nodes, sum) {
		if err == nil || crux.KindOf(err) != crux.Corrupt || !strings.Contains(err.Error(), "publish it again") {
			t.Errorf("node %d: %v", i, err)
		}
		if _, ok := b.nodes[i].store.Has(sum); ok {
			t.Errorf("node %d has it", i)
		}
	}
}

func TestBusyPeersAreAskedAgain(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 8, func(_ int, c *Config) { c.Origin, c.MaxUploads = nil, 1 }, nil)
	data, sum := artifact(1 << 20)
	n := b.nodes[0]
	if err := n.store.Put(t.Context(), sum, int64(len(data)), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	n.announce(t.Context(), sum)
	noErrors(t, fetchAll(t.Context(), b.nodes, sum))
}

func TestGivingUpEndsTheFetch(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	n := b.nodes[0]
	n.cfg.Origin = stuck{b.origin, gone}
	done := make(chan error, 1)
	go func() { _, err := n.Fetch(ctx, crux.Checksum{5}); done <- err }()
	<-gone // it is reading
	cancel()
	if err := <-done; crux.KindOf(err) != crux.Canceled || err == nil {
		t.Fatal(err)
	}
}

// stuck is an origin whose Get waits until it is cancelled.
type stuck struct {
	Origin
	reading chan struct{}
}

func (s stuck) Get(ctx context.Context, _ crux.Checksum) (io.ReadCloser, int64, error) {
	close(s.reading)
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func TestAskingForAnotherNodeIsRefused(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 2, func(_ int, c *Config) {
		c.Peer = func(context.Context) (crux.Peer, error) { return crux.Peer{Node: crux.NodeID{42}}, nil }
	}, nil)
	conn, err := b.nodes[0].dial(t.Context(), b.nodes[1].member)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := pb.NewPasticheClient(conn).Want(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := crux.Checksum{1}
	if err := stream.Send(&pb.WantRequest{Sum: sum[:], Node: b.nodes[0].member.ID[:]}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Fatal(err)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1, nil, nil)
	conn, err := b.nodes[0].dial(t.Context(), b.nodes[0].member)
	if err != nil {
		t.Fatal(err)
	}
	c := pb.NewPasticheClient(conn)
	if _, err := c.Has(t.Context(), &pb.HasRequest{Sums: [][]byte{{1, 2}}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("short sum: %v", err)
	}
	if _, err := c.Has(t.Context(), &pb.HasRequest{Sums: make([][]byte, maxAsked+1)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("many sums: %v", err)
	}
	data, sum := artifact(10)
	if _, _, err := b.nodes[0].Publish(t.Context(), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{-1, 11} {
		s, err := c.Fetch(t.Context(), &pb.FetchRequest{Sum: sum[:], Offset: offset})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	sums, err := c.Sums(t.Context(), &pb.SumsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	held, err := sums.Recv()
	if err != nil || !bytes.Equal(held.GetSum(), sum[:]) || held.GetSize() != 10 {
		t.Errorf("sums: %v, %v", held, err)
	}
}

func TestParseStore(t *testing.T) {
	t.Parallel()
	settings := S3{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "s"}
	path := filepath.Join(t.TempDir(), "store")
	for url, want := range map[string]string{
		"dir:" + path:        "dir:" + path,
		"s3://bucket":        "s3://bucket/ at http://127.0.0.1:1",
		"s3://bucket/a/b/":   "s3://bucket/a/b at http://127.0.0.1:1",
		"s3://":              "",
		"dir:":               "",
		"http://example.com": "",
		"":                   "",
	} {
		o, err := ParseStore(url, settings)
		if want == "" {
			if err == nil || crux.KindOf(err) != crux.Invalid {
				t.Errorf("%q: %v", url, err)
			}
			continue
		}
		if err != nil || o.String() != want {
			t.Errorf("%q: %v, %v", url, o, err)
			continue
		}
		o.Close()
	}
}

func TestPublishAndFetchThroughS3(t *testing.T) {
	t.Parallel()
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		o, err := ParseStore("s3://"+cfg.Bucket+"/bloc", cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		counting := &countingOrigin{Origin: o}
		b := newBloc(t, 4, func(_ int, c *Config) { c.Origin = counting }, nil)
		data, want := artifact(20 << 20)
		file := filepath.Join(t.TempDir(), "galumph")
		if err := os.WriteFile(file, data, 0o700); err != nil {
			t.Fatal(err)
		}
		sum, _, err := b.nodes[0].PublishFile(t.Context(), file)
		if err != nil || sum != want {
			t.Fatalf("%s, %v", sum, err)
		}
		if err := b.nodes[0].store.Remove(sum); err != nil { // the publisher lost its disk
			t.Fatal(err)
		}
		noErrors(t, fetchAll(t.Context(), b.nodes, sum))
		if n := counting.bytes.Load(); n != int64(len(data)) {
			t.Errorf("%.2f copies were read", float64(n)/float64(len(data)))
		}
		missing := cfg
		missing.Bucket = "missing"
		bad, err := s3.Open(missing)
		if err != nil {
			t.Fatal(err)
		}
		defer bad.Close()
		b.nodes[1].cfg.Origin = bad
		if _, _, err := b.nodes[1].PublishFile(t.Context(), file); crux.KindOf(err) != crux.NotFound || !strings.Contains(err.Error(), "no bucket missing") {
			t.Errorf("publishing to a missing bucket: %v", err)
		}
	})
}

func TestPublishNeedsAStoreAndARegularFile(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1, func(_ int, c *Config) { c.Origin = nil }, nil)
	if _, _, err := b.nodes[0].Publish(t.Context(), strings.NewReader("x")); crux.KindOf(err) != crux.Unavailable || err == nil {
		t.Errorf("no store: %v", err)
	}
	for _, p := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, _, err := b.nodes[0].PublishFile(t.Context(), p); crux.KindOf(err) != crux.Invalid || err == nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
