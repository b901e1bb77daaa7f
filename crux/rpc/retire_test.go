package rpc_test

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/galumph"
)

// sharedListener is a second descriptor of a listening socket, as a process gets
// it that another hands its own to.
func sharedListener(t *testing.T, l net.Listener) net.Listener {
	t.Helper()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAHandedListenerMovesClientsWithoutAFailedCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	serve := func(inst crux.Inst, l net.Listener) *rpc.Server {
		alive := make(chan []crux.Fservice)
		s, err := rpc.Serve(w.node(1, string(inst)), rpc.Options{Inst: inst, Alive: alive, Listener: l, Every: 10 * time.Millisecond},
			func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{inst: string(inst)}) })
		if err != nil {
			t.Fatal(err)
		}
		beaten, known := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(beaten)
			for first := true; ; first = false {
				b, ok := <-alive
				if !ok {
					return
				}
				w.rows.Beat(w.all[1].ID, b)
				if first {
					close(known)
				}
			}
		}()
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			close(alive)
			<-beaten
		})
		<-known // with its first beat
		return s
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second := sharedListener(t, l)
	first := serve("galumph2_3", l)
	c := w.connect(w.node(0, "client"), "galumph2")
	call := func() string {
		r, err := c.Register(soon(t), &pb.GalumphInstance{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetInst()
	}
	if got := call(); got != "galumph2_3" {
		t.Fatalf("%s answered", got)
	}
	successor := serve("galumph2_4", second)
	if successor.NetID() != first.NetID() {
		t.Fatalf("listens at %s, not at %s", successor.NetID(), first.NetID())
	}
	w.eventually("the successor's row", func() bool { return len(w.rows.Lookup(crux.Selector{Inst: "galumph2_4"}).Rows) > 0 })
	first.Retire()
	w.eventually("a call at the successor", func() bool { return call() == "galumph2_4" })
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got := call(); got != "galumph2_4" {
			t.Fatalf("%s answered", got)
		}
	}
	if rows := w.rows.Lookup(crux.Selector{Inst: "galumph2_3"}).Rows; len(rows) != 0 {
		t.Fatalf("the row of the one that retired is %v", rows[0].Status)
	}
}

func TestServeClosesAListenerThatItCannotServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Serve(w.node(0, "galumph2_3"), rpc.Options{Inst: "none", Listener: l}, func(grpc.ServiceRegistrar) {}); crux.KindOf(err) != crux.Invalid {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Fatal("the listener is open")
	}
}
