// Package local runs a bloc on this machine: several real fulcrum processes on
// loopback addresses, one folder each. 'fulcrum dev' and 'fulcrum demo' stand on
// it, and so do tests of the whole system. It belongs to the composition.
//
// A Bloc has one owner; its methods are not safe for several goroutines, except
// that Kill and Signal may be called at any time.
package local

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock/node"
	"fulcrum.example/fulcrum/operator"
	"fulcrum.example/picket"
)

// Options say what bloc to run.
type Options struct {
	Exe   string       // the fulcrum binary
	Dir   string       // a folder for each node goes here; must be short (unix sockets)
	Net   netip.Prefix // node i has the i-th address after the first
	Port  uint16       // of all nodes; 0: one that is free on all of them
	Nodes int
	Store string   // artifact store; empty: a folder in Dir
	Env   []string // more environment, as NAME=VALUE
	Level string   // log level of the nodes
}

// Node is one node of the bloc: a process, while it runs.
type Node struct {
	Name string
	Addr netip.AddrPort
	Dir  string
	ID   crux.NodeID

	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{} // closed when the process has been waited for
	err   error         // how it ended
	ended bool          // Kill or Stop has ended it
}

// Bloc is the bloc on this machine.
type Bloc struct {
	Nodes []*Node
	Key   ed25519.PrivateKey // the operator's: signs what is published
	opts  Options
	lock  *os.File // held while this Bloc has its folder
}

// OperatorKey is the file in a bloc's folder with the key that publishes.
const OperatorKey = "operator.key"

