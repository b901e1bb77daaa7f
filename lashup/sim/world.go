package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"time"

	confab "fulcrum.example/confab/sim"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/route"
)

// Setting describes a world. Nodes, at least, is needed.
type Setting struct {
	Nodes    int
	Seed     uint64
	Loss     float64       // of all packets
	Delay    time.Duration // each one-way delay is uniform in 0.2 to 1.2 of it
	Contacts []int         // whom everybody knows at first; none: everybody knows everybody
	Masters  []int
	Replicas bool // run the store's replicas, too
	Verify   bool // hold every node to what it promises, after each step
}

// World is a set of fabrics on one network.
type World struct {
	Net   *confab.Net[parcel]
	Nodes []*Node
	// Watch, if not nil, is called after each step that changed what a node's
	// user sees.
	Watch func(nd *Node, r *fabric.Ready)

	set      Setting
	rng      *rand.Rand // for the user's choices
	byID     map[crux.NodeID]*Node
	index    *route.Index
	cache    *route.Cache
	members  []fabric.Member
	gone     map[crux.NodeID]bool    // whom the flock has evicted
	list     *fabric.Members         // what the flock tells
	standing []replica.Member        // the same, for replicas
	spent    map[reflect.Type]uint64 // bytes by the type of messages
	tally    tally
	err      error
}

// NewWorld makes a network for set.Nodes nodes, none of which is up yet.
func NewWorld(set Setting) *World {
	w := &World{
		set: set, rng: rand.New(rand.NewPCG(set.Seed, 0x776f726c64)), byID: make(map[crux.NodeID]*Node, set.Nodes), gone: map[crux.NodeID]bool{},
		index: route.NewIndex(), cache: route.NewCache(cacheFor(set.Nodes)), spent: map[reflect.Type]uint64{},
	}
	w.tally = tally{up: make([]int32, set.Nodes), updates: map[string]*update{}}
	w.Net = confab.New(confab.Options[parcel]{
		Seed: set.Seed, Loss: set.Loss, MinDelay: set.Delay / 5, MaxDelay: set.Delay * 6 / 5,
		Tag: tagOf, Unanswered: unanswered,
	})
	for i := range set.Nodes {
		w.add(i)
	}
	for _, nd := range w.Nodes {
		w.members = append(w.members, fabric.Member{ID: nd.ID, Contact: len(set.Contacts) == 0})
		w.standing = append(w.standing, replica.Member{ID: nd.ID, Standing: replica.Stable})
	}
	for _, i := range set.Contacts {
		w.members[i].Contact = true
	}
	for _, i := range set.Masters {
		w.members[i].Master, w.Nodes[i].master = true, true
	}
	w.list = fabric.NewMembers(w.members)
	return w
}

// cacheFor is how many bytes of trees and the like the nodes may share: a tree
// from each node for a few shapes of the graph.
func cacheFor(nodes int) int { return max(route.DefaultCache, min(nodes*nodes*14*4, 1<<30)) }

func (w *World) add(i int) {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], w.set.Seed)
	binary.BigEndian.PutUint64(key[8:], uint64(i)+1)
	nd := &Node{
		World: w, Index: i, ID: crux.NodeIDOf(key[:]),
		rng: rand.New(rand.NewPCG(w.set.Seed, uint64(i)+1)),
	}
	nd.addr = addrOf(i)
	nd.Place = w.Net.Add(nd.addr, nd)
	nd.Place.Crash()
	w.Nodes = append(w.Nodes, nd)
	w.byID[nd.ID] = nd
}

func addrOf(i int) netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i+1))
	return netip.AddrPortFrom(netip.AddrFrom4(a), 7701)
}

// Node finds a node by its ID, or gives nil.
func (w *World) Node(id crux.NodeID) *Node { return w.byID[id] }

// StartAll starts all nodes that are not up, each at a random time within
// spread, and returns when the last one will start.
func (w *World) StartAll(spread time.Duration) time.Duration {
	last := w.Net.Now()
	for _, nd := range w.Nodes {
		if nd.F == nil {
			last = max(last, w.startWithin(nd, spread))
		}
	}
	return last
}

func (w *World) startWithin(nd *Node, spread time.Duration) time.Duration {
	at := w.Net.Now()
	if spread > 0 {
		at += time.Duration(nd.rng.Int64N(int64(spread)))
	}
	w.Net.At(at, nd.Start)
	return at
}

// flock is what the flock tells every node.
func (w *World) flock() *fabric.Members { return w.list }

// Evict has the flock tell everybody that a node is no member any more; Admit,
// that it is one again.
func (w *World) Evict(nd *Node) { w.gone[nd.ID] = true; w.tellMembers() }

// Admit undoes Evict.
func (w *World) Admit(nd *Node) { delete(w.gone, nd.ID); w.tellMembers() }

func (w *World) tellMembers() {
	var list []fabric.Member
	for _, m := range w.members {
		if !w.gone[m.ID] {
			list = append(list, m)
		}
	}
	w.list = fabric.NewMembers(list)
	for _, nd := range w.Nodes {
		if nd.Up() {
			nd.Do(func(now time.Duration, f *fabric.Machine) fabric.Ready { return f.Members(now, w.list) })
		}
	}
}

// Err is the first promise that was broken, or nil.
func (w *World) Err() error { return w.err }

// SentBytes is what all nodes have sent so far.
func (w *World) SentBytes() (n uint64) {
	for _, nd := range w.Nodes {
		n += nd.Place.Counters().SentBytes
	}
	return n
}

// spend counts bytes by what they were sent for.
func (w *World) spend(msg any, bytes int) { w.spent[reflect.TypeOf(msg)] += uint64(bytes) }

// Spent is what all nodes have sent so far, in bytes, by the type of message;
// acknowledgements and retransmissions of streams are not in it.
func (w *World) Spent() map[string]uint64 {
	out := map[string]uint64{}
	for t, n := range w.spent {
		out[t.String()] = n
	}
	return out
}
