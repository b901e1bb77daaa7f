package boot

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/flock/node"
	"fulcrum.example/pastiche"
	"fulcrum.example/proctor"
	"fulcrum.example/proctor/dean"
	"fulcrum.example/reeve"
	"fulcrum.example/reeve/keys"
	"fulcrum.example/steward/service"
)

// openIdentity takes the data folder, reads or makes the node key, and puts the
// bloc file in force.
func (n *Node) openIdentity(context.Context) error {
	lock, err := lockData(n.cfg.Data)
	if err != nil {
		return err
	}
	n.onClose("data folder", func(context.Context) error { return lock.Close() })
	if n.identity, err = node.LoadIdentity(n.cfg.Data); err != nil {
		return err
	}
	n.id = crux.NodeIDOf(n.identity.Key.Public().(ed25519.PublicKey))
	if n.policy, err = policy(n.cfg); err != nil {
		return err
	}
	if n.cfg.BlocFile == nil {
		n.cfg.Log.Warn("enrolment is open: whoever holds the secondary key may join this flock and run code here")
		return nil
	}
	n.run("bloc file", n.keepBlocFile)
	return keepBloc(n.cfg.Data, n.cfg.BlocFile)
}

// keepBlocFile writes each newer bloc file to disk, and has connections checked
// again by it.
func (n *Node) keepBlocFile(ctx context.Context) {
	for {
		changed := n.policy.Changed()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		version := n.policy.Document().Version
		if err := n.keepPolicy(); err != nil {
			n.cfg.Log.Error("the new bloc file is in force, but not on disk", "version", version, "error", err)
		} else {
			n.cfg.Log.Info("a new bloc file is in force", "version", version)
		}
		select {
		case <-n.haveKeys:
			n.ring.PolicyChanged()
		default: // nothing has been checked by the old one yet
		}
	}
}

// keepPolicy writes the bloc file that is in force to disk. One at a time: an
// older version must not be written over a newer one.
func (n *Node) keepPolicy() error {
	n.keepMu.Lock()
	defer n.keepMu.Unlock()
	return keepBloc(n.cfg.Data, n.policy.Document())
}

// openFlock opens the sockets, starts flocking, and makes the keys that stand
// on the flock's members.
func (n *Node) openFlock(ctx context.Context) (err error) {
	if n.confab, err = udp.New(udp.Config{Addr: n.cfg.Addr, Candidates: n.cfg.Candidates}); err != nil {
		return err
	}
	if n.listener, err = n.confab.Listen(ctx, n.cfg.Addr.Port()); err != nil {
		return err
	}
	n.onClose("listener", func(context.Context) error { return n.stopListening() })
	n.flock, err = node.Open(ctx, node.Config{
		Confab: n.confab, Policy: n.policy, FlockName: n.cfg.FlockName,
		Key: n.identity.Key, Incarnation: n.identity.Incarnation, Secrets: n.cfg.Secrets,
		Log: n.cfg.Log.With("part", "flock"), Dial: n.dialAddr,
	})
	if err != nil {
		return err
	}
	n.onClose("flock", func(context.Context) error { return n.flock.Close() })
	n.ring, err = keys.New(keys.Config{NodeKey: n.identity.Key, Policy: n.policy, Members: n.flock, Platform: platform, Log: n.cfg.Log.With("part", "keys")})
	if err != nil {
		return err
	}
	n.onClose("keys", func(context.Context) error { return n.ring.Close() })
	close(n.haveKeys)
	n.peers = newPeers(func(m crux.Member) (*grpc.ClientConn, error) {
		return rpc.DialNode(n.nodeKeys(), n.confab, m)
	})
	n.onClose("peers", func(context.Context) error { n.peers.Close(); return nil })
	n.run("peers' members", func(ctx context.Context) { n.peers.follow(n.flock.Watch(ctx)) })
	n.run("narrator", n.narrate)
	n.run("priority", n.keepPriority)
	return nil
}

