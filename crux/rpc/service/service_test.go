package service_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/examples/galumph"
	pb "fulcrum.example/protos/galumph"
	"fulcrum.example/protos/node"
)

// TestMain is also the main function of the services that the tests start: the
// test binary runs itself, with the function to offer in TEST_SERVICE.
func TestMain(m *testing.M) {
	switch os.Getenv("TEST_SERVICE") {
	case "":
		goleak.VerifyTestMain(m)
	case "galumph":
		service.Main(map[string]crux.Service{"Galumph2_3": galumph.Galumph2_3})
	case "other":
		service.Main(map[string]crux.Service{"Other": galumph.Galumph2_3})
	case "panics":
		service.Main(map[string]crux.Service{"Galumph2_3": func(<-chan bool, chan<- []crux.Fservice, crux.Node) { panic("as asked") }})
	case "ends":
		service.Main(map[string]crux.Service{"Galumph2_3": func(<-chan bool, chan<- []crux.Fservice, crux.Node) {}})
	}
}

// process is a service in a process of its own.
type process struct {
	*exec.Cmd
	stderr lockedBuffer
	exited chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run starts the test binary as picket would start an executable.
func (b *bloc) run(what, token string, env ...string) *process {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	if _, err := fmt.Fprint(w, token); err != nil {
		b.t.Fatal(err)
	}
	w.Close()
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(exe), exited: make(chan struct{})}
	p.Env = append([]string{"TEST_SERVICE=" + what, "FULCRUM_SOCKET=" + b.socket}, env...)
	p.ExtraFiles = []*os.File{r}
	p.Stderr = &p.stderr
	if err := p.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.Wait()
	}()
	b.t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		if b.t.Failed() {
			b.t.Logf("%s said:\n%s", what, p.stderr.String())
		}
	})
	return p
}

// ends waits for the process and gives its exit status.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		t.Fatal("the process does not end")
		return -1
	}
}

