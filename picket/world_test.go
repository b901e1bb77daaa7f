package picket_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/picket"
	"fulcrum.example/picket/heartbeat"
	"fulcrum.example/picket/host"
	"fulcrum.example/picket/run"
	"fulcrum.example/reeve/keys"
)

// ownerCommand makes the test binary a small fulcrum that a test can kill.
const ownerCommand = "picket-owner"

// The test binary is also the launcher, every child service, and the owner.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == run.LaunchCommand:
		run.LaunchMain(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == host.Command:
		host.Main(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == host.BuiltinCommand:
		host.BuiltinMain(os.Args[2:], functions)
	case os.Getenv("FULCRUM_SOCKET") != "":
		service.Main(functions)
	case len(os.Args) > 1 && os.Args[1] == intruderCommand:
		intrude(os.Args[2])
		os.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == ownerCommand:
		own(os.Args[2], os.Args[3])
	}
	// The tests wait for processes more than they work.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const every = 300 * time.Millisecond // between beats of the tests' services

// functions are the tests' services.
var functions = map[string]crux.Service{
	"good": good,
	"crash": func(_ <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
		beat(alive, n, n.Service(), crux.Serving)
	},
	"mute": func(quit <-chan bool, _ chan<- []crux.Fservice, _ crux.Node) { <-quit },
	"deaf": func(_ <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
		for range time.Tick(every) {
			beat(alive, n, n.Service(), crux.Serving)
		}
	},
	"intruder": intruder,
	"panics": func(<-chan bool, chan<- []crux.Fservice, crux.Node) {
		go panic("\x1bas asked")
		select {}
	},
	"silent": func(<-chan bool, chan<- []crux.Fservice, crux.Node) { os.Exit(4) },
	"parent": parent,
	"chatty": func(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
		go func() {
			for range time.Tick(time.Millisecond) {
				n.Log().Info("a line of a service that talks much")
			}
		}()
		good(quit, alive, n)
	},
	"foreign": func(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
		beat(alive, n, "other2_3", crux.Serving)
		good(quit, alive, n)
	},
}

// parent starts a process of its own, and serves.
func parent(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
	cmd := exec.Command("/bin/sleep", "120")
	if err := cmd.Start(); err != nil {
		n.Log().Error("the test's service starts no process", "why", err)
		return
	}
	if err := os.WriteFile(filepath.Join(n.Dir(), "grandchild"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		n.Log().Error("the test's service cannot say whom it started", "why", err)
		return
	}
	good(quit, alive, n)
}

// good serves as a real service does.
func good(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
	s, err := rpc.Serve(n, rpc.Options{Inst: crux.Inst(n.Service()), Quit: quit, Alive: alive, Every: every}, func(grpc.ServiceRegistrar) {})
	if err == nil {
		err = s.Wait()
	}
	if err != nil {
		n.Log().Error("the test's service ended", "why", err)
	}
}

func beat(alive chan<- []crux.Fservice, n crux.Node, inst string, s crux.Status) {
	now := time.Now()
	alive <- []crux.Fservice{{
		Horde: n.Horde(), API: crux.Inst(inst).API(), Inst: crux.Inst(inst), NetID: crux.NetIDOf(netip.AddrPortFrom(n.Addr().Addr(), 9)),
		Issued: now, ValidUntil: now.Add(5 * every), Status: s,
	}}
}

// rows is a registry that remembers what it was told.
type rows struct {
	mu     sync.Mutex
	events []string // "galumph2_3 serving", the oldest first
	live   map[heartbeat.Endpoint]crux.Fservice
	fails  int
}

func (r *rows) Put(_ context.Context, s crux.Fservice, key []byte, _ uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails > 0 {
		r.fails--
		return crux.Errorf("put", crux.Unavailable, "not yet")
	}
	if len(key) != ed25519.PublicKeySize {
		return crux.Errorf("put", crux.Invalid, "no key")
	}
	r.note(s.Inst, s.Status)
	r.live[heartbeat.Endpoint{Horde: s.Horde, Inst: s.Inst, NetID: s.NetID}] = s
	return nil
}

func (r *rows) Drop(_ context.Context, horde crux.Horde, inst crux.Inst, at crux.NetID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(inst, crux.Gone)
	delete(r.live, heartbeat.Endpoint{Horde: horde, Inst: inst, NetID: at})
	return nil
}

func (r *rows) note(inst crux.Inst, s crux.Status) {
	r.events = append(r.events, string(inst)+" "+s.String())
}

func (r *rows) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// serving counts the serving endpoints of an instance.
func (r *rows) serving(inst crux.Inst) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.live {
		if s.Inst == inst && s.Status == crux.Serving {
			n++
		}
	}
	return n
}

// artifacts gives the test binary under its checksum, and files of tests.
type artifacts struct {
	mu    sync.Mutex
	files map[crux.Checksum]string
	pins  map[crux.Checksum]int
}

func (a *artifacts) Fetch(_ context.Context, sum crux.Checksum) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f, ok := a.files[sum]; ok {
		return f, nil
	}
	return "", crux.Errorf("fetch", crux.NotFound, "nobody has artifact %v", sum)
}
func (a *artifacts) Pin(sum crux.Checksum)   { a.pin(sum, 1) }
func (a *artifacts) Unpin(sum crux.Checksum) { a.pin(sum, -1) }
func (a *artifacts) pin(sum crux.Checksum, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pins[sum] += n
}
func (a *artifacts) pinned() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pins {
		n += p
	}
	return n
}

