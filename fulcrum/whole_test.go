package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
	"fulcrum.example/fulcrum/operator"
	"fulcrum.example/picket"
)

// What the tests of the whole system have in common: real fulcrum processes on
// loopback nets of their own, ended and looked for when the test ends, however
// it ends.

// patience bounds every wait of these tests; the machine may be busy.
const patience = 90 * time.Second

// whole begins a test that runs real processes.
func whole(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real fulcrum processes: left out with -short")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // the first builds included
	t.Cleanup(cancel)
	return ctx
}

var nets atomic.Uint32

// testNet is a loopback network for one test.
func testNet() netip.Prefix {
	a := netip.AddrFrom4([4]byte{127, byte(64 + os.Getpid()%128), byte(nets.Add(1)), 0})
	return netip.PrefixFrom(a, 24)
}

// hostOf is an address of a network, by its last byte.
func hostOf(net netip.Prefix, last byte) netip.Addr {
	b := net.Addr().As4()
	b[3] = last
	return netip.AddrFrom4(b)
}

// makeBloc makes a bloc that is not started, and sees to its end.
func makeBloc(t *testing.T, o local.Options) *local.Bloc {
	t.Helper()
	o.Exe = binary
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if !o.Net.IsValid() {
		o.Net = testNet()
	}
	b, err := local.Create(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range b.Nodes {
			if t.Failed() && n.PID() != 0 {
				t.Logf("%s, the end of its log:\n%s", n.Name, n.LogTail(25))
			}
			endNode(t, n)
		}
		b.Close()
		nothingRuns(t, o.Dir)
	})
	return b
}

// endNode kills a node and what it ran.
func endNode(t *testing.T, n *local.Node) {
	t.Helper()
	if n.Running() {
		if err := n.Kill(); err != nil {
			t.Error(err)
		}
	}
	killServices(t, n.Dir)
}

