package socket_test

import (
	"context"
	"crypto/ed25519"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/crux/wire"
	"fulcrum.example/picket/socket"
	"fulcrum.example/protos/node"
	"fulcrum.example/reeve/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const inst = crux.Inst("galumph2_3")

var token = strings.Repeat("ab", 32)

// world is a node's part of a socket, with real keys.
type world struct {
	cfg     socket.Config
	members *rpctest.Members
	rows    *rpctest.Registry
	ring    *keys.Ring
	policy  *rpctest.Policy
	me      crux.Member
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{rows: &rpctest.Registry{}, policy: rpctest.NewPolicy("test"),
		me: rpctest.MemberOf(rpctest.NodeKey(0), netip.MustParseAddrPort("127.0.0.1:7000"))}
	w.policy.Enrol(w.me.Key, true)
	w.policy.Allow("counter", "galumph2", true)
	w.members = rpctest.NewMembers(w.me.ID, w.me)
	w.rows.Set(true)
	var err error
	if w.ring, err = keys.New(keys.Config{NodeKey: rpctest.NodeKey(0), Policy: w.policy, Members: w.members}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ring.Close() })
	w.cfg = socket.Config{
		ID: w.me.ID, Addr: w.me.Addr, Registry: w.rows, Members: w.members, KeysFor: w.ring.For,
		Lease: 7 * time.Second, Dir: t.TempDir(), Taken: func(n string) bool { return n == "galumph2" },
	}
	return w
}

func (w *world) endpoint() crux.Endpoint {
	return crux.Endpoint{Node: w.me.ID, Horde: crux.DefaultHorde, Inst: inst, NetID: "127.0.0.1:9"}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "so")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serveChild serves a child's socket; its beats come out of the channel.
func serveChild(t *testing.T, w *world) (string, *socket.Child, <-chan []crux.Fservice) {
	t.Helper()
	path := filepath.Join(shortDir(t), "run", "c.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	beats := make(chan []crux.Fservice, 10)
	c := socket.Serve(l, w.cfg, socket.ChildConfig{
		Unit: crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.Executable, Func: "Galumph2_3"},
		Dir:  "/svc/galumph2", Token: token, Beats: func(b []crux.Fservice) { beats <- b },
	})
	t.Cleanup(c.Close)
	return path, c, beats
}

// serveNode serves attached clients.
func serveNode(t *testing.T, w *world) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "f.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := socket.NewServer(nil)
	socket.Register(s, w.cfg)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return path
}

func dial(t *testing.T, path string) node.NodeClient {
	t.Helper()
	c, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return node.NewNodeClient(c)
}

func with(t *testing.T, kv ...string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, kv...)
}

// calls are all calls of the contract, each as somebody without standing.
func calls(ctx context.Context, c node.NodeClient) map[string]error {
	out := map[string]error{}
	s, err := c.Attach(ctx)
	if err == nil {
		_, err = s.Recv()
	}
	out["Attach"] = err
	r, err := c.WatchRegistry(ctx, &node.Selector{})
	if err == nil {
		_, err = r.Recv()
	}
	out["WatchRegistry"] = err
	m, err := c.WatchMembers(ctx, &node.WatchMembersRequest{})
	if err == nil {
		_, err = m.Recv()
	}
	out["WatchMembers"] = err
	v, err := c.WatchRevoked(ctx, &node.WatchRevokedRequest{})
	if err == nil {
		_, err = v.Recv()
	}
	out["WatchRevoked"] = err
	_, out["Credential"] = c.Credential(ctx, &node.CredentialRequest{})
	_, out["SignHandshake"] = c.SignHandshake(ctx, &node.SignHandshakeRequest{})
	_, out["Admit"] = c.Admit(ctx, &node.AdmitRequest{})
	_, out["Sign"] = c.Sign(ctx, &node.SignRequest{})
	_, out["Verify"] = c.Verify(ctx, &node.VerifyRequest{})
	return out
}

