package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// world is a bloc on a loopback net of its own.
type world struct {
	t       *testing.T
	net     string // the first three numbers
	port    uint16
	blocKey ed25519.PrivateKey
	secret  bloc.Secondary
	keys    []ed25519.PrivateKey // of nodes 1, 2, …
}

func newWorld(t *testing.T, nodes int) *world {
	t.Helper()
	w := &world{
		t: t, net: fmt.Sprintf("127.%d.%d.", 64+mathrand.IntN(128), mathrand.IntN(256)),
		port: uint16(20000 + mathrand.IntN(10000)), secret: bloc.Secondary{1, 2, 3}, blocKey: newKey(t),
	}
	for range nodes {
		w.keys = append(w.keys, newKey(t))
	}
	return w
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pub(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func (w *world) addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprint(w.net, i)), w.port)
}

// file is a bloc file that lists the nodes with the given numbers.
func (w *world) file(version uint64, listed ...int) *bloc.Document {
	w.t.Helper()
	d := bloc.New("rack7", "main")
	d.Version = version
	for _, i := range listed {
		d.Nodes = append(d.Nodes, bloc.PublicKey(pub(w.keys[i-1])))
	}
	w.sign(d)
	return d
}

func (w *world) sign(d *bloc.Document) {
	w.t.Helper()
	if err := d.Sign(w.blocKey); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policy(d *bloc.Document) *bloc.Policy {
	w.t.Helper()
	p, err := bloc.NewPolicy(d)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// config is node i's configuration; its neighbours are sixteen addresses.
func (w *world) config(i int, p *bloc.Policy) Config {
	w.t.Helper()
	c, err := udp.New(udp.Config{Addr: w.addr(i), Candidates: []string{w.net + "0/28"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return Config{
		Confab: c, Policy: p, FlockName: "main", Key: w.keys[i-1], Incarnation: 1,
		Secrets: []bloc.Secondary{w.secret},
	}
}

func (w *world) open(cfg Config) *Node {
	w.t.Helper()
	n, err := Open(context.Background(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			w.t.Errorf("close: %v", err)
		}
	})
	return n
}

// start opens nodes 1 to n, all of the same listed bloc.
func (w *world) start(n int) (all []*Node) {
	w.t.Helper()
	var listed []int
	for i := range w.keys {
		listed = append(listed, i+1)
	}
	d := w.file(1, listed...)
	for i := range n {
		all = append(all, w.open(w.config(i+1, w.policy(d))))
	}
	return all
}

// until waits for a node's view that is as ok says.
func until(t *testing.T, n *Node, what string, ok func(*crux.View) bool) *crux.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last *crux.View
	for v := range n.Watch(ctx) {
		if last = v; ok(v) {
			return v
		}
	}
	t.Fatalf("%s: %s did not come; the last view: %+v", n.cfg.Confab.Addr(), what, last)
	return nil
}

// eventually waits for a condition that nothing tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not come", what)
		}
	}
}

// together waits until all nodes are one flock with one leader, and returns it.
func together(t *testing.T, all ...*Node) crux.NodeID {
	t.Helper()
	for {
		var leader, flock string
		agreed := true
		for _, n := range all {
			v := until(t, n, "one flock", func(v *crux.View) bool { return whole(v, len(all)) })
			agreed = agreed && (leader == "" || leader == v.Leader.String()) && (flock == "" || flock == v.Flock.String())
			leader, flock = v.Leader.String(), v.Flock.String()
		}
		if agreed {
			id, err := crux.ParseNodeID(leader)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
	}
}

func whole(v *crux.View, members int) bool {
	if len(v.Members) != members || !v.Synced || v.Leader.IsZero() {
		return false
	}
	for _, m := range v.Members {
		if m.State != crux.Alive {
			return false
		}
	}
	return true
}

// toldOf waits for a hint with these words, and checks that the node is alone.
func toldOf(t *testing.T, n *Node, authenticated bool, words string) {
	t.Helper()
	v := until(t, n, "a hint that says \""+words+"\"", func(v *crux.View) bool {
		for _, h := range v.Hints {
			if strings.Contains(h.Text, words) && h.Authenticated == authenticated {
				return true
			}
		}
		return false
	})
	if len(v.Members) != 1 || v.Leader != n.ID() {
		t.Errorf("%s is not alone: %+v", n.cfg.Confab.Addr(), v)
	}
}
