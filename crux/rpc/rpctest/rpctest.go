// Package rpctest holds in-memory parts for tests of what stands on crux
// interfaces: a registry, members and a policy that the test sets, and a node
// made of them on loopback. Only tests import it. Everything may be used from
// any goroutine.
package rpctest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"fulcrum.example/crux"
)

// cell holds a value that can be watched.
type cell[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{}
}

func (c *cell[T]) update(f func(T) T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = f(c.value)
	if c.changed != nil {
		close(c.changed)
	}
	c.changed = make(chan struct{})
}

func (c *cell[T]) get() (T, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.value, c.changed
}

// watch ends with ctx, as crux's watches do.
func watch[T, U any](ctx context.Context, c *cell[T], pick func(T) U) <-chan U {
	out := make(chan U)
	go func() {
		defer close(out)
		for {
			v, changed := c.get()
			u, send := pick(v), out
			for fresh := true; fresh; {
				select {
				case <-ctx.Done():
					return
				case <-changed:
					fresh = false
				case send <- u:
					send = nil
				}
			}
		}
	}()
	return out
}

// Registry is a crux.Registry that holds what the test puts there.
type Registry struct{ c cell[crux.Snapshot] }

// Lookup answers with the rows that match.
func (r *Registry) Lookup(sel crux.Selector) crux.Snapshot {
	s, _ := r.c.get()
	return pick(s, sel)
}

func pick(s crux.Snapshot, sel crux.Selector) crux.Snapshot {
	s.Rows = slices.DeleteFunc(slices.Clone(s.Rows), func(row crux.Row) bool { return !sel.Matches(&row) })
	slices.SortFunc(s.Rows, func(a, b crux.Row) int { return b.Inst.Compare(a.Inst) })
	return s
}

// Watch follows the rows that match.
func (r *Registry) Watch(ctx context.Context, sel crux.Selector) <-chan crux.Snapshot {
	return watch(ctx, &r.c, func(s crux.Snapshot) crux.Snapshot { return pick(s, sel) })
}

// Set replaces everything.
func (r *Registry) Set(whole bool, rows ...crux.Row) {
	r.c.update(func(s crux.Snapshot) crux.Snapshot {
		s.Rev.N++
		s.Whole, s.Rows = whole, slices.Clone(rows)
		return s
	})
}

// Put adds or changes the row of an endpoint, in a whole registry.
func (r *Registry) Put(e crux.Endpoint, status crux.Status) {
	r.c.update(func(s crux.Snapshot) crux.Snapshot {
		s.Rev.N++
		s.Whole = true
		row := Row(e, status)
		row.Seq = s.Rev.N
		s.Rows = append(without(s.Rows, e), row)
		return s
	})
}

// Drop removes the row of an endpoint.
func (r *Registry) Drop(e crux.Endpoint) {
	r.c.update(func(s crux.Snapshot) crux.Snapshot {
		s.Rev.N++
		s.Rows = without(s.Rows, e)
		return s
	})
}

// Beat takes in heartbeats of a node's services.
func (r *Registry) Beat(node crux.NodeID, beats []crux.Fservice) {
	for _, b := range beats {
		e := crux.Endpoint{Node: node, Horde: b.Horde, Inst: b.Inst, NetID: b.NetID}
		if b.Status == crux.Gone {
			r.Drop(e)
		} else {
			r.Put(e, b.Status)
		}
	}
}

func without(rows []crux.Row, e crux.Endpoint) []crux.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(o crux.Row) bool {
		return o.Node == e.Node && o.Inst == e.Inst && o.NetID == e.NetID && o.Horde == e.Horde
	})
}

// Row is an unsigned row of an endpoint.
func Row(e crux.Endpoint, status crux.Status) crux.Row {
	return crux.Row{Node: e.Node, Horde: e.Horde, API: e.Inst.API(), Inst: e.Inst, NetID: e.NetID,
		Status: status, Incarnation: 1, Seq: 1, TTL: 30 * time.Second, Issued: time.Now()}
}

// Members is a crux.Members that shows what the test sets.
type Members struct{ c cell[*crux.View] }

// NewMembers starts with a synced view of self and others.
func NewMembers(self crux.NodeID, all ...crux.Member) *Members {
	m := &Members{}
	m.Set(self, all...)
	return m
}

// Set shows a synced view of the same flock with these members.
func (m *Members) Set(self crux.NodeID, all ...crux.Member) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b crux.Member) int { return a.ID.Compare(b.ID) })
	m.c.update(func(old *crux.View) *crux.View {
		v := &crux.View{Bloc: "test", Flock: crux.FlockID{1}, Epoch: 1, Version: 1, Self: self, Synced: true, Members: all}
		if old != nil {
			v.Version = old.Version + 1
		}
		return v
	})
}