func TestEveryCallWantsTheToken(t *testing.T) {
	w := newWorld(t)
	path, child, _ := serveChild(t, w)
	c := dial(t, path)
	for name, md := range map[string][]string{
		"none": nil, "another": {"fulcrum-token", strings.Repeat("ac", 32)}, "its beginning": {"fulcrum-token", token[:63]},
		"empty": {"fulcrum-token", ""}, "two": {"fulcrum-token", token, "fulcrum-token", token}, "a name": {"fulcrum-caller", "counter"},
	} {
		for call, err := range calls(with(t, md...), c) {
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("token %s: %s says %v", name, call, err)
			}
		}
	}
	select {
	case <-child.Attached():
		t.Error("somebody counts as attached")
	default:
	}
	for call, err := range calls(with(t, "fulcrum-token", token), c) {
		if status.Code(err) == codes.Unauthenticated {
			t.Errorf("the right token: %s says %v", call, err)
		}
	}
	<-child.Attached()
}

func TestCallersNames(t *testing.T) {
	w := newWorld(t)
	c := dial(t, serveNode(t, w))
	for name, want := range map[string]codes.Code{
		"fulcrum": codes.PermissionDenied, "galumph2": codes.PermissionDenied, "": codes.InvalidArgument,
		"Big": codes.InvalidArgument, "../x": codes.InvalidArgument,
	} {
		for call, err := range calls(with(t, "fulcrum-caller", name), c) {
			if status.Code(err) != want {
				t.Errorf("%q: %s says %v", name, call, err)
			}
		}
	}
	for call, err := range calls(with(t), c) {
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("no name: %s says %v", call, err)
		}
	}
	if _, err := os.Stat(filepath.Join(w.cfg.Dir, "..", "x")); err == nil {
		t.Error("a folder was made for a refused name")
	}
}