// Create takes the folder, makes the keys, the bloc file and the nodes' folders
// in it, or finds those of an earlier run. It starts nothing. Two blocs cannot
// have one folder at the same time (Exists); Close gives it back.
func Create(o Options) (_ *Bloc, err error) {
	b := &Bloc{opts: o}
	if err := b.place(); err != nil {
		return nil, err
	}
	if err := b.take(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.opts.Store == "" {
		b.opts.Store = "dir:" + filepath.Join(o.Dir, "store")
	}
	if err := b.secondary(); err != nil {
		return nil, err
	}
	if b.Key, err = b.keyFile(OperatorKey, bloc.ParsePublisherKey, bloc.FormatPublisherKey); err != nil {
		return nil, err
	}
	return b, b.writeBlocFile()
}

// take makes the folder and locks it: the nodes of a bloc that runs in it must
// not find another bloc file there.
func (b *Bloc) take() (err error) {
	if err := os.MkdirAll(b.opts.Dir, 0o700); err != nil {
		return crux.Errorf("local bloc", crux.Denied, "%w", err)
	}
	if b.lock, err = os.OpenFile(b.path("lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return crux.Errorf("local bloc", crux.Denied, "%w", err)
	}
	if err := unix.Flock(int(b.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		b.Close()
		return crux.Errorf("local bloc", crux.Exists, "%s is in use by another bloc that is running: end that one, or choose another --dir", b.opts.Dir)
	}
	return nil
}

// Close gives the folder back. It ends no node.
func (b *Bloc) Close() { b.lock.Close() }

// place gives every node its address and folder.
func (b *Bloc) place() error {
	o := &b.opts
	if o.Nodes < 1 || o.Nodes > 250 {
		return crux.Errorf("local bloc", crux.Invalid, "%d nodes: want 1 to 250", o.Nodes)
	}
	if !o.Net.Addr().IsLoopback() || !o.Net.Addr().Is4() || o.Net.Bits() > 24 {
		return crux.Errorf("local bloc", crux.Invalid, "%v is not a loopback network such as 127.0.0.0/24", o.Net)
	}
	addrs := make([]netip.Addr, o.Nodes)
	at := o.Net.Masked().Addr()
	for i := range addrs {
		at = at.Next()
		addrs[i] = at
	}
	port, err := freePort(addrs, o.Port)
	if err != nil {
		return err
	}
	o.Port = port
	for i, a := range addrs {
		name := fmt.Sprintf("node%d", i+1)
		b.Nodes = append(b.Nodes, &Node{Name: name, Addr: netip.AddrPortFrom(a, port), Dir: filepath.Join(o.Dir, name)})
	}
	return nil
}

// freePort finds a port that is free on all addresses, for UDP and TCP, or says
// which address has the wanted one in use.
func freePort(addrs []netip.Addr, want uint16) (uint16, error) {
	var last error
	for range 50 {
		port := want
		if port == 0 {
			p, err := kernelPort(addrs[0])
			if err != nil {
				return 0, err
			}
			port = p
		}
		if last = allFree(addrs, port); last == nil {
			return port, nil
		}
		if want != 0 {
			break
		}
	}
	return 0, last
}

func kernelPort(a netip.Addr) (uint16, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return 0, crux.Errorf("local bloc", crux.Unavailable, "%w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port(), nil
}

func allFree(addrs []netip.Addr, port uint16) error {
	for _, a := range addrs {
		at := netip.AddrPortFrom(a, port)
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return inUse(at, err)
		}
		u.Close()
		t, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err != nil {
			return inUse(at, err)
		}
		t.Close()
	}
	return nil
}

func inUse(at netip.AddrPort, err error) error {
	return crux.Errorf("local bloc", crux.Exists, "address %v cannot be used (%w): does another bloc run on this net? choose another --net or --port", at, err)
}

// secondary makes the bloc's shared secret, if there is none yet.
func (b *Bloc) secondary() error {
	path := b.path("key")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	k, err := bloc.NewSecondary(rand.Reader)
	if err != nil {
		return err
	}
	return writeFile(path, k.Format()+"\n")
}

// keyFile reads a private key of the bloc's folder, or makes it.
func (b *Bloc) keyFile(name string, parse func([]byte) (ed25519.PrivateKey, error), format func(ed25519.PrivateKey) string) (ed25519.PrivateKey, error) {
	path := b.path(name)
	if text, err := os.ReadFile(path); err == nil {
		return parse(text)
	}
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return k, writeFile(path, format(k)+"\n")
}

// writeBlocFile lists the nodes' keys in a bloc file that allows every call:
// the next version of the one that is there, if it must differ.
func (b *Bloc) writeBlocFile() error {
	key, err := b.keyFile("bloc.key", bloc.ParseBlocKey, bloc.FormatBlocKey)
	if err != nil {
		return err
	}
	d := bloc.New("dev", "dev")
	d.Allow = []bloc.Rule{{Caller: bloc.Any, Horde: bloc.Any, API: bloc.Any}}
	d.Publishers, d.Need = []bloc.PublicKey{bloc.PublicKey(b.Key.Public().(ed25519.PublicKey))}, 1
	for _, n := range b.Nodes {
		k, err := node.LoadKey(n.Dir)
		if err != nil {
			return err
		}
		pub := k.Public().(ed25519.PublicKey)
		n.ID = crux.NodeIDOf(pub)
		d.Nodes = append(d.Nodes, bloc.PublicKey(pub))
	}
	if text, err := os.ReadFile(b.path("bloc.json")); err == nil {
		old, err := bloc.Parse(text)
		if err != nil {
			return crux.Wrap(b.path("bloc.json"), err)
		}
		if sameNodes(old, d) {
			return nil
		}
		d.Version = old.Version + 1
	}
	if err := d.Sign(key); err != nil {
		return err
	}
	text, err := d.Marshal()
	if err != nil {
		return err
	}
	return writeFile(b.path("bloc.json"), string(text))
}

// sameNodes says whether two bloc files of this folder list the same nodes.
func sameNodes(a, b *bloc.Document) bool {
	return slices.EqualFunc(a.Nodes, b.Nodes, func(x, y bloc.PublicKey) bool { return x.String() == y.String() })
}

func (b *Bloc) path(name string) string { return filepath.Join(b.opts.Dir, name) }

func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return crux.Errorf("local bloc", crux.Internal, "%w", err)
	}
	return nil
}

// Start starts a node's process. Its log goes to fulcrum.log in its folder.
func (b *Bloc) Start(n *Node) error {
	log, err := os.OpenFile(filepath.Join(n.Dir, "fulcrum.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return crux.Errorf("start "+n.Name, crux.Internal, "%w", err)
	}
	defer log.Close()
	level := b.opts.Level
	if level == "" {
		level = "info"
	}
	cmd := exec.Command(b.opts.Exe, "up", "--bloc", "dev", "--flock-name", "dev",
		"--addr", n.Addr.String(), "--data", n.Dir, "--key-file", b.path("key"), "--bloc-file", b.path("bloc.json"),
		"--candidates", b.opts.Net.Masked().String(), "--store", b.opts.Store, "--log-level", level)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cleanEnv(), b.opts.Env...)
	// A Ctrl-C in the terminal is for the command that runs the bloc, which then
	// ends the nodes in good order. And each is a session: the kernel shares the
	// processors out by sessions (autogroups), and each service has its own; all
	// nodes in one would get as little as one service.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return crux.Errorf("start "+n.Name, crux.Internal, "%w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.done, n.err, n.ended = cmd, make(chan struct{}), nil, false
	go n.wait(cmd, n.done)
	return nil
}

// wait ends with the process, and is its only waiter.
func (n *Node) wait(cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	n.mu.Lock()
	n.err = err
	n.mu.Unlock()
	close(done)
}

// cleanEnv is the environment without settings that were meant for this
// command and not for the nodes.
func cleanEnv() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "FULCRUM_") || strings.HasPrefix(e, "FULCRUM_S3_") {
			env = append(env, e)
		}
	}
	return env
}