// Evict takes a member off the view, as an operator's eviction does. Set takes it
// back.
func (m *Members) Evict(id crux.NodeID) {
	m.c.update(func(old *crux.View) *crux.View {
		v := *old
		v.Version++
		v.Members = slices.DeleteFunc(slices.Clone(v.Members), func(o crux.Member) bool { return o.ID == id })
		v.Evicted = append(slices.Clone(v.Evicted), id)
		slices.SortFunc(v.Evicted, crux.NodeID.Compare)
		return &v
	})
}

// View is the view set last.
func (m *Members) View() *crux.View {
	v, _ := m.c.get()
	return v
}

// Watch follows the views.
func (m *Members) Watch(ctx context.Context) <-chan *crux.View {
	return watch(ctx, &m.c, func(v *crux.View) *crux.View { return v })
}

// Policy is a crux.Policy that the test sets. The zero value enrols nobody and
// allows nothing.
type Policy struct {
	mu       sync.Mutex
	bloc     crux.BlocID
	open     bool
	enrolled map[string]bool
	rules    map[string]bool
}

// NewPolicy enrols the owners of keys.
func NewPolicy(bloc crux.BlocID, keys ...ed25519.PublicKey) *Policy {
	p := &Policy{bloc: bloc, enrolled: map[string]bool{}, rules: map[string]bool{}}
	for _, k := range keys {
		p.enrolled[string(k)] = true
	}
	return p
}

// SetOpen opens or closes enrolment.
func (p *Policy) SetOpen(open bool) { p.with(func() { p.open = open }) }

// Enrol lists a key, or strikes it.
func (p *Policy) Enrol(key ed25519.PublicKey, yes bool) {
	p.with(func() { p.enrolled[string(key)] = yes })
}

// Allow makes or strikes a rule of the default horde.
func (p *Policy) Allow(caller string, api crux.API, yes bool) {
	p.with(func() { p.rules[caller+" "+string(api)] = yes })
}

func (p *Policy) with(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Bloc is the bloc.
func (p *Policy) Bloc() crux.BlocID { return p.bloc }

// Enrolled says whether the key is listed, or enrolment open.
func (p *Policy) Enrolled(key ed25519.PublicKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open || p.enrolled[string(key)]
}

// Open says whether enrolment is open.
func (p *Policy) Open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// Allowed looks the rule up.
func (p *Policy) Allowed(caller string, horde crux.Horde, api crux.API) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return horde == crux.DefaultHorde && p.rules[caller+" "+string(api)]
}

// Publishers are none.
func (p *Policy) Publishers() ([]ed25519.PublicKey, int) { return nil, 1 }

// NodeKey is the node key number i: the same in every run.
func NodeKey(i int) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("rpctest node key " + strconv.Itoa(i)))
	return ed25519.NewKeyFromSeed(seed[:])
}

// MemberOf is the member with this key at an address.
func MemberOf(key ed25519.PrivateKey, addr netip.AddrPort) crux.Member {
	pub := key.Public().(ed25519.PublicKey)
	return crux.Member{ID: crux.NodeIDOf(pub), Addr: addr, Key: pub, Incarnation: 1, State: crux.Alive}
}

// Node is a crux.Node on 127.0.0.1 whose parts the test chooses.
type Node struct {
	Self    crux.Member
	Name    string // the service
	In      crux.Horde
	Rows    crux.Registry
	Secrets crux.Keys
	View    crux.Members
	Folder  string
	Logger  *slog.Logger
}

var _ crux.Node = (*Node)(nil)

// Addr is the member's address.
func (n *Node) Addr() netip.AddrPort { return n.Self.Addr }

// Candidates are the members' addresses.
func (n *Node) Candidates() crux.Candidates {
	var out addrs
	for _, m := range n.View.View().Members {
		out = append(out, m.Addr)
	}
	return out
}

type addrs []netip.AddrPort

func (a addrs) Len() int                { return len(a) }
func (a addrs) At(i int) netip.AddrPort { return a[i] }

// ListenPacket is not supported.
func (n *Node) ListenPacket(context.Context, uint16) (crux.Datagrams, error) {
	return nil, crux.Errorf("listen for packets", crux.NotSupported, "test nodes have no datagrams")
}

// Dial dials over loopback.
func (n *Node) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.String())
}

// Listen listens on the node's IP.
func (n *Node) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", netip.AddrPortFrom(n.Self.Addr.Addr(), port).String())
}

// ID names the node.
func (n *Node) ID() crux.NodeID { return n.Self.ID }

// Service is the service's name.
func (n *Node) Service() string { return n.Name }

// Horde is the service's horde.
func (n *Node) Horde() crux.Horde {
	if n.In == "" {
		return crux.DefaultHorde
	}
	return n.In
}

// Registry is Rows.
func (n *Node) Registry() crux.Registry { return n.Rows }

// Keys is Secrets.
func (n *Node) Keys() crux.Keys { return n.Secrets }

// Members is View.
func (n *Node) Members() crux.Members { return n.View }

// Dir is Folder.
func (n *Node) Dir() string { return n.Folder }

// Log is Logger.
func (n *Node) Log() *slog.Logger {
	if n.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return n.Logger
}