func TestAttachedClient(t *testing.T) {
	w := newWorld(t)
	path := serveNode(t, w)
	ctx := with(t)
	n, err := service.Attach(ctx, path, "counter")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.ID() != w.me.ID || n.Addr() != w.me.Addr || n.Service() != "counter" || n.Horde() != crux.DefaultHorde {
		t.Errorf("it is told that it is %s of %s on %s at %s", n.Service(), n.Horde(), n.ID(), n.Addr())
	}
	if st, err := os.Stat(n.Dir()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v", st, err)
	}
	if v := n.Members().View(); len(v.Members) != 1 || v.Members[0].ID != w.me.ID {
		t.Errorf("members are %+v", v)
	}
	w.rows.Put(w.endpoint(), crux.Serving)
	sel := crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"}
	for snap := range n.Registry().Watch(ctx, sel) {
		if len(snap.Rows) == 1 && snap.Rows[0].Inst == inst {
			break
		}
	}
	testKeys(t, w, n.Keys(), w.ring.For(string(inst), crux.DefaultHorde))
	revoked := n.Keys().Revoked()
	w.ring.PolicyChanged()
	select {
	case <-revoked:
	case <-ctx.Done():
		t.Error("the client did not hear of a revocation")
	}
	// A client serves nothing.
	c := dial(t, path)
	s, err := c.Attach(with(t, "fulcrum-caller", "counter"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&node.FromChild{Beats: []*node.Fservice{{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a client's beat: %v", err)
	}
}

// testKeys makes a client's credential through a socket, and has it admitted.
func testKeys(t *testing.T, w *world, client, server crux.Keys) {
	t.Helper()
	ctx := with(t)
	cred, err := client.Client(ctx, w.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	hello := []byte(strings.Repeat(" ", 64) + "TLS 1.3, client CertificateVerify\x00" + strings.Repeat("h", 32))
	sig, err := cred.Signer.Sign(nil, hello, nil)
	if err != nil || !ed25519.Verify(cred.Signer.Public().(ed25519.PublicKey), hello, sig) {
		t.Errorf("the node's signature: %v", err)
	}
	if _, err := cred.Signer.Sign(nil, []byte("anything else"), nil); crux.KindOf(err) != crux.Denied {
		t.Errorf("the node signed what is no handshake: %v", err)
	}
	peer, err := server.AdmitClient(ctx, cred.Certificate, w.endpoint())
	if err != nil || peer.Caller != "counter" || peer.Node != w.me.ID {
		t.Errorf("admitted is %+v, %v", peer, err)
	}
	at, err := server.Server(ctx, w.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AdmitServer(ctx, at.Certificate, w.endpoint()); err != nil {
		t.Error(err)
	}
	label := crux.LabelService + "counter"
	if sig, err = client.Sign(ctx, label, []byte("m")); err != nil {
		t.Logf("a client that is no service signs nothing: %v", err)
	} else if err := client.Verify(ctx, w.me.ID, label, []byte("m"), sig); err != nil {
		t.Error(err)
	}
}

func TestHandlesAreTheCallersOwn(t *testing.T) {
	w := newWorld(t)
	c := dial(t, serveNode(t, w))
	mine := with(t, "fulcrum-caller", "counter")
	r, err := c.Credential(mine, &node.CredentialRequest{Endpoint: wire.EndpointTo(w.endpoint())})
	if err != nil {
		t.Fatal(err)
	}
	hello := []byte(strings.Repeat(" ", 64) + "TLS 1.3, client CertificateVerify\x00" + strings.Repeat("h", 32))
	ask := &node.SignHandshakeRequest{Handle: r.GetHandle(), Message: hello}
	if _, err := c.SignHandshake(mine, ask); err != nil {
		t.Error(err)
	}
	if _, err := c.SignHandshake(with(t, "fulcrum-caller", "other"), ask); status.Code(err) != codes.NotFound {
		t.Errorf("another's handle: %v", err)
	}
	serve := &node.CredentialRequest{Server: true, Endpoint: wire.EndpointTo(w.endpoint())}
	if _, err := c.Credential(mine, serve); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a client gets a server's key: %v", err)
	}
}

func TestLifeLine(t *testing.T) {
	w := newWorld(t)
	path, child, beats := serveChild(t, w)
	c := dial(t, path)
	ctx := with(t, "fulcrum-token", token)
	s, err := c.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Recv()
	if i := m.GetInfo(); err != nil || i.GetService() != string(inst) || i.GetFunc() != "Galumph2_3" || i.GetLease() != "7s" || i.GetDir() != "/svc/galumph2" {
		t.Fatalf("info is %v, %v", m, err)
	}
	now := time.Now()
	beat := wire.FserviceTo(crux.Fservice{Horde: "default", API: inst.API(), Inst: inst, NetID: "127.0.0.1:9", Issued: now, ValidUntil: now.Add(time.Second), Status: crux.Serving})
	if err := s.Send(&node.FromChild{Beats: []*node.Fservice{{Inst: "no"}, beat}}); err != nil {
		t.Fatal(err)
	}
	if b := <-beats; len(b) != 1 || b[0].Inst != inst || child.Malformed() != 1 {
		t.Errorf("beats are %v, %d malformed", b, child.Malformed())
	}
	child.Quit(time.Now().Add(5 * time.Second))
	child.Quit(time.Now().Add(time.Hour)) // once is enough
	if m, err = s.Recv(); err != nil || m.GetQuit().GetDeadlineMs() > 5000 || m.GetQuit().GetDeadlineMs() < 1000 {
		t.Errorf("quit is %v, %v", m, err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Recv(); err == nil {
		t.Errorf("after the end came %v", m)
	}
	// Who attaches late hears it too.
	if s, err = c.Attach(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m, err = s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if m.GetQuit() == nil {
		t.Errorf("the second message is %v", m)
	}
}

func TestPanickingHandlersAreSurvived(t *testing.T) {
	w := newWorld(t)
	w.cfg.KeysFor = func(string, crux.Horde) crux.Keys { panic("on purpose") }
	c := dial(t, serveNode(t, w))
	for call, err := range calls(with(t, "fulcrum-caller", "counter"), c) {
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "on purpose") {
			t.Errorf("%s says %v", call, err)
		}
	}
}

func TestListen(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "run", "a.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, st, err)
		}
	}
	// What a killed process leaves is replaced.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if l, err = socket.Listen(path); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays after Close: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Listen(file); crux.KindOf(err) != crux.Conflict {
		t.Errorf("a file in the way: %v", err)
	}
	if _, err := socket.Listen(filepath.Join(dir, strings.Repeat("x", 120))); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a long path: %v", err)
	}
}

// TestOtherUsersAreRefused needs a process of another user: only root can make
// one.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	w := newWorld(t)
	path := serveNode(t, w)
	if err := os.Chmod(path, 0o666); err != nil { // the kernel's word alone
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { // on a thread of its own, which ends with the goroutine
		runtime.LockOSThread()
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); e != 0 {
			done <- e
			return
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(make([]byte, 1))
		if n > 0 || os.IsTimeout(err) {
			done <- crux.Errorf("read", crux.Internal, "the node spoke: %d bytes, %v", n, err)
			return
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
