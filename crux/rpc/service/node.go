package service

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
)

// defaultLease is how long to live without the node if the node did not say.
const defaultLease = 30 * time.Second

// info is what the node said about us at the first Attach.
type info struct {
	id       crux.NodeID
	addr     netip.AddrPort
	service  string
	horde    crux.Horde
	dir      string
	function string
	lease    time.Duration
	log      *slog.Logger // with the service's name
}

// Node is the node as a process beside it sees it. It implements crux.Node.
type Node struct {
	conn   *grpc.ClientConn
	client node.NodeClient
	log    *slog.Logger

	info     info
	attached chan struct{} // closed when info is there
	failed   chan error    // a refusal before that
	quits    chan time.Duration

	beats    chan []crux.Fservice
	flushes  chan chan struct{}
	leaving  atomic.Bool // the life line was ended by us
	streams  chan node.Node_AttachClient
	members  *latest[*crux.View]
	registry *registry
	keys     *keys

	stop context.CancelFunc
	done <-chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

var _ crux.Node = (*Node)(nil)

// open starts to attach; ready waits for the node's answer.
func open(socket string, who identity, log *slog.Logger) (*Node, error) {
	path, err := filepath.Abs(socket)
	if err != nil {
		return nil, crux.Errorf("attach", crux.Invalid, "%w", err)
	}
	conn, err := dialSocket(path, who)
	if err != nil {
		return nil, crux.Errorf("attach", crux.Invalid, "%w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &Node{
		conn: conn, client: node.NewNodeClient(conn), log: log,
		attached: make(chan struct{}), failed: make(chan error, 1), quits: make(chan time.Duration, 1),
		beats: make(chan []crux.Fservice), flushes: make(chan chan struct{}), streams: make(chan node.Node_AttachClient),
		members: newLatest[*crux.View](), stop: stop, done: ctx.Done(),
	}
	n.registry = newRegistry(n)
	n.keys = newKeys(n.client)
	n.start(func() { n.attach(ctx) })
	n.start(func() { n.sendBeats(ctx) })
	n.start(func() { n.followMembers(ctx) })
	n.start(func() { n.followRevoked(ctx) })
	return n, nil
}

// start runs f, for whose end Close waits. False: the node is closed already.
func (n *Node) start(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.work.Add(1)
	go func() {
		defer n.work.Done()
		f()
	}()
	return true
}

// ready waits until the node has said who we are, and has told the members.
func (n *Node) ready(ctx context.Context) error {
	select {
	case <-n.attached:
	case err := <-n.failed:
		return err
	case <-ctx.Done():
		return crux.Errorf("attach", crux.Unavailable, "no node answers at the socket: %w", ctx.Err())
	}
	for {
		_, ok, changed := n.members.get()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case err := <-n.failed:
			return err
		case <-ctx.Done():
			return crux.Errorf("attach", crux.Unavailable, "the node does not tell its members: %w", ctx.Err())
		}
	}
}

// Close detaches and waits for everything that the node started. Watches end.
func (n *Node) Close() error {
	n.mu.Lock()
	again := n.closed
	n.closed = true
	n.mu.Unlock()
	if again {
		n.work.Wait()
		return nil
	}
	n.stop()
	n.registry.close()
	err := n.conn.Close()
	n.work.Wait()
	return err
}

// ID names the node.
func (n *Node) ID() crux.NodeID { return n.info.id }

// Service is who we are: the instance, or the name we attached under.
func (n *Node) Service() string { return n.info.service }

// Horde is the horde that the routine runs in.
func (n *Node) Horde() crux.Horde { return n.info.horde }

// Registry follows the node's registry.
func (n *Node) Registry() crux.Registry { return n.registry }

// Keys asks the node for every signature and admission.
func (n *Node) Keys() crux.Keys { return n.keys }

// Members follows the node's view of the flock.
func (n *Node) Members() crux.Members { return members{n} }

// Dir is the service's own folder.
func (n *Node) Dir() string { return n.info.dir }

// Log writes to the service's log.
func (n *Node) Log() *slog.Logger { return n.info.log }

// members is crux.Members over the newest view.
type members struct{ n *Node }

func (m members) View() *crux.View {
	v, _, _ := m.n.members.get()
	return v
}

func (m members) Watch(ctx context.Context) <-chan *crux.View {
	return watch(ctx, m.n, m.n.members, func() {})
}

func (n *Node) followMembers(ctx context.Context) {
	keepStream(ctx, func(ctx context.Context) (func() error, error) {
		s, err := n.client.WatchMembers(ctx, &node.WatchMembersRequest{})
		if err != nil {
			return nil, err
		}
		return func() error {
			m, err := s.Recv()
			if err != nil {
				return err
			}
			v, err := wire.ViewFrom(m)
			if err != nil {
				n.log.Warn("the node sent a view that does not decode", "why", err)
				return nil
			}
			n.members.set(v)
			return nil
		}, nil
	}, func(error) {})
}

// followRevoked fires after every revocation; attach does after the node was
// away.
func (n *Node) followRevoked(ctx context.Context) {
	keepStream(ctx, func(ctx context.Context) (func() error, error) {
		s, err := n.client.WatchRevoked(ctx, &node.WatchRevokedRequest{})
		if err != nil {
			return nil, err
		}
		return func() error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			n.keys.fire()
			return nil
		}, nil
	}, func(error) {})
}

// infoFrom checks what the node said.
func infoFrom(m *node.Info) (info, error) {
	const op = "attach"
	out := info{service: m.GetService(), dir: m.GetDir(), function: m.GetFunc(), lease: defaultLease}
	var err error
	if out.horde, err = crux.ParseHorde(m.GetHorde()); err != nil {
		return info{}, crux.Wrap(op, err)
	}
	if out.id, err = wire.NodeIDFrom(m.GetNode()); err != nil {
		return info{}, crux.Wrap(op, err)
	}
	if out.addr, err = netip.ParseAddrPort(m.GetAddr()); err != nil {
		return info{}, crux.Errorf(op, crux.Invalid, "the node's address %q is not ip:port", m.GetAddr())
	}
	if m.GetLease() != "" {
		if out.lease, err = time.ParseDuration(m.GetLease()); err != nil || out.lease <= 0 {
			return info{}, crux.Errorf(op, crux.Invalid, "the lease %q is not a duration", m.GetLease())
		}
	}
	return out, nil
}