// PID is the process ID of a node that was started.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0
	}
	return n.cmd.Process.Pid
}

// Exited is closed when the node's process has ended; nil if it never started.
func (n *Node) Exited() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.done
}

// Running says whether the node's process lives.
func (n *Node) Running() bool {
	select {
	case <-n.Exited():
		return false
	default:
		return n.PID() != 0
	}
}

// Signal sends a signal to the node's process, and to it alone.
func (n *Node) Signal(s os.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return nil
	}
	return n.cmd.Process.Signal(s)
}

// toEnd notes that the process is to end.
func (n *Node) toEnd() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
}

// failed says why the node's process has ended, if nobody has ended it.
func (n *Node) failed() error {
	if n.PID() == 0 || n.Running() {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return nil
	}
	return crux.Errorf(n.Name, crux.Unavailable, "it has ended: %s", strings.TrimPrefix(n.LogTail(1), "fulcrum: "))
}

// Kill ends the node's process at once (SIGKILL) and waits for it. The services
// that it ran live on.
func (n *Node) Kill() error {
	n.toEnd()
	if err := n.Signal(syscall.SIGKILL); err != nil {
		return crux.Errorf("kill "+n.Name, crux.Internal, "%w", err)
	}
	<-n.Exited()
	return nil
}

// Client connects to the node as its operator.
func (n *Node) Client() (*operator.Client, error) { return operator.Dial(n.Dir) }

// Socket is the operator's socket of the node.
func (n *Node) Socket() string { return filepath.Join(n.Dir, operator.SocketName) }

// LogTail gives the last lines of the node's log, for when something failed.
func (n *Node) LogTail(lines int) string {
	b, err := os.ReadFile(filepath.Join(n.Dir, "fulcrum.log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Strays are the processes of services that a node's fulcrum started and that
// still run: those of one that was killed and not started again.
func (b *Bloc) Strays(n *Node) []int {
	if n.Running() {
		return nil
	}
	return picket.Recorded(n.Dir)
}

// Stop ends all nodes in good order: each drains and stops its services. Those
// that have not ended when ctx does are killed.
func (b *Bloc) Stop(ctx context.Context) error {
	for _, n := range b.Nodes {
		n.toEnd()
		if n.Running() {
			// It may just have ended by itself; then there is nothing to end.
			_ = n.Signal(syscall.SIGTERM)
		}
	}
	var late []string
	for _, n := range b.Nodes {
		if n.PID() == 0 {
			continue
		}
		select {
		case <-n.Exited():
		case <-ctx.Done():
			late = append(late, n.Name)
			if err := n.Kill(); err != nil {
				return err
			}
		}
	}
	if late != nil {
		return crux.Errorf("stop", crux.Timeout, "%s did not end in time and was killed", strings.Join(late, ", "))
	}
	return nil
}

// StopAll is Stop with a bound of its own.
func (b *Bloc) StopAll(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return b.Stop(ctx)
}
