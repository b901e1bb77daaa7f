package run

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fulcrum.example/crux"
)

const patience = 20 * time.Second

// hangCommand has this binary start a child and stay, to be killed.
const hangCommand = "start-and-hang"

// leadEnv has it take a leader's priority before.
const leadEnv = "TEST_LEAD"

// probe is the path of the built testdata/probe.
var probe string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case LaunchCommand:
			LaunchMain(os.Args[2:])
		case hangCommand:
			startAndHang()
		}
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "fulcrum-run-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		probe = filepath.Join(dir, "probe")
		build := exec.Command("go", "build", "-o", probe, "./testdata/probe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build probe: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// startAndHang is a fulcrum that will be killed: it starts what its standard
// input says, prints the child's name, and waits.
func startAndHang() {
	var s Spec
	err := json.NewDecoder(os.Stdin).Decode(&s)
	if os.Getenv(leadEnv) != "" {
		err = errors.Join(err, PreferNode(true))
	}
	var c *Child
	if err == nil {
		c, err = Start(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.PID(), c.StartTime())
	select {}
}

func fileSum(t testing.TB, path string) crux.Checksum {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// world is a spec for a child in folders of its own, and its node's socket.
type world struct {
	Spec
	node *net.UnixListener
}

func newWorld(t testing.TB, artifact string) *world {
	t.Helper()
	base, err := os.MkdirTemp("", "run-") // t.TempDir's is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Spec: Spec{
		Self: self, Artifact: artifact,
		Unit: crux.Unit{Horde: crux.DefaultHorde, API: "probe1", Inst: "probe1_0",
			Kind: crux.Executable, Checksum: fileSum(t, artifact)},
		Dir: filepath.Join(base, "own"), Log: filepath.Join(base, "logs", "probe.log"),
		Socket: filepath.Join(base, "sockets", "s"), Token: [32]byte{1, 0xab},
	}}
	for _, d := range []string{w.Dir, filepath.Dir(w.Log), filepath.Dir(w.Socket)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if w.node, err = net.ListenUnix("unix", &net.UnixAddr{Name: w.Socket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.node.Close() })
	return w
}

// start starts the child and ends it with the test.
func (w *world) start(t testing.TB) *Child {
	t.Helper()
	c, err := Start(w.Spec)
	if err != nil {
		t.Fatalf("%v\nlog: %s", err, w.log(t))
	}
	t.Cleanup(func() { end(t, c) })
	return c
}

// end kills a child, waits, and closes it.
func end(t testing.TB, c *Child) {
	if err := c.Signal(syscall.SIGKILL); err == nil {
		waitDone(t, c)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func waitDone(t testing.TB, c *Child) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatalf("process %d has not ended after %v", c.PID(), patience)
	}
}

func (w *world) log(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(w.Log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// facts mirrors what testdata/probe says of itself.
type facts struct {
	Args, Env   []string
	Dir, Token  string
	Descriptors map[string]string
	Status      string
	SID, PID    int
	Umask       int
	Core, Files uint64
	Append      bool
}

// talk is the connection to a running probe.
type talk struct {
	facts
	conn net.Conn
	in   *bufio.Reader
}

// meet waits for the probe to dial in.
func (w *world) meet(t testing.TB) *talk {
	t.Helper()
	if err := w.node.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := w.node.Accept()
	if err != nil {
		t.Fatalf("the probe did not dial: %v\nlog: %s", err, w.log(t))
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	k := &talk{conn: c, in: bufio.NewReader(c)}
	line, err := k.in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &k.facts)
	}
	if err != nil {
		t.Fatalf("facts: %v", err)
	}
	return k
}

// tell has the probe do something and gives its answer, "ok" or an error.
func (k *talk) tell(t testing.TB, words ...any) string {
	t.Helper()
	k.say(t, words...)
	line, err := k.in.ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return strings.TrimSpace(line)
}

func (k *talk) say(t testing.TB, words ...any) {
	t.Helper()
	if _, err := fmt.Fprintln(k.conn, words...); err != nil {
		t.Fatal(err)
	}
}

// startBy has another fulcrum, a command that hangs when it has done so, start the
// child of w, and gives the child's name.
func (w *world) startBy(t *testing.T, other *exec.Cmd) (pid int, start uint64) {
	t.Helper()
	input, err := json.Marshal(w.Spec)
	if err != nil {
		t.Fatal(err)
	}
	other.Stdin, other.Stderr = strings.NewReader(string(input)), os.Stderr
	out, err := other.StdoutPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // if the test has not
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	line, readErr := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscan(line, &pid, &start); err != nil {
		t.Fatalf("%q: %v, %v", line, err, readErr)
	}
	return pid, start
}