// stopListening closes the node port's listener, which its server may have done.
func (n *Node) stopListening() error {
	if err := n.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// nodeKeys are the keys of the node itself, for the node port.
func (n *Node) nodeKeys() crux.Keys { return n.ring.For(keys.NodeCaller, crux.DefaultHorde) }

// dialAddr is the flock's way to another node's port. The flock runs before the
// keys, which stand on its members, are there.
func (n *Node) dialAddr(ctx context.Context, id crux.NodeID, addr netip.AddrPort) (*grpc.ClientConn, error) {
	select {
	case <-n.haveKeys:
	case <-ctx.Done():
		return nil, crux.Wrap("dial "+id.String(), context.Cause(ctx))
	}
	return rpc.DialNode(n.nodeKeys(), n.confab, crux.Member{ID: id, Addr: addr})
}

// openRegistry starts reeve and, asleep until this node leads, the steward.
func (n *Node) openRegistry(context.Context) (err error) {
	n.reeve, err = reeve.Open(reeve.Config{
		ID: n.id, Sign: n.sign, Incarnation: n.identity.Incarnation, Dir: filepath.Join(n.cfg.Data, "docs"),
		Members: n.flock, Policy: n.policy, Dial: n.peers.Dial, Log: n.cfg.Log.With("part", "reeve"),
	})
	if err != nil {
		return err
	}
	n.onClose("reeve", func(context.Context) error { return n.reeve.Close() })
	n.steward, err = service.Open(service.Config{
		Members: n.flock, Reeve: n.reeve, Dial: n.peers.Dial, Peer: peerOf, Log: n.cfg.Log.With("part", "steward"),
	})
	if err != nil {
		return err
	}
	n.onClose("steward", func(context.Context) error { return n.steward.Close() })
	return nil
}

// sign signs with the node key.
func (n *Node) sign(label string, msg []byte) ([]byte, error) {
	return ed25519.Sign(n.identity.Key, crux.Labelled(label, msg)), nil
}

// openArtifacts opens the cache before the artifact store.
func (n *Node) openArtifacts(context.Context) (err error) {
	n.pastiche, err = pastiche.Open(pastiche.Config{
		ID: n.id, Dir: filepath.Join(n.cfg.Data, "cache"), MaxBytes: n.cfg.CacheBytes, Origin: n.store,
		Members: n.flock, Dial: n.peers.Dial, Peer: peerOf, Log: n.cfg.Log.With("part", "pastiche"),
	})
	if err != nil {
		return err
	}
	n.onClose("pastiche", func(context.Context) error { return n.pastiche.Close() })
	return nil
}

// storeTimeout is how long the boot waits for an artifact store to answer.
const storeTimeout = 5 * time.Second

// openStore opens the artifact store. It comes before the flock: a node that is
// set up wrongly does not become a member.
func (n *Node) openStore(ctx context.Context) (err error) {
	url := n.cfg.Store
	if url == "" {
		url = "dir:" + filepath.Join(n.cfg.Data, "store")
	}
	if n.store, err = pastiche.ParseStore(url, n.cfg.S3); err != nil {
		return err
	}
	return n.checkStore(ctx, n.store)
}

// checkStore refuses an artifact store that is set up wrongly. One that cannot
// be reached just now does not keep a node from booting.
func (n *Node) checkStore(ctx context.Context, origin pastiche.Origin) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := origin.Check(ctx)
	switch crux.KindOf(err) {
	case crux.Unavailable, crux.Timeout:
		n.cfg.Log.Warn("the artifact store cannot be reached; artifacts come from peers until it can", "store", origin.String(), "error", err)
		return nil
	}
	return err
}

// peerOf says who is calling on the node port.
func peerOf(ctx context.Context) (crux.Peer, error) {
	p, ok := rpc.PeerFrom(ctx)
	if !ok {
		return p, crux.Errorf("identify caller", crux.Unknown, "the call did not come through the node port")
	}
	return p, nil
}

// openProctor makes proctor and dean; picket runs them.
func (n *Node) openProctor(context.Context) (err error) {
	n.proctor, err = proctor.New(proctor.Config{
		Members: n.flock, Docs: n.reeve.Docs(), Registry: n.reeve, Dial: n.peers.Dial, Peer: peerOf, Log: n.cfg.Log.With("part", "proctor"),
	})
	if err != nil {
		return err
	}
	n.dean, err = dean.Open(dean.Config{
		Dir: filepath.Join(n.cfg.Data, "dean"), Members: n.flock, Docs: n.reeve.Docs(), Runner: n.picket, Artifacts: n.pastiche,
		Dial: n.peers.Dial, Log: n.cfg.Log.With("part", "dean"),
	})
	return err
}

// openNodePort serves what nodes say to each other.
func (n *Node) openNodePort(context.Context) error {
	self := rpc.NodeEndpoint(crux.Member{ID: n.id, Addr: n.cfg.Addr})
	port, err := rpc.ServeNodePort(n.listener, n.nodeKeys(), self, n.cfg.Log.With("part", "node port"), func(r grpc.ServiceRegistrar) {
		n.flock.Register(r)
		n.reeve.Register(r)
		n.steward.Register(r)
		n.pastiche.Register(r)
		n.proctor.Register(r)
	})
	if err != nil {
		return err
	}
	n.onClose("node port", func(context.Context) error { return port.Close() })
	return nil
}
