package route

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// node is the ID of the i-th test node. IDs are not in the order of i.
func node(i int) (id crux.NodeID) {
	binary.BigEndian.PutUint64(id[:], mix(uint64(i)+1))
	return id
}

func nodes(is ...int) (out []crux.NodeID) {
	for _, i := range is {
		out = append(out, node(i))
	}
	return out
}

func card(i int, epoch uint64, seq uint32) *Card {
	c := &Card{
		Node: node(i), Epoch: epoch, Seq: seq, Inst: "lashup1_0",
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7000),
		Link: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7001),
	}
	c.Session[0], c.Exchange[0], c.Sig[0] = byte(i), byte(i), byte(seq)
	return c
}

// adjacency makes one of epoch 1, with the edges named.
func adjacency(i int, clock uint64, edges ...int) *Adjacency {
	return sign(&Adjacency{Node: node(i), Epoch: 1, Clock: clock, Edges: nodes(edges...), Card: card(i, 1, 1)})
}

// sign gives an adjacency a signature that verify accepts.
func sign(a *Adjacency) *Adjacency {
	a.Normalize()
	copy(a.Sig[:], digest(a))
	return a
}

func verify(a *Adjacency) bool { return string(a.Sig[:8]) == string(digest(a)) }

func digest(a *Adjacency) []byte {
	h := sha256.Sum256(a.SignedBytes())
	return h[:8]
}

// withCuts is a copy of a with other cuts and a clock one greater.
func withCuts(a *Adjacency, clock uint64, cuts ...Cut) *Adjacency {
	b := a.withCard(a.Card)
	b.Clock, b.Cuts = clock, cuts
	return sign(b)
}

func newTable(self int) *Table { return New(node(self), NewIndex(), NewCache(DefaultCache)) }

// graph is an undirected graph that tests change and turn into adjacencies.
type graph struct {
	edges []map[int]bool
	clock []uint64
}

func newGraph(n int) *graph {
	g := &graph{edges: make([]map[int]bool, n), clock: make([]uint64, n)}
	for i := range g.edges {
		g.edges[i] = map[int]bool{}
	}
	return g
}

func (g *graph) set(a, b int, on bool) {
	if a == b {
		return
	}
	if on {
		g.edges[a][b], g.edges[b][a] = true, true
	} else {
		delete(g.edges[a], b)
		delete(g.edges[b], a)
	}
}

// next is node i's adjacency now, newer than the one before.
func (g *graph) next(i int) *Adjacency {
	g.clock[i]++
	a := &Adjacency{Node: node(i), Epoch: 1, Clock: g.clock[i], Card: card(i, 1, 1)}
	for e := range g.edges[i] {
		a.Edges = append(a.Edges, node(e))
	}
	return sign(a)
}

// randomGraph has n nodes of about the degree given, and hangs together.
func randomGraph(r *rand.Rand, n, degree int) *graph {
	g := newGraph(n)
	for i := 1; i < n; i++ {
		g.set(i, r.IntN(i), true)
	}
	for range n * (degree - 2) / 2 {
		g.set(r.IntN(n), r.IntN(n), true)
	}
	return g
}

// fill puts all of a graph into a table.
func fill(t *Table, g *graph) *Table {
	for i := range g.edges {
		if _, err := t.Update(g.next(i)); err != nil {
			panic(err)
		}
	}
	return t
}

// formed is a settled table of node 0 over a random graph.
func formed(n int) (*Table, *graph) {
	g := randomGraph(rand.New(rand.NewPCG(1, 2)), n, 6)
	t := fill(newTable(0), g)
	t.Settle(0)
	t.Settle(time.Second)
	return t, g
}

func sorted(ids []crux.NodeID) []crux.NodeID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, crux.NodeID.Compare)
	return ids
}
