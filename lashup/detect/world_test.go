package detect

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fulcrum.example/confab/sim"
	"fulcrum.example/crux"
)

// overhead is what sealing, UDP and IPv4 add to a message.
const overhead = 52 + 16 + 28

// world is a group of detectors on a simulated network. Edges are given; verdicts
// end them, and accusations travel to the target's other neighbours by magic.
type world struct {
	net   *sim.Net[Message]
	nodes []*node
	rng   *rand.Rand
	log   []event
}

type event struct {
	at       time.Duration
	by       *node
	verdict  Verdict
	isolated bool
}

type node struct {
	w       *world
	m       *Machine
	id      crux.NodeID
	place   *sim.Node[Message]
	edges   []crux.NodeID
	results []Result
	gone    Outcome // what its kernel answers; 0: by its state
	blocked map[int]bool
}

func nodeID(i int) (id crux.NodeID) {
	binary.BigEndian.PutUint64(id[:], uint64(i+1))
	return id
}

func addrOf(id crux.NodeID) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, id[5], id[6], id[7]}), 1)
}

// newWorld makes n nodes, each with neighbours of about the given number, that
// all began at time 0.
func newWorld(n, degree int, seed uint64, loss float64) *world {
	return makeWorld(n, degree, sim.Options[Message]{
		Seed: seed, Loss: loss, MinDelay: 200 * time.Microsecond, MaxDelay: 1200 * time.Microsecond,
	})
}

// slowWorld has a delay of so much one way, and half as much now and then.
func slowWorld(n int, one time.Duration, seed uint64) *world {
	return makeWorld(n, 6, sim.Options[Message]{Seed: seed, Loss: 0.01, MinDelay: one / 2, MaxDelay: one})
}

func makeWorld(n, degree int, opt sim.Options[Message]) *world {
	seed := opt.Seed
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), net: sim.New(opt)}
	for i := range n {
		nd := &node{w: w, id: nodeID(i)}
		nd.m = New(Config{Self: nd.id, Rand: rand.New(rand.NewPCG(seed, uint64(i)+2)), Witnesses: nd.witnesses}, 0)
		nd.place = w.net.Add(addrOf(nd.id), nd)
		w.nodes = append(w.nodes, nd)
	}
	w.link(degree)
	for _, nd := range w.nodes {
		nd.do(nd.m.Neighbours(0, nd.edges))
	}
	return w
}

// link draws cycles through all nodes until the degree is reached.
func (w *world) link(degree int) {
	for range degree / 2 {
		p := w.rng.Perm(len(w.nodes))
		for i := range p {
			a, b := w.nodes[p[i]], w.nodes[p[(i+1)%len(p)]]
			if a != b && !slices.Contains(a.edges, b.id) {
				a.edges, b.edges = append(a.edges, b.id), append(b.edges, a.id)
			}
		}
	}
}

func (w *world) node(id crux.NodeID) *node {
	return w.nodes[binary.BigEndian.Uint64(id[:])-1]
}

// witnesses are the target's neighbours, then this node's.
func (nd *node) witnesses(target crux.NodeID, n int) (ids []crux.NodeID) {
	other := slices.Clone(nd.w.node(target).edges)
	nd.w.rng.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
	for _, id := range append(other, nd.edges...) {
		if id != nd.id && id != target && !slices.Contains(ids, id) && len(ids) < n {
			ids = append(ids, id)
		}
	}
	return ids
}

func (nd *node) Receive(now time.Duration, from netip.AddrPort, msg Message) {
	a := from.Addr().As4()
	id := crux.NodeID{5: a[1], 6: a[2], 7: a[3]}
	nd.do(nd.m.Receive(now, id, msg))
}

func (nd *node) Wake(now time.Duration) { nd.do(nd.m.Tick(now)) }

func (nd *node) do(r Ready) {
	now := nd.w.net.Now()
	for _, s := range r.Sends {
		nd.place.Send(addrOf(s.To), s.Msg, s.Msg.Size()+overhead)
	}
	for _, id := range r.Probes {
		nd.probe(id)
	}
	nd.results = append(nd.results, r.Results...)
	if r.Isolated != nil {
		nd.w.log = append(nd.w.log, event{at: now, by: nd, isolated: *r.Isolated})
	}
	verdicts := slices.Clone(r.Verdicts)
	nd.place.WakeAt(nd.m.NextTick())
	for _, v := range verdicts {
		nd.verdict(v)
	}
}

