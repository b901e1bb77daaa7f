package picket_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/picket"
	"fulcrum.example/picket/socket"
)

// intruderCommand has the test binary try the node's own socket.
const intruderCommand = "intrude"

// intrude says how attaching as an operator's client went.
func intrude(path string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n, err := service.Attach(ctx, path, "client")
	if err == nil {
		n.Close()
	}
	fmt.Println(crux.KindOf(err), err)
}

// intruder is a service that tries the node's own socket, itself and through a
// process that it started in a session of its own, and then serves.
func intruder(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
	node := filepath.Join(filepath.Dir(filepath.Dir(n.Dir())), "f.sock")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := service.Attach(ctx, node, "client")
	if err == nil {
		c.Close()
	}
	said := fmt.Sprintln(crux.KindOf(err), err)
	hidden := exec.Command("/proc/self/exe", intruderCommand, node)
	hidden.Env, hidden.SysProcAttr = []string{}, &syscall.SysProcAttr{Setsid: true}
	out, err := hidden.CombinedOutput()
	said += string(out)
	if err != nil {
		said += err.Error()
	}
	if err := os.WriteFile(filepath.Join(n.Dir(), "said"), []byte(said), 0o600); err != nil {
		n.Log().Error("the test's service cannot say what it met", "why", err)
	}
	good(quit, alive, n)
}

func TestServicesAreRefusedOnTheNodesSocket(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	path := serveNode(t, w, p)
	start(t, p, unit("intruder2_3", "intruder"))
	untilServing(t, w, p, "intruder2_3")
	b, err := os.ReadFile(filepath.Join(w.cfg.Dir, "svc", "intruder2", "said"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 {
		t.Fatalf("it said %q", b)
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "denied ") || !strings.Contains(l, "services use the socket that they were given") {
			t.Errorf("a service was told %q", l)
		}
	}
	// Its own socket is open to it all the same, and an operator is not refused.
	n, err := service.Attach(t.Context(), path, "client")
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
}

// serveNode serves the node's own socket as fulcrum does.
func serveNode(t *testing.T, w *world, p *picket.Picket) (path string) {
	t.Helper()
	path = filepath.Join(w.cfg.Dir, "f.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := socket.NewServer(nil, socket.WithServices(p.PIDs))
	socket.Register(s, socket.Config{ID: w.cfg.ID, Addr: w.cfg.Confab.Addr(), Registry: w.cfg.Registry, Members: w.cfg.Members,
		KeysFor: w.cfg.KeysFor, Lease: time.Minute})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return path
}