func (b *bloc) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatal("waited in vain for " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func (b *bloc) serving() int {
	return len(b.rows.Lookup(crux.Selector{API: "galumph2"}).Rows)
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (b *bloc) attach(name string) *service.Node {
	b.t.Helper()
	n, err := service.Attach(soon(b.t), b.socket, name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { n.Close() })
	return n
}

func connect(t *testing.T, n crux.Node) pb.GalumphClient {
	t.Helper()
	cc, err := rpc.Connect(n, crux.Selector{API: "galumph2"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return pb.NewGalumphClient(cc)
}

var token = strings.Repeat("0123456789abcdef", 4)

func TestServiceServesAClientThroughTheNode(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	b.token = token
	p := b.run("galumph", token)
	n := b.attach("client")
	if n.ID() != b.self.ID || n.Service() != "client" || n.Addr() != b.self.Addr || len(n.Members().View().Members) != 1 {
		t.Fatalf("attached to %v as %q", n.ID(), n.Service())
	}
	c := connect(t, n)
	r, err := c.Register(soon(t), &pb.GalumphInstance{Name: "x"}, grpc.WaitForReady(true))
	if err != nil || r.GetInst() != "galumph2_3" {
		t.Fatal(r, err)
	}
	say := <-b.server.attached
	say <- &node.FromNode{Msg: &node.FromNode_Quit{Quit: &node.Quit{DeadlineMs: 10_000}}}
	if code := p.ends(t); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	b.eventually("the row to be withdrawn", func() bool { return b.serving() == 0 })
}

func TestServiceAndClientOutliveTheirNode(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	b.token = token
	p := b.run("galumph", token)
	n := b.attach("client")
	c := connect(t, n)
	call := func() error {
		_, err := c.Register(soon(t), &pb.GalumphInstance{Name: "x"}, grpc.WaitForReady(true))
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	watch := n.Registry().Watch(soon(t), crux.Selector{API: "galumph2"})
	if s := <-watch; !s.Whole || len(s.Rows) != 1 {
		t.Fatalf("snapshot %+v", s)
	}
	b.down()
	b.eventually("the registry to be known as not whole", func() bool { return !n.Registry().Lookup(crux.Selector{API: "galumph2"}).Whole })
	if s := n.Registry().Lookup(crux.Selector{API: "galumph2"}); len(s.Rows) != 1 {
		t.Fatal("the rows were dropped with the node")
	}
	for range 100 {
		if err := call(); err != nil {
			t.Fatal("while the node is away:", err)
		}
	}
	b.rows.Set(true) // a node that starts anew knows nothing
	began := time.Now()
	b.up()
	b.eventually("the heartbeats to come again", func() bool { return b.serving() == 1 })
	t.Logf("registered again %v after the node was back", time.Since(began))
	if err := call(); err != nil {
		t.Fatal(err)
	}
	// A new connection needs signatures of the new node, under new handles.
	if _, err := connect(t, n).Table(soon(t), &pb.TableReq{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.ends(t); code != 0 {
		t.Fatalf("exit status %d", code)
	}
}

func TestServiceEndsALeaseAfterItsNode(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	b.token, b.lease = token, 300*time.Millisecond
	p := b.run("galumph", token)
	b.eventually("the service", func() bool { return b.serving() == 1 })
	b.down()
	began := time.Now()
	if code := p.ends(t); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Fatalf("it gave up after %v", took)
	}
}

func TestFailuresAreOneLineAndAStatus(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	b.token = token
	for name, c := range map[string]struct {
		what, token string
		env         []string
		code        int
		words       string
	}{
		"function not found":    {"other", token, nil, 1, `no function "Galumph2_3" in this artifact; it has Other`},
		"routine panics":        {"panics", token, nil, 1, "panicked: as asked"},
		"routine ends":          {"ends", token, nil, 1, "ended without being asked"},
		"unknown token":         {"galumph", strings.Repeat("f", 64), nil, 1, "token is not known"},
		"malformed token":       {"galumph", "short", nil, 2, "not a token"},
		"not started by a node": {"galumph", token, []string{"FULCRUM_SOCKET="}, 2, "fulcrum publish"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := b.run(c.what, c.token, c.env...)
			if code := p.ends(t); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			said := strings.TrimSpace(p.stderr.String())
			if !strings.Contains(said, c.words) || strings.Contains(said, "goroutine") || strings.Count(said, "\n") > 0 {
				t.Errorf("it said %q", said)
			}
		})
	}
}

func TestAttachSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for name, c := range map[string]struct {
		socket, caller string
		kind           crux.Kind
	}{
		"no socket":    {filepath.Join(t.TempDir(), "none"), "client", crux.Unavailable},
		"bad name":     {b.socket, "No Name", crux.Invalid},
		"refused name": {b.socket, "evil", crux.Unknown},
	} {
		if n, err := service.Attach(ctx, c.socket, c.caller); crux.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
	n, err := service.Attach(ctx, filepath.Dir(b.socket), "client")
	if err != nil {
		t.Fatal("by the data folder:", err)
	}
	n.Close()
	dead := filepath.Join(t.TempDir(), "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	short, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := service.Attach(short, dead, "client"); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("dead socket: %v", err)
	}
}

func TestRevocationReachesAChild(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	b.token = token
	b.run("galumph", token)
	c := connect(t, b.attach("client"))
	if _, err := c.Table(soon(t), &pb.TableReq{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	b.policy.Allow("client", "galumph2", false)
	b.server.ring.PolicyChanged()
	b.eventually("the calls to be refused", func() bool {
		_, err := c.Table(soon(t), &pb.TableReq{})
		return crux.KindOf(err) == crux.Denied
	})
}

func TestAttachedNodeSignsAndCarriesPackets(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	n := b.attach("client")
	label := crux.LabelService + "client note"
	sig, err := n.Keys().Sign(soon(t), label, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Keys().Verify(soon(t), n.ID(), label, []byte("hello"), sig); err != nil {
		t.Fatal(err)
	}
	if err := n.Keys().Verify(soon(t), n.ID(), label, []byte("other"), sig); crux.KindOf(err) != crux.Corrupt {
		t.Fatal(err)
	}
	if _, err := n.Keys().Sign(soon(t), crux.LabelRow, nil); crux.KindOf(err) != crux.Denied {
		t.Fatal(err)
	}
	x, err := n.ListenPacket(soon(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	y, err := n.ListenPacket(soon(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	if err := x.WriteTo([]byte("packet"), y.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	into := make([]crux.Datagram, 2)
	if got, err := y.ReadBatch(into); err != nil || got != 1 || string(into[0].Data) != "packet" || into[0].From != x.LocalAddr() {
		t.Fatal(got, err, into[0])
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.ReadBatch(into); err != net.ErrClosed {
		t.Fatal(err)
	}
	if n.Candidates().Len() != 1 || n.Candidates().At(0) != b.self.Addr {
		t.Fatal("the candidates are not the members")
	}
}

func TestClosedNodeAnswersAndLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBloc(t)
	n, err := service.Attach(soon(t), b.socket, "client")
	if err != nil {
		t.Fatal(err)
	}
	watch := n.Registry().Watch(context.Background(), crux.Selector{API: "galumph2"})
	<-watch
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-watch; open {
		t.Fatal("a watch goes on")
	}
	if _, open := <-n.Registry().Watch(context.Background(), crux.Selector{API: "x1"}); open {
		t.Fatal("a closed node watches")
	}
	n.Registry().Lookup(crux.Selector{API: "y1"})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
