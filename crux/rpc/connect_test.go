package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
	pb "fulcrum.example/protos/galumph"
)

// load calls both methods from several goroutines until stopped.
type load struct {
	stop chan struct{}
	work sync.WaitGroup

	calls, lostRegister, failedTable atomic.Int64
	mu                               sync.Mutex
	byInst                           map[string]int64
	errs                             []error
}

func startLoad(c pb.GalumphClient, workers int) *load {
	l := &load{stop: make(chan struct{}), byInst: map[string]int64{}}
	for range workers {
		l.work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
					l.one(c, i%2 == 0)
				}
			}
		})
	}
	return l
}

func (l *load) one(c pb.GalumphClient, register bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var r interface{ GetInst() string }
	var err error
	if register {
		r, err = c.Register(ctx, &pb.GalumphInstance{Name: "x"})
	} else {
		r, err = c.Table(ctx, &pb.TableReq{})
	}
	l.calls.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.byInst[r.GetInst()]++
		return
	case register:
		l.lostRegister.Add(1)
	default:
		l.failedTable.Add(1)
	}
	l.errs = append(l.errs, err)
}

func (l *load) count(inst string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byInst[inst]
}

func (l *load) end() {
	close(l.stop)
	l.work.Wait()
}

func TestVersionMovesUnderLoadWithoutAFailedCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	var old []*replica
	for i := range 3 {
		old = append(old, w.start(i+1, "galumph2_9"))
	}
	l := startLoad(w.connect(w.node(0, "client"), "galumph2"), 8)
	w.eventually("calls on the old version", func() bool { return l.count("galumph2_9") > 3000 })
	for i := range 3 {
		w.start(i+1, "galumph2_10") // 10 is greater than 9
	}
	w.eventually("the move to the new version", func() bool { return l.count("galumph2_10") > 3000 })
	for _, r := range old {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	before := l.count("galumph2_9")
	n := l.count("galumph2_10")
	w.eventually("10^4 calls", func() bool { return l.calls.Load() > 10_000 && l.count("galumph2_10") > n+2000 })
	l.end()
	if len(l.errs) > 0 {
		t.Fatalf("%d of %d calls failed, the first with %v", len(l.errs), l.calls.Load(), l.errs[0])
	}
	if after := l.count("galumph2_9"); after != before {
		t.Fatalf("%d calls reached the old version after it ended", after-before)
	}
	t.Logf("%d calls, by version %v", l.calls.Load(), l.byInst)
}

func TestRollingBackAndForthFailsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.start(1, "galumph2_3")
	l := startLoad(w.connect(w.node(0, "client"), "galumph2"), 4)
	for range 5 {
		r := w.start(1, "galumph2_4")
		n := l.count("galumph2_4")
		w.eventually("calls on the new version", func() bool { return l.count("galumph2_4") > n+50 })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		n = l.count("galumph2_3")
		w.eventually("calls on the old version again", func() bool { return l.count("galumph2_3") > n+50 })
	}
	l.end()
	if len(l.errs) > 0 {
		t.Fatalf("%d of %d calls failed, the first with %v", len(l.errs), l.calls.Load(), l.errs[0])
	}
}

func TestKilledReplicaLosesOnlyWhatWasInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	const workers = 8
	near := w.start(0, "galumph2_3") // on the client's own node: it gets all calls
	w.start(1, "galumph2_3")
	w.start(2, "galumph2_3")
	l := startLoad(w.connect(w.node(0, "client"), "galumph2"), workers)
	w.eventually("calls", func() bool { return l.calls.Load() > 1000 })
	near.cut.kill()
	n := l.calls.Load()
	w.eventually("calls after the kill", func() bool { return l.calls.Load() > n+2000 })
	l.end()
	if f := l.failedTable.Load(); f > 0 {
		t.Fatalf("%d idempotent calls failed: %v", f, errors.Join(l.errs...))
	}
	if f := l.lostRegister.Load(); f > workers {
		t.Fatalf("%d calls were lost, more than the %d in flight: %v", f, workers, errors.Join(l.errs...))
	}
	for _, err := range l.errs {
		if crux.KindOf(err) != crux.Unavailable {
			t.Errorf("a lost call ended with %v (%v)", err, crux.KindOf(err))
		}
	}
	t.Logf("%d calls, %d in flight lost", l.calls.Load(), l.lostRegister.Load())
}

func TestHalfFilledSnapshotDropsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	serve := func(i int) crux.Endpoint {
		s, err := rpc.Serve(w.node(i, "galumph2_3"), rpc.Options{Inst: "galumph2_3"}, func(r grpc.ServiceRegistrar) {
			pb.RegisterGalumphServer(r, &galumph{inst: "galumph2_3", node: w.all[i].ID.String()})
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s.Endpoint()
	}
	a, b := serve(1), serve(2)
	w.rows.Set(true, rpctest.Row(a, crux.Serving))
	c := w.connect(w.node(0, "client"), "galumph2")
	if _, err := c.Table(soon(t), &pb.TableReq{}); err != nil {
		t.Fatal(err)
	}
	answers := func(e crux.Endpoint) bool {
		r, err := c.Table(soon(t), &pb.TableReq{})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetNode() == e.Node.String()
	}
	w.rows.Set(false) // a new steward that knows nothing yet
	for range 100 {
		if !answers(a) {
			t.Fatal("somebody else answered")
		}
	}
	w.rows.Set(false, rpctest.Row(b, crux.Serving)) // and half
	w.eventually("the added row to be used", func() bool { return answers(b) })
	w.eventually("the kept row to be used", func() bool { return answers(a) })
	w.rows.Set(true, rpctest.Row(b, crux.Serving)) // whole: a is gone
	w.eventually("the dropped row to be left", func() bool {
		for range 20 {
			if answers(a) {
				return false
			}
		}
		return true
	})
}

func TestNothingRegisteredFailsAtOnceByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	_, err := w.connect(w.node(0, "client"), "web/galumph2").Table(soon(t), &pb.TableReq{})
	if crux.KindOf(err) != crux.Unavailable || !strings.Contains(err.Error(), "web/galumph2") {
		t.Fatalf("got %v (%v)", err, crux.KindOf(err))
	}
}

