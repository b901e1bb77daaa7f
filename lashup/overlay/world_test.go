package overlay

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/confab/sim"
	"fulcrum.example/crux"
)

// frameOverhead is what framing, TLS, TCP and IPv4 add to a message.
const frameOverhead = 4 + 22 + 52

// world is a group of machines on a simulated network, with streams for links.
type world struct {
	net   *sim.Net[Message]
	nodes []*node
	rng   *rand.Rand
	err   error
}

type node struct {
	w     *world
	m     *Machine
	id    crux.NodeID
	place *sim.Node[Message]
	conns map[crux.NodeID]*conn
	all   []crux.NodeID // contacts
	lives int
	dials int
	turns int // changes of its active view
}

// conn is a link as the driver keeps it.
type conn struct {
	peer    crux.NodeID
	stream  *sim.Stream[Message]
	dialled bool
	up      bool
}

func nodeID(i int) (id crux.NodeID) {
	binary.BigEndian.PutUint64(id[:], uint64(i+1))
	return id
}

func addrOf(id crux.NodeID) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, id[5], id[6], id[7]}), 1)
}

func idOf(a netip.AddrPort) crux.NodeID {
	b := a.Addr().As4()
	return crux.NodeID{5: b[1], 6: b[2], 7: b[3]}
}

// newWorld makes n nodes that are not started. The first are the contacts; 0: all.
func newWorld(n, contacts int, seed uint64, loss float64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 9))}
	w.net = sim.New(sim.Options[Message]{
		Seed: seed, Loss: loss, MinDelay: 200 * time.Microsecond, MaxDelay: 1200 * time.Microsecond,
	})
	for i := range n {
		w.nodes = append(w.nodes, &node{w: w, id: nodeID(i)})
	}
	if contacts == 0 {
		contacts = n
	}
	ids := make([]crux.NodeID, contacts)
	for i := range ids {
		ids[i] = nodeID(i)
	}
	for _, nd := range w.nodes {
		nd.all = ids
	}
	return w
}

// start begins a new process.
func (nd *node) start() {
	w := nd.w
	now := w.net.Now()
	nd.lives++
	nd.conns = map[crux.NodeID]*conn{}
	nd.m = New(Config{Self: nd.id, Rand: rand.New(rand.NewPCG(w.rng.Uint64(), uint64(nd.lives)))}, now)
	if nd.place == nil {
		nd.place = w.net.Add(addrOf(nd.id), nd)
	} else {
		nd.place.Restart(nd)
	}
	nd.do(nd.m.Contacts(now, nd.all))
}

// stop ends the process; silently, if its host dies.
func (nd *node) stop(silently bool) {
	if silently {
		nd.place.Crash()
	} else {
		nd.place.Kill()
	}
	nd.conns = nil
}

func (nd *node) running() bool { return nd.place != nil && nd.conns != nil }

func (nd *node) Receive(time.Duration, netip.AddrPort, Message) {}
func (nd *node) Wake(now time.Duration)                         { nd.do(nd.m.Tick(now)) }

func (nd *node) Accepted(now time.Duration, s *sim.Stream[Message]) {
	nd.up(now, &conn{peer: idOf(s.Peer()), stream: s})
}

func (nd *node) Opened(now time.Duration, s *sim.Stream[Message]) {
	c := s.Data.(*conn)
	nd.up(now, c)
}

// up takes a connection as the link with a peer, or closes it.
func (nd *node) up(now time.Duration, c *conn) {
	c.stream.Data, c.up = c, true
	if old := nd.conns[c.peer]; old != nil && old != c {
		if old.up && old.dialled != c.dialled && !Wins(nd.id, c.peer, c.dialled) {
			c.stream.Close()
			return
		}
		if old.up {
			old.stream.Close()
		}
	}
	nd.conns[c.peer] = c
	nd.do(nd.m.LinkUp(now, c.peer, c.dialled))
}

func (nd *node) Deliver(now time.Duration, s *sim.Stream[Message], msg Message) {
	if c := s.Data.(*conn); nd.conns[c.peer] == c {
		nd.do(nd.m.Receive(now, c.peer, msg))
	}
}