// probe answers as a kernel would.
func (nd *node) probe(id crux.NodeID) {
	other := nd.w.node(id)
	o, after := other.gone, time.Millisecond
	if o == 0 {
		o = Accepted
	}
	if o == Silent || nd.blocked[int(other.id[7])] {
		o, after = Silent, 100*time.Millisecond
	}
	nd.w.net.At(nd.w.net.Now()+after, func() {
		if nd.place.Up() {
			nd.do(nd.m.Probed(nd.w.net.Now(), id, o))
		}
	})
}

// verdict does what the fabric would: the edge ends, or is made again, and the
// target's other neighbours hear of it, and the target.
func (nd *node) verdict(v Verdict) {
	w := nd.w
	w.log = append(w.log, event{at: w.net.Now(), by: nd, verdict: v})
	nd.edges = slices.DeleteFunc(nd.edges, func(id crux.NodeID) bool { return id == v.Node })
	if v.Why == Alive {
		nd.edges = append(nd.edges, v.Node)
	}
	nd.do(nd.m.Neighbours(w.net.Now(), nd.edges))
	if v.Why != Dead && v.Why != Hung {
		return
	}
	for _, o := range w.nodes {
		if o == nd || o.id != v.Node && !slices.Contains(o.edges, v.Node) {
			continue
		}
		at := w.net.Now() + time.Millisecond + time.Duration(w.rng.Int64N(int64(3*time.Millisecond)))
		w.net.At(at, func() {
			switch {
			case !o.place.Up():
			case o.id == v.Node:
				o.do(o.m.Refute(w.net.Now(), nd.id))
			default:
				o.do(o.m.Accused(w.net.Now(), v.Node, nd.id))
			}
		})
	}
}

// kill ends a node's host in silence.
func (nd *node) kill() { nd.gone = Silent; nd.place.Crash() }

// hang stops its process.
func (nd *node) hang() { nd.gone = Accepted; nd.place.Suspend() }

// verdicts counts the verdicts about a node, by why; and the times of the first
// and the last.
func (w *world) verdicts(about *node) (by map[Why]int, first, last time.Duration) {
	by = map[Why]int{}
	for _, e := range w.log {
		if e.verdict.Why == 0 || e.verdict.Node != about.id {
			continue
		}
		if len(by) == 0 {
			first = e.at
		}
		last = e.at
		by[e.verdict.Why]++
	}
	return by, first, last
}

// bytes is what a node sends on the mean.
func (w *world) bytes() float64 {
	total := uint64(0)
	for _, nd := range w.nodes {
		total += nd.place.Counters().SentBytes
	}
	return float64(total) / float64(len(w.nodes))
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// detection takes one node away in each of many worlds.
func detection(t *testing.T, seeds int, loss float64, take func(*node), want Why) {
	t.Helper()
	var first, all []time.Duration
	for s := range seeds {
		w := newWorld(30, 6, uint64(s+1), loss)
		w.net.RunUntil(4*time.Second + time.Duration(w.rng.Int64N(int64(time.Second))))
		if len(w.log) > 0 {
			t.Fatalf("seed %d: %+v before anything happened", s+1, w.log[0])
		}
		x := w.nodes[w.rng.IntN(len(w.nodes))]
		edges := len(x.edges)
		at := w.net.Now()
		take(x)
		w.net.RunUntil(at + 2*time.Second)
		by, f, l := w.verdicts(x)
		if by[want] < edges || len(by) != 1 {
			t.Fatalf("seed %d: %d neighbours have found %v: %+v", s+1, edges, by, w.log)
		}
		for _, e := range w.log {
			if e.verdict.Node != x.id {
				t.Fatalf("seed %d: a verdict about another node: %+v", s+1, e)
			}
		}
		first, all = append(first, f-at), append(all, l-at)
	}
	t.Logf("loss %.0f%%: first verdict %v median, %v worst; all neighbours %v median, %v p99, %v worst", 100*loss,
		quantile(first, .5), quantile(first, 1), quantile(all, .5), quantile(all, .99), quantile(all, 1))
	limit := 300 * time.Millisecond
	if loss > 0.05 {
		limit = 500 * time.Millisecond
	}
	if quantile(all, .5) > limit || quantile(all, 1) > 900*time.Millisecond {
		t.Error("that is too slow")
	}
}