func TestCallsWaitWhileTheRegistryIsNotWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.rows.Set(false)
	c := w.connect(w.node(0, "client"), "galumph2")
	answered := make(chan error, 1)
	go func() {
		_, err := c.Table(soon(t), &pb.TableReq{})
		answered <- err
	}()
	w.start(1, "galumph2_3")
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestOwnNodeIsPreferredAndDrainingAvoided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	own := w.start(0, "galumph2_3")
	for i := range 2 {
		w.start(i+1, "galumph2_3")
	}
	c := w.connect(w.node(0, "client"), "galumph2")
	where := func() string {
		r, err := c.Table(soon(t), &pb.TableReq{})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetNode()
	}
	home := w.all[0].ID.String()
	w.eventually("the node's own replica", func() bool { return where() == home })
	for range 100 {
		if where() != home {
			t.Fatal("a call left the node")
		}
	}
	own.cut.dead.Store(true) // no more beats: the test says what the row says
	w.rows.Put(own.Endpoint(), crux.Draining)
	w.eventually("the others", func() bool { return where() != home })
	seen := map[string]bool{}
	for range 100 {
		seen[where()] = true
	}
	if seen[home] || len(seen) != 2 {
		t.Fatalf("answers came from %v", seen)
	}
}

func TestExactInstanceStaysWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.start(1, "galumph2_3")
	w.start(1, "galumph2_4")
	c := w.connect(w.node(0, "client"), "galumph2.3")
	for range 20 {
		if r, err := c.Table(soon(t), &pb.TableReq{}); err != nil || r.GetInst() != "galumph2_3" {
			t.Fatal(r, err)
		}
	}
}

func TestRescanBoundsHowOftenABetterFitIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.start(1, "galumph2_3")
	cc, err := rpc.Connect(w.node(0, "client"), crux.Selector{API: "galumph2"}, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	c := pb.NewGalumphClient(cc)
	inst := func() string {
		r, err := c.Table(soon(t), &pb.TableReq{})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetInst()
	}
	if inst() != "galumph2_3" {
		t.Fatal("not the only version")
	}
	best := w.start(1, "galumph2_4")
	began := time.Now()
	w.eventually("the better fit", func() bool { return inst() == "galumph2_4" })
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("it took %v", took)
	}
	// What is lost is replaced at once, whatever rescan says.
	if err := best.stop(); err != nil {
		t.Fatal(err)
	}
	if inst() != "galumph2_3" {
		t.Fatal("not what is left")
	}
}

func TestHandlersAnswerIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	g := &galumph{}
	s, err := rpc.Serve(w.node(1, "galumph2_3"), rpc.Options{Inst: "galumph2_3"}, func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, g) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w.rows.Put(s.Endpoint(), crux.Serving)
	_, err = w.connect(w.node(0, "client"), "galumph2").Table(soon(t), &pb.TableReq{Limit: -1})
	if crux.KindOf(err) != crux.Unavailable || g.calls.Load() != 1 {
		t.Fatalf("%d calls, error %v", g.calls.Load(), err)
	}
}

func TestReusedAddressIsDialledAsWhatItIsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	s, err := rpc.Serve(w.node(1, "galumph2_3"), rpc.Options{Inst: "galumph2_3"},
		func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{inst: "galumph2_3"}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	stale := rpctest.Row(s.Endpoint(), crux.Serving)
	stale.Inst = "galumph2_4"
	stale.Issued = stale.Issued.Add(-time.Minute)
	w.rows.Set(true, stale, rpctest.Row(s.Endpoint(), crux.Serving))
	if r, err := w.connect(w.node(0, "client"), "galumph2").Table(soon(t), &pb.TableReq{}); err != nil || r.GetInst() != "galumph2_3" {
		t.Fatal(r, err)
	}
}

func TestManyReplicasAreSharedAndFewConnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9)
	for i := 1; i < 9; i++ {
		w.start(i, "galumph2_3")
	}
	seen := map[string]bool{}
	c := w.connect(w.node(0, "client"), "galumph2")
	w.eventually("five replicas to be used", func() bool {
		r, err := c.Table(soon(t), &pb.TableReq{})
		if err != nil {
			t.Fatal(err)
		}
		seen[r.GetNode()] = true
		return len(seen) == 5
	})
	for range 200 {
		r, err := c.Table(soon(t), &pb.TableReq{})
		if err != nil {
			t.Fatal(err)
		}
		seen[r.GetNode()] = true
	}
	if len(seen) != 5 {
		t.Fatalf("%d replicas are connected", len(seen))
	}
}

func TestConnectWantsASelector(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	if _, err := rpc.Connect(w.node(0, "client"), crux.Selector{}, 0); crux.KindOf(err) != crux.Invalid {
		t.Fatal(err)
	}
}

func TestManyClientsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.start(1, "galumph2_3")
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			cc, err := rpc.Connect(w.node(0, "client"), crux.Selector{API: "galumph2"}, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer cc.Close()
			if i%4 == 0 {
				return // closed before it is connected
			}
			if _, err := pb.NewGalumphClient(cc).Table(soon(t), &pb.TableReq{}); err != nil {
				t.Error(fmt.Errorf("client %d: %w", i, err))
			}
		})
	}
	work.Wait()
}