var self = sync.OnceValues(func() (string, crux.Checksum) {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return path, sha256.Sum256(b)
})

var lastAddr atomic.Uint32

// world is one node with a data folder.
type world struct {
	cfg  picket.Config
	rows *rows
	art  *artifacts
	ring *keys.Ring
}

// newWorld makes a node at addr with short times.
func newWorld(dir, addr string) (*world, error) {
	me := rpctest.MemberOf(rpctest.NodeKey(0), netip.MustParseAddrPort(addr))
	policy := rpctest.NewPolicy("test")
	policy.Enrol(me.Key, true)
	members := rpctest.NewMembers(me.ID, me)
	ring, err := keys.New(keys.Config{NodeKey: rpctest.NodeKey(0), Policy: policy, Members: members})
	if err != nil {
		return nil, err
	}
	path, sum := self()
	w := &world{rows: &rows{live: map[heartbeat.Endpoint]crux.Fservice{}}, ring: ring,
		art: &artifacts{files: map[crux.Checksum]string{sum: path}, pins: map[crux.Checksum]int{}}}
	registry := &rpctest.Registry{}
	registry.Set(true)
	w.cfg = picket.Config{
		ID: me.ID, Dir: dir, Confab: &rpctest.Node{Self: me, View: members}, Registry: registry, Members: members,
		KeysFor: ring.For, EndpointKey: ring.PublicKey, Publisher: w.rows, Artifacts: w.art, Self: path,
		Drain: 50 * time.Millisecond, KillAfter: 2 * time.Second, MinBackoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
	}
	return w, nil
}

// dirFor is short, for sockets' paths are.
func dirFor(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newAddr() string {
	n := lastAddr.Add(1)
	return fmt.Sprintf("127.%d.%d.%d:7000", 1+os.Getpid()%250, os.Getpid()/250%250, n)
}

// open gives a world with a Picket that ends, with its children, with the test.
func open(t *testing.T, change func(*world)) (*world, *picket.Picket) {
	t.Helper()
	w, err := newWorld(dirFor(t), newAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ring.Close() })
	w.cfg.Log = logTo(t)
	if change != nil {
		change(w)
	}
	p, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, w, p) })
	return w, p
}

// shutdown ends all children and shows their logs if the test failed.
func shutdown(t *testing.T, w *world, p *picket.Picket) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if !t.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(w.cfg.Dir, "log", "*"))
	for _, l := range logs {
		b, _ := os.ReadFile(l)
		t.Logf("%s:\n%s", filepath.Base(l), b)
	}
}

// logTo is a log that the test shows, until it ends.
func logTo(t *testing.T) *slog.Logger {
	w := &testLog{t: t}
	t.Cleanup(func() { w.mu.Lock(); defer w.mu.Unlock(); w.t = nil })
	return slog.New(slog.NewTextHandler(w, nil))
}

type testLog struct {
	mu sync.Mutex
	t  *testing.T
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// unit is an executable unit that runs function f.
func unit(inst crux.Inst, f string) crux.Unit {
	_, sum := self()
	return crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.Executable, Checksum: sum, Func: f}
}

func builtin(inst crux.Inst, f string) crux.Unit {
	return crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.Builtin, Func: f}
}

func start(t *testing.T, p *picket.Picket, u crux.Unit) {
	t.Helper()
	if err := p.Start(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// status finds a unit; the zero status if there is none.
func status(p *picket.Picket, inst crux.Inst) crux.UnitStatus {
	for _, s := range p.Units() {
		if s.Inst == inst {
			return s
		}
	}
	return crux.UnitStatus{}
}

func untilServing(t *testing.T, w *world, p *picket.Picket, inst crux.Inst) crux.UnitStatus {
	t.Helper()
	until(t, string(inst)+" serves", func() bool { return status(p, inst).State == "serving" && w.rows.serving(inst) == 1 })
	return status(p, inst)
}
