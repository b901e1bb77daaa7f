package rpc_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
	pb "fulcrum.example/protos/galumph"
)

func TestServedCallKnowsBothEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	r := w.start(1, "galumph2_3")
	c := w.connect(w.node(0, "client"), "galumph2")
	var p peer.Peer
	resp, err := c.Register(soon(t), &pb.GalumphInstance{Name: "x"}, grpc.Peer(&p))
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetInst() != "galumph2_3" || resp.GetNode() != w.all[1].ID.String() {
		t.Fatalf("answered by %v", resp)
	}
	server, ok := rpc.PeerOf(&p)
	if !ok || server.Node != r.Endpoint().Node || server.Caller != "galumph2_3" {
		t.Fatalf("the client takes its server for %+v", server)
	}
}

func TestCallerIsKnownToTheHandler(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	g := &galumph{inst: "galumph2_3"}
	s, err := rpc.Serve(w.node(1, "galumph2_3"), rpc.Options{Inst: "galumph2.3"}, func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, g) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w.rows.Put(s.Endpoint(), crux.Serving)
	if _, err := w.connect(w.node(0, "client"), "galumph2").Register(soon(t), &pb.GalumphInstance{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.peers.Load("client@" + w.all[0].ID.String()); !ok {
		t.Fatal("the handler did not see who called")
	}
}

func TestHealthAndReflectionAreThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.start(1, "galumph2_3")
	cc := w.channel(w.node(0, "client"), "galumph2")
	for _, name := range []string{"", "fulcrum.galumph.Galumph"} {
		r, err := grpc_health_v1.NewHealthClient(cc).Check(soon(t), &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil || r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Fatalf("health of %q: %v, %v", name, r, err)
		}
	}
	s, err := grpc_reflection_v1.NewServerReflectionClient(cc).ServerReflectionInfo(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	m, err := s.Recv()
	if err != nil || !strings.Contains(m.String(), "fulcrum.galumph.Galumph") {
		t.Fatalf("reflection: %v, %v", m, err)
	}
}

func TestHeartbeatsTellTheLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	alive := make(chan []crux.Fservice)
	quit := make(chan bool)
	s, err := rpc.Serve(w.node(0, "galumph2_3"), rpc.Options{Inst: "galumph2_3", Quit: quit, Alive: alive, Every: 5 * time.Millisecond},
		func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{}) })
	if err != nil {
		t.Fatal(err)
	}
	var seen []crux.Status
	for beats := 0; ; beats++ {
		b := (<-alive)[0]
		if b.NetID != s.NetID() || b.API != "galumph2" || b.Inst != "galumph2_3" || b.Horde != crux.DefaultHorde || !b.ValidUntil.After(b.Issued) {
			t.Fatalf("beat %+v", b)
		}
		if !slices.Contains(seen, b.Status) {
			seen = append(seen, b.Status)
		}
		if beats == 3 {
			close(quit)
		}
		if b.Status == crux.Gone {
			break
		}
	}
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []crux.Status{crux.Serving, crux.Draining, crux.Gone}) {
		t.Fatalf("states %v", seen)
	}
}

func TestServerEndsThoughNobodyReadsItsBeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s, err := rpc.Serve(w.node(0, "galumph2_3"), rpc.Options{Inst: "galumph2_3", Alive: make(chan []crux.Fservice)},
		func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDrainFinishesCallsAndCutsTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	quit := make(chan bool)
	s, err := rpc.Serve(w.node(1, "galumph2_3"), rpc.Options{Inst: "galumph2_3", Quit: quit, Drain: 300 * time.Millisecond},
		func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{}) })
	if err != nil {
		t.Fatal(err)
	}
	w.rows.Put(s.Endpoint(), crux.Serving)
	c := w.connect(w.node(0, "client"), "galumph2")
	if _, err := c.Table(soon(t), &pb.TableReq{}); err != nil {
		t.Fatal(err)
	}
	slow := make(chan error, 1)
	go func() {
		_, err := c.Register(soon(t), &pb.GalumphInstance{Name: "slow"})
		slow <- err
	}()
	close(quit)
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := <-slow; err == nil {
		t.Fatal("a call that outlasts the drain was answered")
	}
}

func TestServeRefusesWhatItMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for inst, kind := range map[crux.Inst]crux.Kind{"Galumph": crux.Invalid, "node1_0": crux.Denied, "galumph2_4": crux.Denied} {
		_, err := rpc.Serve(w.node(0, "galumph2_3"), rpc.Options{Inst: inst}, func(grpc.ServiceRegistrar) {})
		if crux.KindOf(err) != kind || err == nil {
			t.Errorf("%s: %v", inst, err)
		}
	}
}

func TestErrorsKeepTheirKindAndPanicsAreErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.start(1, "galumph2_3")
	c := w.connect(w.node(0, "client"), "galumph2")
	_, err := c.Register(soon(t), &pb.GalumphInstance{Name: "denied"})
	if crux.KindOf(err) != crux.Denied || status.Code(err) != codes.PermissionDenied || err.Error() != "register: not you" {
		t.Fatalf("%v (%v, %v)", err, crux.KindOf(err), status.Code(err))
	}
	_, err = c.Register(soon(t), &pb.GalumphInstance{Name: "panic"})
	if crux.KindOf(err) != crux.Internal || strings.Contains(err.Error(), "as asked") {
		t.Fatalf("a panic arrived as %v", err)
	}
	if _, err := c.Register(soon(t), &pb.GalumphInstance{Name: "x"}); err != nil {
		t.Fatal("after the panic:", err)
	}
}

func TestRefusalsReachTheCallerInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.start(1, "galumph2_3")
	stranger := w.ring(rpctest.NodeKey(77), w.policy)
	foreignPolicy := rpctest.NewPolicy("elsewhere")
	foreignPolicy.SetOpen(true)
	foreign := w.ring(rpctest.NodeKey(0), foreignPolicy)
	with := func(k crux.Keys, name string) *rpctest.Node {
		n := w.node(0, name)
		n.Secrets = k
		return n
	}
	for name, c := range map[string]struct {
		node  *rpctest.Node
		kind  crux.Kind
		words string
	}{
		"wrong caller":      {w.node(0, "somebody"), crux.Denied, "no rule allows somebody"},
		"node not enrolled": {with(stranger.For("client", crux.DefaultHorde), "client"), crux.Unknown, "not enrolled"},
		"other bloc":        {with(lenient{foreign.For("client", crux.DefaultHorde)}, "client"), crux.Unknown, `of bloc "elsewhere"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.connect(c.node, "galumph2").Table(soon(t), &pb.TableReq{})
			if crux.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %v (%v)", err, crux.KindOf(err))
			}
		})
	}
}

// lenient admits any server, as an attacker would.
type lenient struct{ crux.Keys }

func (lenient) AdmitServer(context.Context, []byte, crux.Endpoint) (crux.Peer, error) {
	return crux.Peer{}, nil
}

func TestWrongDestinationGetsNoCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	s, err := rpc.Serve(w.node(1, "galumph2_3"), rpc.Options{Inst: "galumph2_3"}, func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	lie := s.Endpoint()
	lie.Node = w.all[2].ID // a row that says another node is there
	w.rows.Set(true, rpctest.Row(lie, crux.Serving))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = w.connect(w.node(0, "client"), "galumph2").Table(ctx, &pb.TableReq{})
	if crux.KindOf(err) != crux.Timeout {
		t.Fatalf("got %v", err)
	}
}

func TestRevocationClosesLiveConnections(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(w *world){
		"rule struck": func(w *world) {
			w.policy.Allow("client", "galumph2", false)
			w.rings[1].PolicyChanged()
		},
		"node evicted": func(w *world) { w.members.Evict(w.all[0].ID) },
		"key revoked":  func(w *world) { revokeNode(w, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.start(1, "galumph2_3")
			c := w.connect(w.node(0, "client"), "galumph2")
			if _, err := c.Table(soon(t), &pb.TableReq{}); err != nil {
				t.Fatal(err)
			}
			slow := make(chan error, 1)
			go func() {
				_, err := c.Register(soon(t), &pb.GalumphInstance{Name: "slow"})
				slow <- err
			}()
			revoke(w)
			if err := <-slow; crux.KindOf(err) != crux.Unavailable && crux.KindOf(err) != crux.Denied {
				t.Fatalf("the call in flight ended with %v", err)
			}
			w.eventually("new calls to be refused", func() bool {
				_, err := c.Table(soon(t), &pb.TableReq{})
				return crux.KindOf(err) == crux.Denied
			})
		})
	}
}
