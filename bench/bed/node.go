package bed

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/flock/node"
	"fulcrum.example/pastiche"
	"fulcrum.example/reeve"
	"fulcrum.example/reeve/keys"
	"fulcrum.example/steward/service"
)

// cacheBytes bounds a node's artifact cache: two of what is measured.
const cacheBytes = 64 << 20

// Node is one node. Its fields are there once the bed has started.
type Node struct {
	Net      *Confab
	Flock    *node.Node
	Keys     *keys.Ring
	Reeve    *reeve.Reeve       // nil without Options.Registry
	Pastiche *pastiche.Pastiche // nil without Options.Artifacts
	Fabric   *Fabric            // nil without Options.Fabric

	key      ed25519.PrivateKey
	id       crux.NodeID
	dir      string
	haveKeys chan struct{} // closed once Keys is there
	closers  []func() error

	mu    sync.Mutex
	conns map[crux.NodeID]*grpc.ClientConn
}

// open boots the node: flock, keys, registry, artifacts, node port, fabric.
func (n *Node) open(ctx context.Context, b *Bed) (err error) {
	n.Flock, err = node.Open(ctx, node.Config{
		Confab: n.Net, Policy: b.policy, FlockName: flockName, Key: n.key, Incarnation: 1, Secrets: secrets(b), Dial: n.dialAddr,
	})
	if err != nil {
		return err
	}
	n.onClose(n.Flock.Close)
	if n.Keys, err = keys.New(keys.Config{NodeKey: n.key, Policy: b.policy, Members: n.Flock}); err != nil {
		return err
	}
	n.onClose(n.Keys.Close)
	close(n.haveKeys)
	n.conns = map[crux.NodeID]*grpc.ClientConn{}
	n.onClose(n.hangUp)
	parts := []func(grpc.ServiceRegistrar){n.Flock.Register}
	if b.opts.Registry {
		if parts, err = n.openRegistry(b, parts); err != nil {
			return err
		}
	}
	if b.opts.Artifacts != nil {
		if parts, err = n.openArtifacts(b, parts); err != nil {
			return err
		}
	}
	if err := n.openNodePort(ctx, parts); err != nil || !b.opts.Fabric {
		return err
	}
	return n.openFabric(ctx)
}

func (n *Node) openRegistry(b *Bed, parts []func(grpc.ServiceRegistrar)) ([]func(grpc.ServiceRegistrar), error) {
	var err error
	n.Reeve, err = reeve.Open(reeve.Config{
		ID: n.id, Incarnation: 1, Sign: n.sign, Dir: filepath.Join(n.dir, "docs"), Members: n.Flock, Policy: b.policy, Dial: n.dial,
	})
	if err != nil {
		return nil, err
	}
	n.onClose(n.Reeve.Close)
	s, err := service.Open(service.Config{Members: n.Flock, Reeve: n.Reeve, Dial: n.dial, Peer: peerOf})
	if err != nil {
		return nil, err
	}
	n.onClose(s.Close)
	n.Reeve.Ready()
	return append(parts, n.Reeve.Register, s.Register), nil
}

func (n *Node) openArtifacts(b *Bed, parts []func(grpc.ServiceRegistrar)) ([]func(grpc.ServiceRegistrar), error) {
	var err error
	n.Pastiche, err = pastiche.Open(pastiche.Config{
		ID: n.id, Dir: filepath.Join(n.dir, "cache"), MaxBytes: cacheBytes, Origin: b.opts.Artifacts,
		Members: n.Flock, Dial: n.dial, Peer: peerOf,
	})
	if err != nil {
		return nil, err
	}
	n.onClose(n.Pastiche.Close)
	return append(parts, n.Pastiche.Register), nil
}

func (n *Node) openNodePort(ctx context.Context, parts []func(grpc.ServiceRegistrar)) error {
	l, err := n.Net.Listen(ctx, n.Net.Addr().Port())
	if err != nil {
		return err
	}
	self := rpc.NodeEndpoint(crux.Member{ID: n.id, Addr: n.Net.Addr()})
	port, err := rpc.ServeNodePort(l, n.portKeys(), self, nil, func(r grpc.ServiceRegistrar) {
		for _, register := range parts {
			register(r)
		}
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	n.onClose(port.Close)
	return nil
}

func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

// close ends the node's parts, the last first. What a node that was cut off
// says of its sockets is of no interest.
func (n *Node) close() error {
	if n.Net.hung.Load() {
		n.Cut() // what hangs cannot end in order
	}
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	if n.Net.isDead() {
		return nil
	}
	return errors.Join(errs...)
}

// Cut ends all of a node's sockets, as if its processes had been killed.
func (n *Node) Cut() {
	for _, c := range n.nets() {
		c.Cut()
	}
}

// Hang makes a node silent, as if its processes had been stopped.
func (n *Node) Hang() {
	for _, c := range n.nets() {
		c.Hang()
	}
}

func (n *Node) nets() []*Confab {
	if n.Fabric == nil {
		return []*Confab{n.Net}
	}
	return []*Confab{n.Fabric.Net, n.Net}
}

// ID names the node.
func (n *Node) ID() crux.NodeID { return n.id }

func (n *Node) sign(label string, msg []byte) ([]byte, error) {
	return ed25519.Sign(n.key, crux.Labelled(label, msg)), nil
}

// portKeys are the keys of the node itself, for the node port.
func (n *Node) portKeys() crux.Keys { return n.Keys.For(keys.NodeCaller, crux.DefaultHorde) }

// dialAddr is the flock's way to another node's port.
func (n *Node) dialAddr(ctx context.Context, id crux.NodeID, addr netip.AddrPort) (*grpc.ClientConn, error) {
	select {
	case <-n.haveKeys:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return rpc.DialNode(n.portKeys(), n.Net, crux.Member{ID: id, Addr: addr})
}

// dial gives the node's one connection to a member.
func (n *Node) dial(_ context.Context, m crux.Member) (*grpc.ClientConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.conns[m.ID]; c != nil {
		return c, nil
	}
	c, err := rpc.DialNode(n.portKeys(), n.Net, m)
	if err == nil {
		n.conns[m.ID] = c
	}
	return c, err
}

func (n *Node) hangUp() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, c := range n.conns {
		errs = append(errs, c.Close())
	}
	clear(n.conns)
	return errors.Join(errs...)
}

// peerOf says who is calling on the node port.
func peerOf(ctx context.Context) (crux.Peer, error) {
	p, ok := rpc.PeerFrom(ctx)
	if !ok {
		return p, crux.Errorf("identify caller", crux.Unknown, "the call did not come through the node port")
	}
	return p, nil
}
