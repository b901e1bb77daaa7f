// Package bed runs the nodes of a bloc in one process, with real sockets on
// loopback addresses and real keys: flock, node port (TLS, hybrid key exchange),
// and on request registry, artifact cache and event fabric, put together as
// fulcrum up does.
// The benchmarks measure it; nobody else uses it.
//
// A Bed is made (New), started (Start: all nodes within a moment), and closed.
// Its methods are called from one goroutine; those of its nodes' parts from any.
package bed

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/pastiche"
)

const flockName = "bench"

// Options say what the nodes are made of.
type Options struct {
	Nodes     int
	Registry  bool            // each node has a reeve and a steward
	Artifacts pastiche.Origin // not nil: each node has a pastiche that reads this store
	Fabric    bool            // each node has a lashup: fabric and store; it needs Registry
	Dir       string          // for what the nodes keep on disk; needed by Registry and Artifacts
}

// Bed is the nodes of one bloc.
type Bed struct {
	Nodes []*Node

	opts   Options
	policy *bloc.Policy
	secret bloc.Secondary
}

// New makes the keys, the addresses and the bloc file; it opens nothing.
// The nodes are listed in the bloc file, and each knows no more of the others'
// addresses than the smallest subnet that holds them all.
func New(opts Options) (*Bed, error) {
	if opts.Fabric && !opts.Registry {
		return nil, errors.New("a fabric needs a registry")
	}
	b := &Bed{opts: opts}
	var err error
	if b.secret, err = bloc.NewSecondary(rand.Reader); err != nil {
		return nil, err
	}
	doc := bloc.New("bench", flockName)
	doc.Allow = []bloc.Rule{{Caller: bloc.Any, Horde: bloc.Any, API: bloc.Any}}
	subnet, port := RandomNet()
	for i := range opts.Nodes {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		confab, err := udp.New(udp.Config{
			Addr: Host(subnet, i+1, port), Candidates: []string{netip.PrefixFrom(subnet, prefixBits(opts.Nodes)).String()},
		})
		if err != nil {
			return nil, err
		}
		doc.Nodes = append(doc.Nodes, bloc.PublicKey(key.Public().(ed25519.PublicKey)))
		b.Nodes = append(b.Nodes, &Node{
			Net: newConfab(confab), key: key, id: crux.NodeIDOf(key.Public().(ed25519.PublicKey)),
			dir: filepath.Join(opts.Dir, fmt.Sprint("node", i+1)), haveKeys: make(chan struct{}),
		})
	}
	_, blocKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := doc.Sign(blocKey); err != nil {
		return nil, err
	}
	b.policy, err = bloc.NewPolicy(doc)
	return b, err
}

// Start opens all nodes at once, and returns when each has its sockets. After
// an error the bed is to be closed all the same.
func (b *Bed) Start(ctx context.Context) error {
	return b.each(func(n *Node) error { return n.open(ctx, b) })
}

// Close ends all nodes.
func (b *Bed) Close() error {
	return b.each((*Node).close)
}

// each calls f for all nodes at once.
func (b *Bed) each(f func(*Node) error) error {
	errs := make([]error, len(b.Nodes))
	var group sync.WaitGroup
	for i, n := range b.Nodes {
		group.Go(func() { errs[i] = f(n) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// Formed says whether node i knows all members, alive, and the same leader of
// the same flock as the first node.
func (b *Bed) Formed(i int) bool {
	v, first := b.Nodes[i].Flock.View(), b.Nodes[0].Flock.View()
	if len(v.Members) != len(b.Nodes) || !v.Synced || v.Leader.IsZero() || v.Leader != first.Leader || v.Flock != first.Flock {
		return false
	}
	for k := range v.Members {
		if v.Members[k].State != crux.Alive {
			return false
		}
	}
	return true
}

// Leader is the node that the first node takes for the leader, or -1.
func (b *Bed) Leader() int {
	leader := b.Nodes[0].Flock.View().Leader
	for i, n := range b.Nodes {
		if n.id == leader {
			return i
		}
	}
	return -1
}

// BytesPerNode is what a node has sent by now, on average.
func (b *Bed) BytesPerNode() float64 {
	sum := int64(0)
	for _, n := range b.Nodes {
		sum += n.Net.Sent()
	}
	return float64(sum) / float64(len(b.Nodes))
}

// RandomNet chooses a /24 of the loopback net, and a port below those that the
// kernel gives away.
func RandomNet() (netip.Addr, uint16) {
	return netip.AddrFrom4([4]byte{127, byte(64 + mathrand.IntN(128)), byte(mathrand.IntN(256)), 0}), uint16(20000 + mathrand.IntN(10000))
}

// Host is the i-th address of a /24 net.
func Host(subnet netip.Addr, i int, port uint16) netip.AddrPort {
	a := subnet.As4()
	a[3] = byte(i)
	return netip.AddrPortFrom(netip.AddrFrom4(a), port)
}

// prefixBits is the length of the smallest prefix with so many hosts.
func prefixBits(hosts int) int {
	bits := 30
	for 1<<(32-bits)-2 < hosts {
		bits--
	}
	return bits
}