func (nd *node) Broken(now time.Duration, s *sim.Stream[Message], _ crux.Kind) {
	c, ok := s.Data.(*conn)
	if !ok || nd.conns[c.peer] != c {
		return
	}
	delete(nd.conns, c.peer)
	if c.up {
		nd.do(nd.m.LinkDown(now, c.peer))
	} else {
		nd.do(nd.m.DialFailed(now, c.peer))
	}
}

func (nd *node) do(r Ready) {
	if r.Changed {
		nd.turns++
	}
	for _, s := range r.Sends {
		if c := nd.conns[s.To]; c != nil && c.up {
			c.stream.Send(s.Msg, s.Msg.Size()+frameOverhead)
		} else {
			nd.w.fail(nd, "sends %T without a link to %s", s.Msg, s.To)
		}
	}
	for _, id := range r.Close {
		if c := nd.conns[id]; c != nil {
			delete(nd.conns, id)
			c.stream.Close()
		}
	}
	for _, id := range slices.Clone(r.Dial) {
		nd.dials++
		c := &conn{peer: id, dialled: true}
		nd.conns[id] = c
		c.stream = nd.place.Dial(addrOf(id), 2*time.Second)
		c.stream.Data = c
	}
	nd.place.WakeAt(nd.m.NextTick())
	if why := nd.m.Flaw(); why != "" {
		nd.w.fail(nd, "%s", why)
	}
}

func (w *world) fail(nd *node, format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("node %s at %v: "+format, append([]any{nd.id, w.net.Now()}, args...)...)
	}
}

// startAll starts all nodes within a time.
func (w *world) startAll(within time.Duration) {
	for _, nd := range w.nodes {
		w.net.At(w.net.Now()+time.Duration(w.rng.Int64N(int64(within)+1)), nd.start)
	}
}

// mutual says whether all views agree with one another and with the links.
func (w *world) mutual() error {
	for _, nd := range w.nodes {
		if !nd.running() {
			continue
		}
		for _, id := range nd.m.Active() {
			peer := w.nodes[binary.BigEndian.Uint64(id[:])-1]
			if !peer.running() || !slices.Contains(peer.m.Active(), nd.id) {
				return fmt.Errorf("%s has %s as a neighbour, and is not its", nd.id, id)
			}
			if c := nd.conns[id]; c == nil || !c.up {
				return fmt.Errorf("%s has no link to its neighbour %s", nd.id, id)
			}
		}
		for id := range nd.conns {
			if l := nd.m.find(id); l == nil {
				return fmt.Errorf("%s has a link to %s that its machine does not know", nd.id, id)
			}
		}
	}
	return nil
}

// parts is the number of components among the running nodes.
func (w *world) parts() int {
	seen := map[crux.NodeID]bool{}
	parts := 0
	for _, nd := range w.nodes {
		if !nd.running() || seen[nd.id] {
			continue
		}
		parts++
		queue := []*node{nd}
		seen[nd.id] = true
		for len(queue) > 0 {
			x := queue[0]
			queue = queue[1:]
			for _, id := range x.m.Active() {
				y := w.nodes[binary.BigEndian.Uint64(id[:])-1]
				if !seen[id] && y.running() && slices.Contains(y.m.Active(), x.id) {
					seen[id] = true
					queue = append(queue, y)
				}
			}
		}
	}
	return parts
}

// degrees counts the running nodes by degree.
func (w *world) degrees() (by [8]int) {
	for _, nd := range w.nodes {
		if nd.running() {
			by[len(nd.m.Active())]++
		}
	}
	return by
}

// sent is the mean number of bytes that a node has sent, and of its dials.
func (w *world) sent() (bytes, dials float64) {
	for _, nd := range w.nodes {
		if nd.place != nil {
			bytes += float64(nd.place.Counters().SentBytes)
			dials += float64(nd.dials)
		}
	}
	return bytes / float64(len(w.nodes)), dials / float64(len(w.nodes))
}
