// Package gossip runs a cluster of hashicorp/memberlist in one process, on
// loopback addresses, with its LAN settings and with encryption: the peer beside
// which the flock is measured. Its log is discarded.
//
// A Cluster is made (New), started (Start), and closed, from one goroutine.
package gossip

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// updateTimeout bounds how long a node's update waits to be sent.
const updateTimeout = 10 * time.Second

// Cluster is some members; the first is the seed that the others are given.
type Cluster struct {
	addrs   []netip.AddrPort
	secret  []byte
	members []*member
	joins   sync.WaitGroup
	failed  atomic.Int64
}

// member is one memberlist, and what it has told of itself.
type member struct {
	list *memberlist.Memberlist
	net  *transport
	seen *observer
	meta atomic.Pointer[string]
	news news
}

// New prepares a cluster of members at these addresses; it opens nothing.
func New(addrs []netip.AddrPort) (*Cluster, error) {
	c := &Cluster{addrs: addrs, secret: make([]byte, 32)}
	_, err := rand.Read(c.secret)
	return c, err
}

// Start opens all members at once, and has all but the first join the first.
// It returns when all have their sockets. After an error the cluster is to be
// closed all the same.
func (c *Cluster) Start() error {
	c.members = make([]*member, len(c.addrs))
	errs := make([]error, len(c.addrs))
	var group sync.WaitGroup
	for i := range c.addrs {
		group.Go(func() { c.members[i], errs[i] = c.open(i) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	seed := []string{c.addrs[0].String()}
	for _, m := range c.members[1:] {
		c.joins.Go(func() {
			if _, err := m.list.Join(seed); err != nil {
				c.failed.Add(1)
			}
		})
	}
	return nil
}

func (c *Cluster) open(i int) (*member, error) {
	quiet := log.New(io.Discard, "", 0)
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{c.addrs[i].Addr().String()}, BindPort: int(c.addrs[i].Port()), Logger: quiet,
	})
	if err != nil {
		return nil, fmt.Errorf("open memberlist at %s: %w", c.addrs[i], err)
	}
	m := &member{net: newTransport(inner), seen: &observer{nodes: map[string]string{}}}
	m.meta.Store(new(string))
	m.news.init(len(c.addrs))
	cfg := memberlist.DefaultLANConfig()
	cfg.Name = name(i)
	cfg.BindAddr, cfg.BindPort = c.addrs[i].Addr().String(), int(c.addrs[i].Port())
	cfg.AdvertiseAddr, cfg.AdvertisePort = cfg.BindAddr, cfg.BindPort
	cfg.SecretKey, cfg.Logger = c.secret, quiet
	cfg.Transport, cfg.Events, cfg.Delegate = m.net, m.seen, m
	if m.list, err = memberlist.Create(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open memberlist at %s: %w", c.addrs[i], err), m.net.Shutdown())
	}
	return m, nil
}

// Kill ends a member without a word to the others.
func (c *Cluster) Kill(i int) error { return c.members[i].list.Shutdown() }

// Hang makes a member silent, as if its process had been stopped: its sockets
// stay open.
func (c *Cluster) Hang(i int) { c.members[i].net.hung.Store(true) }

// Close ends all members.
func (c *Cluster) Close() error {
	errs := make([]error, len(c.members))
	var group sync.WaitGroup
	for i, m := range c.members {
		if m != nil {
			group.Go(func() { errs[i] = m.list.Shutdown() })
		}
	}
	group.Wait()
	c.joins.Wait()
	return errors.Join(errs...)
}

// Alive is how many members, itself among them, member i takes for alive.
func (c *Cluster) Alive(i int) int { return c.members[i].seen.count() }

// Knows says whether member i takes member j for alive.
func (c *Cluster) Knows(i, j int) bool {
	_, ok := c.members[i].seen.get(name(j))
	return ok
}

// Announce has member i tell the others a new text of its own: the memberlist
// way to say what runs where. It returns when the text is on its way.
func (c *Cluster) Announce(i int, text string) error {
	c.members[i].meta.Store(&text)
	return c.members[i].list.UpdateNode(updateTimeout)
}

// Announced is the text of member j that member i knows.
func (c *Cluster) Announced(i, j int) string {
	text, _ := c.members[i].seen.get(name(j))
	return text
}

// FailedJoins is how many members could not talk to the seed.
func (c *Cluster) FailedJoins() int64 { return c.failed.Load() }

// BytesPerNode is what a member has sent by now, on average: datagrams with
// their UDP and IPv4 headers, and the bytes written to streams.
func (c *Cluster) BytesPerNode() float64 {
	sum := int64(0)
	for _, m := range c.members {
		sum += m.net.sent.Load()
	}
	return float64(sum) / float64(len(c.members))
}

func name(i int) string { return fmt.Sprint("n", i) }

// observer is what a member knows of the others: name to text, of those alive.
type observer struct {
	mu    sync.Mutex
	nodes map[string]string
}

var _ memberlist.EventDelegate = (*observer)(nil)

func (o *observer) NotifyJoin(n *memberlist.Node)   { o.set(n) }
func (o *observer) NotifyUpdate(n *memberlist.Node) { o.set(n) }

func (o *observer) NotifyLeave(n *memberlist.Node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.nodes, n.Name)
}

func (o *observer) set(n *memberlist.Node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nodes[n.Name] = string(n.Meta)
}

func (o *observer) get(name string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, ok := o.nodes[name]
	return text, ok
}

func (o *observer) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.nodes)
}

var _ memberlist.Delegate = (*member)(nil)

// NodeMeta, NotifyMsg and GetBroadcasts implement memberlist.Delegate; the rest of
// it is not used.
func (m *member) NodeMeta(int) []byte { return []byte(*m.meta.Load()) }
func (m *member) NotifyMsg(b []byte)  { m.news.take(string(b)) }
func (m *member) GetBroadcasts(overhead, limit int) [][]byte {
	return m.news.queue.GetBroadcasts(overhead, limit)
}
func (m *member) LocalState(bool) []byte        { return nil }
func (m *member) MergeRemoteState([]byte, bool) {}
