package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"fulcrum.example/crux"
	"fulcrum.example/picket/run"
	"fulcrum.example/protos/node"
)

const patience = 30 * time.Second

// buildDir is where artifacts builds, for the life of the test binary.
var buildDir string

// artifacts builds, once, a host and the plugins for it, with the flags with
// which the tests were built.
var artifacts = sync.OnceValues(func() (built, error) {
	dir := buildDir
	b := built{dir, filepath.Join(dir, "fulcrum"), filepath.Join(dir, "plugin.so"), filepath.Join(dir, "stranger.so"), filepath.Join(dir, "service")}
	if err := build(".", b.fulcrum, "", "./testdata/fulcrum"); err != nil {
		return b, err
	}
	if err := build(".", b.service, "", "./testdata/service"); err != nil {
		return b, err
	}
	// By the file's name, as the documentation has it.
	if err := build(".", b.plugin, "plugin", "testdata/plugin/main.go"); err != nil {
		return b, err
	}
	src := filepath.Join(dir, "src")
	for name, text := range stranger {
		p := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			return b, err
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			return b, err
		}
	}
	return b, build(src, b.stranger, "plugin", ".")
})

type built struct{ dir, fulcrum, plugin, stranger, service string }

// stranger is a plugin that uses another golang.org/x/sys than fulcrum does.
var stranger = map[string]string{
	"go.mod":  "module stranger.example\n\ngo 1.26\n\nrequire golang.org/x/sys v0.1.0\n\nreplace golang.org/x/sys => ./sys\n",
	"main.go": "package main\n\nimport \"golang.org/x/sys/unix\"\n\nvar Number = unix.Number\n\nfunc main() {}\n",

	"sys/go.mod":       "module golang.org/x/sys\n\ngo 1.26\n",
	"sys/unix/unix.go": "package unix\n\nconst Number = 1\n",
}

func build(dir, out, mode string, pkg string) error {
	args := []string{"build", "-o", out}
	if mode != "" {
		args = append(args, "-buildmode="+mode)
	}
	if own, ok := debug.ReadBuildInfo(); ok && setting(own, "-race") == "true" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if buildDir, err = os.MkdirTemp("", "fulcrum-host-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(buildDir)
		return m.Run()
	}())
}

// world is a child's spec and the node that it attaches to.
type world struct {
	run.Spec
	fakeNode
}

func newWorld(t testing.TB, artifact, function string) *world {
	t.Helper()
	b, err := artifacts()
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("", "host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if !filepath.IsAbs(artifact) {
		artifact = filepath.Join(b.dir, artifact)
	}
	bytes, err := os.ReadFile(artifact)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Spec: run.Spec{
		Self: b.fulcrum, Artifact: artifact,
		Unit: crux.Unit{Horde: crux.DefaultHorde, API: "beat1", Inst: "beat1_2", Kind: crux.Plugin,
			Checksum: sha256.Sum256(bytes), Func: function},
		Dir: filepath.Join(base, "beat1"), Log: filepath.Join(base, "log"),
		Socket: filepath.Join(base, "sockets", "s"), Token: [32]byte{7},
	}}
	for _, d := range []string{w.Dir, filepath.Dir(w.Socket)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.fakeNode = fakeNode{unit: w.Unit, token: hex.EncodeToString(w.Token[:]), beats: make(chan *node.Fservice, 8), quit: make(chan struct{})}
	l, err := net.Listen("unix", w.Socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	node.RegisterNodeServer(s, &w.fakeNode)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) start(t testing.TB) *run.Child {
	t.Helper()
	c, err := run.Start(w.Spec)
	if err != nil {
		t.Fatalf("%v\nlog: %s", err, w.log())
	}
	t.Cleanup(func() {
		if err := c.Signal(syscall.SIGKILL); err == nil {
			<-c.Done()
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (w *world) log() string {
	b, err := os.ReadFile(w.Log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// fakeNode is the least that a node says to a child: who it is, that it is alone
// in its flock, and quit.
type fakeNode struct {
	node.UnimplementedNodeServer
	unit  crux.Unit
	token string
	beats chan *node.Fservice
	quit  chan struct{}
}

func (n *fakeNode) Attach(s node.Node_AttachServer) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	if got := md.Get("fulcrum-token"); len(got) != 1 || got[0] != n.token {
		return status.Errorf(codes.Unauthenticated, "token %q", got)
	}
	err := s.Send(&node.FromNode{Msg: &node.FromNode_Info{Info: &node.Info{Node: make([]byte, 8), Addr: "127.0.0.1:1",
		Service: string(n.unit.Inst), Horde: string(n.unit.Horde), Dir: "/", Func: n.unit.Func}}})
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() {
		for {
			m, err := s.Recv()
			if err != nil {
				received <- err
				return
			}
			for _, b := range m.GetBeats() {
				select {
				case n.beats <- b:
				default:
				}
			}
		}
	}()
	select {
	case <-n.quit:
		if err := s.Send(&node.FromNode{Msg: &node.FromNode_Quit{Quit: &node.Quit{DeadlineMs: 5000}}}); err != nil {
			return err
		}
		return <-received
	case err := <-received:
		return err
	}
}

func (n *fakeNode) WatchMembers(_ *node.WatchMembersRequest, s node.Node_WatchMembersServer) error {
	if err := s.Send(&node.View{Bloc: "test", Flock: make([]byte, 16), Self: make([]byte, 8), Leader: make([]byte, 8)}); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}