// killServices kills the services that the fulcrum of a data folder ran.
func killServices(t *testing.T, dir string) {
	t.Helper()
	for _, pid := range picket.Recorded(dir) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// killProcesses kills what a test that failed has left: the processes that name
// its own folder.
func killProcesses(t *testing.T, dir string) {
	t.Helper()
	for _, p := range processesOf(dir) {
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// nothingRuns fails the test if a process still has to do with dir, and leaves
// none in any case.
func nothingRuns(t *testing.T, dir string) {
	t.Helper()
	if t.Failed() {
		killProcesses(t, dir)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := local.Poll(ctx, func(context.Context) string {
		if left := processesOf(dir); len(left) > 0 {
			return fmt.Sprintf("the end of %v", left)
		}
		return ""
	}); err != nil {
		t.Error(err)
		killProcesses(t, dir)
	}
}

// running is a process.
type running struct {
	pid  int
	args string
}

func (r running) String() string { return fmt.Sprintf("process %d (%s)", r.pid, r.args) }

// processesOf lists the processes whose command line, environment or folder
// names dir.
func processesOf(dir string) (list []running) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		panic(err) // these tests are for Linux
	}
	for _, e := range procs {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// What cannot be read is not ours, or is gone.
		p := filepath.Join("/proc", e.Name())
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(p, "environ"))
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(args, []byte(dir)) || bytes.Contains(env, []byte(dir)) || strings.HasPrefix(cwd, dir) {
			list = append(list, running{pid, string(bytes.ReplaceAll(args, []byte{0}, []byte{' '}))})
		}
	}
	return list
}

// startBloc starts a bloc of n nodes and waits until it is ready.
func startBloc(ctx context.Context, t *testing.T, n int) (*local.Bloc, local.State) {
	t.Helper()
	b := makeBloc(t, local.Options{Nodes: n})
	startAll(t, b)
	return b, ready(ctx, t, b)
}

func startAll(t *testing.T, b *local.Bloc) {
	t.Helper()
	for _, n := range b.Nodes {
		if err := b.Start(n); err != nil {
			t.Fatal(err)
		}
	}
}

// ready waits until all running nodes are one flock with a whole registry.
func ready(ctx context.Context, t *testing.T, b *local.Bloc) local.State {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := b.AwaitReady(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until f finds nothing missing.
func eventually(ctx context.Context, t *testing.T, f func(ctx context.Context) (missing string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := local.Poll(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// ask asks the node at a socket or data folder one thing.
func ask[T any](ctx context.Context, at string, f func(c *operator.Client, ctx context.Context) (T, error)) (T, error) {
	var none T
	c, err := operator.Dial(at)
	if err != nil {
		return none, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return f(c, ctx)
}

func status(ctx context.Context, at string) (operator.Status, error) {
	return ask(ctx, at, (*operator.Client).Status)
}

// hinted waits until a node's status has a hint that matches.
func hinted(ctx context.Context, t *testing.T, at, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(ctx, t, func(ctx context.Context) string {
		s, err := status(ctx, at)
		if err != nil {
			return err.Error()
		}
		var have []string
		for _, h := range s.Hints {
			if re.MatchString(h.Text) {
				return ""
			}
			have = append(have, h.Text)
		}
		return fmt.Sprintf("%s to hint at %q; it hints %q", at, pattern, have)
	})
}

// serving says where an instance serves, as a node's registry has it.
func serving(ctx context.Context, at string, inst crux.Inst) (map[crux.NodeID]crux.NetID, error) {
	rows, err := ask(ctx, at, func(c *operator.Client, ctx context.Context) ([]operator.Service, error) {
		return c.Services(ctx, crux.Selector{Inst: inst})
	})
	out := map[crux.NodeID]crux.NetID{}
	for _, r := range rows {
		if r.Status == crux.Serving.String() {
			out[r.Node] = r.NetID
		}
	}
	return out, err
}

// servedBy waits until every running node of a bloc knows n replicas of inst.
func servedBy(ctx context.Context, t *testing.T, b *local.Bloc, inst crux.Inst, n int) {
	t.Helper()
	eventually(ctx, t, func(ctx context.Context) string {
		for _, node := range b.Nodes {
			if !node.Running() {
				continue
			}
			at, err := serving(ctx, node.Dir, inst)
			switch {
			case err != nil:
				return err.Error()
			case len(at) != n:
				return fmt.Sprintf("%s to know %d replicas of %s, and not %d", node.Name, n, inst, len(at))
			}
		}
		return ""
	})
}

// unit finds what a node's picket runs under a name.
func unit(ctx context.Context, at string, inst crux.Inst) (operator.Unit, error) {
	units, err := ask(ctx, at, (*operator.Client).Units)
	for _, u := range units {
		if u.Inst == string(inst) {
			return u, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%s runs no %s", at, inst)
	}
	return operator.Unit{}, err
}

// runners are the nodes that run an instance, by the process that serves it.
func runners(ctx context.Context, t *testing.T, b *local.Bloc, inst crux.Inst) map[*local.Node]int {
	t.Helper()
	out := map[*local.Node]int{}
	for _, n := range b.Nodes {
		if u, err := unit(ctx, n.Dir, inst); err == nil && u.PID != 0 {
			out[n] = u.PID
		}
	}
	return out
}

// artifact builds one of the examples, once for all tests.
func artifact(t *testing.T, name string, flags ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	out := filepath.Join(filepath.Dir(binary), name)
	if _, err := os.Stat(out); err == nil {
		return out
	}
	src := "./examples/galumph/" + name
	if filepath.Ext(name) == ".so" {
		src = "./examples/galumph/plugin/main.go"
	}
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), src)...)
	cmd.Dir = ".."
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return out
}

var builds sync.Mutex

// cli runs fulcrum commands against one node.
type cli struct {
	t   *testing.T
	env []string
}

// commands talk to a node of a bloc, with the bloc's key.
func commands(t *testing.T, n *local.Node) cli {
	return cli{t, []string{"FULCRUM_NODE=" + n.Socket(), "FULCRUM_SIGN_KEY=" + filepath.Join(filepath.Dir(n.Dir), local.OperatorKey)}}
}

// run runs a command until it ends.
func (c cli) run(args ...string) (stdout, stderr string, exit int) {
	c.t.Helper()
	return c.runWith("", args...)
}

// runWith is run with standard input.
func (c cli) runWith(in string, args ...string) (stdout, stderr string, exit int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), c.env...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) || ctx.Err() != nil {
		c.t.Fatalf("fulcrum %s: %v %v\n%s%s", strings.Join(args, " "), err, ctx.Err(), &out, &errs)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ok runs a command that must succeed, and gives what it printed.
func (c cli) ok(args ...string) string {
	c.t.Helper()
	out, errs, exit := c.run(args...)
	if exit != 0 {
		c.t.Fatalf("fulcrum %s: exit status %d\n%s%s", strings.Join(args, " "), exit, out, errs)
	}
	return out
}

// fails runs a command that must fail with one clear line that matches.
func (c cli) fails(exit int, pattern string, args ...string) {
	c.t.Helper()
	out, errs, got := c.run(args...)
	switch {
	case got != exit:
		c.t.Errorf("fulcrum %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, exit, out, errs)
	case !regexp.MustCompile(pattern).MatchString(errs):
		c.t.Errorf("fulcrum %s says %q, which does not match %q", strings.Join(args, " "), errs, pattern)
	case exit == 1 && strings.Count(logLines.ReplaceAllString(errs, ""), "\n") != 1, strings.Contains(errs, "goroutine "):
		c.t.Errorf("fulcrum %s says more than a line:\n%s", strings.Join(args, " "), errs)
	}
}

// logLines are what a node logs: they come beside what its command says.
var logLines = regexp.MustCompile(`(?m)^time=.*\n`)

// publish publishes an example service.
func (c cli) publish(path string, inst crux.Inst, function string) {
	c.t.Helper()
	c.ok("publish", path, "--inst", string(inst), "--func", function)
}

// rollout rolls out to so many nodes and waits for it.
func (c cli) rollout(inst crux.Inst, count int) {
	c.t.Helper()
	c.ok("rollout", string(inst), "--count", strconv.Itoa(count), "--timeout", "35s")
}

// galumph is the example service's version 2.3, published and rolled out.
func (c cli) galumph(count int) {
	c.t.Helper()
	c.publish(artifact(c.t, "galumph2_3"), "galumph2_3", "Galumph2_3")
	c.rollout("galumph2_3", count)
}

// process is a fulcrum that a test started with a command line of its own.
type process struct {
	cmd  *exec.Cmd
	out  string // file with what it prints
	done chan struct{}
	err  error // after done
}

// start starts a fulcrum, which is killed when the test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), out: filepath.Join(t.TempDir(), "out"), done: make(chan struct{})}
	out, err := os.Create(p.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("%v:\n%s", args, p.text(t))
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// text is what it has printed so far.
func (p *process) text(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// says waits until it has printed something that matches.
func (p *process) says(ctx context.Context, t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(ctx, t, func(context.Context) string {
		if text := p.text(t); !re.MatchString(text) {
			return fmt.Sprintf("it to say %q; it says:\n%s", pattern, text)
		}
		return ""
	})
}

// ends asks the process to end, which it must do with status 0.
func (p *process) ends(ctx context.Context, t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("%v: %v\n%s", p.cmd.Args, p.err, p.text(t))
		}
	case <-ctx.Done():
		t.Errorf("%v does not end\n%s", p.cmd.Args, p.text(t))
	}
}

// calls is what the example's client counted.
type calls struct {
	Calls     int64            `json:"calls"`
	Failed    int64            `json:"failed"`
	ByInst    map[string]int64 `json:"by_inst"`
	LastError string           `json:"last_error"`
	Final     bool             `json:"final"`
}

// caller is the example's client, which calls until it is told to stop.
type caller struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// call starts the example's client, attached to a node.
func call(t *testing.T, n *local.Node) *caller {
	t.Helper()
	c := &caller{cmd: exec.Command(artifact(t, "client"), "-socket", n.Socket(), "-report", "1h")}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, os.Stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait() // it was killed, and says so
		}
	})
	return c
}

// stop ends the client and gives its counts.
func (c *caller) stop(t *testing.T) (n calls) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("client: %v\n%s", err, &c.out)
	}
	lines := strings.Split(strings.TrimSpace(c.out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &n); err != nil || !n.Final {
		t.Fatalf("client: %v\n%s", err, &c.out)
	}
	return n
}
