package sim

import (
	"crypto/ed25519"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	confab "fulcrum.example/confab/sim"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// udpHeaders is what UDP and IPv4 add to a packet.
const udpHeaders = 28

// packet is a sealed message on the simulated wire.
type packet struct {
	sender      crux.NodeID
	incarnation uint64
	receiver    crux.NodeID
	peer        uint64    // Pair: the receiver's incarnation, as the sender knows it
	key         flock.Key // Group: what it is sealed with
	msg         flock.Message
}

// Candidates is the smallest subnet of 10.0.0.0/8 that holds so many hosts.
type Candidates struct{ bits int }

// CandidatesFor finds the smallest subnet for n hosts.
func CandidatesFor(n int) Candidates {
	bits := 2
	for 1<<bits-2 < n {
		bits++
	}
	return Candidates{bits}
}

// Len is the number of host addresses in the subnet.
func (c Candidates) Len() int { return 1<<c.bits - 2 }

// At is the i-th host address, with flock's port.
func (c Candidates) At(i int) netip.AddrPort {
	a := [4]byte{}
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i+1))
	return netip.AddrPortFrom(netip.AddrFrom4(a), 7700)
}

// World is a set of machines on one network.
type World struct {
	Net     *confab.Net[*packet]
	Nodes   []*Node
	cand    crux.Candidates
	seed    uint64
	check   checker
	formed  map[crux.FlockID]int // nodes that know all members and their leader
	want    int
	ByKind  map[flock.Kind]uint64
	Dropped uint64 // packets that no key opened
}

// Node is one machine and its place on the network.
type Node struct {
	World   *World
	M       *flock.Machine
	Place   *confab.Node[*packet]
	Index   int
	ID      crux.NodeID
	Inc     uint64
	key     [32]byte
	rng     *rand.Rand
	keys    flock.Keys
	started bool
	Ended   bool
	last    flock.Status
	formed  bool
	File    flock.Bloc
	Allow   func(ed25519.PublicKey) bool
}

// NewWorld makes a network for n nodes, none of which is up yet.
func NewWorld(n int, seed uint64, loss float64, rtt time.Duration) *World {
	w := &World{
		cand: CandidatesFor(n), seed: seed, formed: map[crux.FlockID]int{}, want: n, ByKind: map[flock.Kind]uint64{},
		check: newChecker(),
	}
	w.Net = confab.New(confab.Options[*packet]{
		Seed: seed, Loss: loss, MinDelay: rtt / 10, MaxDelay: rtt * 9 / 10,
		Tag: func(p *packet) uint64 { return uint64(p.msg.Kind()) },
	})
	for i := range n {
		nd := &Node{World: w, Index: i}
		binary.BigEndian.PutUint64(nd.key[:], seed)
		binary.BigEndian.PutUint64(nd.key[8:], uint64(i))
		nd.ID = crux.NodeIDOf(nd.key[:])
		nd.rng = rand.New(rand.NewPCG(seed, uint64(i)+1))
		nd.Place = w.Net.Add(w.cand.At(i), nd)
		nd.Place.Crash()
		w.Nodes = append(w.Nodes, nd)
	}
	return w
}

// Start brings a node up, as a new process.
func (nd *Node) Start() {
	w := nd.World
	nd.Inc++
	nd.keys, nd.Ended = flock.Keys{}, false
	allow := nd.Allow
	if allow == nil {
		allow = func(ed25519.PublicKey) bool { return true }
	}
	m, err := flock.New(flock.Config{
		Bloc: "sim", Name: "sim", Addr: nd.Place.Addr(), Key: nd.key, Incarnation: nd.Inc,
		Candidates: w.cand, Enrolled: allow, File: nd.File,
		Sign:    func(*flock.Record) {},
		Entropy: func(b []byte) { nd.fill(b) },
		Rand:    nd.rng,
	}, w.Net.Now())
	if err != nil {
		panic(err) // the configuration above is complete
	}
	nd.M, nd.started = m, true
	nd.Place.Restart(nd)
	nd.apply(m.Start(w.Net.Now()))
}

// Crash kills a node's process.
func (nd *Node) Crash() {
	nd.Place.Crash()
	nd.M = nil
	nd.update(flock.Status{})
}

// Up says whether the node runs.
func (nd *Node) Up() bool { return nd.M != nil && nd.Place.Up() && !nd.Ended }

func (nd *Node) fill(b []byte) {
	for i := range b {
		b[i] = byte(nd.rng.Uint64())
	}
}

// Receive is called by the network.
func (nd *Node) Receive(now time.Duration, from netip.AddrPort, p *packet) {
	if nd.M == nil || nd.Ended || !nd.opens(p) {
		nd.World.Dropped++
		return
	}
	nd.apply(nd.M.Receive(now, &flock.Packet{From: from, Sender: p.sender, Incarnation: p.incarnation, Message: p.msg}))
}

// opens says whether the node could open a packet.
func (nd *Node) opens(p *packet) bool {
	if !p.receiver.IsZero() && p.receiver != nd.ID {
		return false
	}
	switch p.msg.Sealing() {
	case flock.Pair:
		r := nd.M.Peer(p.sender)
		return r != nil && r.Incarnation == p.incarnation && p.peer == nd.Inc
	case flock.Group:
		for i := range nd.keys.Open {
			if nd.keys.Open[i] == p.key {
				return true
			}
		}
		return false
	}
	return true
}

// Wake is called by the network.
func (nd *Node) Wake(now time.Duration) {
	if nd.M != nil && !nd.Ended {
		nd.apply(nd.M.Tick(now))
	}
}

// Do calls the machine from outside the protocol.
func (nd *Node) Do(f func(now time.Duration, m *flock.Machine) flock.Ready) {
	nd.apply(f(nd.World.Net.Now(), nd.M))
}

func (nd *Node) apply(r flock.Ready) {
	if r.Keys != nil {
		nd.keys = *r.Keys
	}
	for i := range r.Sends {
		nd.transmit(&r.Sends[i])
	}
	if r.Ended {
		nd.Ended = true
		nd.update(flock.Status{})
		return
	}
	nd.Place.WakeAt(nd.M.NextTick())
	nd.update(nd.M.Status())
}

func (nd *Node) transmit(s *flock.Send) {
	p := &packet{sender: nd.ID, incarnation: nd.Inc, receiver: s.Receiver, msg: s.Message}
	switch s.Message.Sealing() {
	case flock.Pair:
		r := nd.M.Peer(s.Receiver)
		if r == nil {
			nd.World.Dropped++
			return
		}
		p.peer = r.Incarnation
	case flock.Group:
		p.key = nd.keys.Seal
	}
	size := udpHeaders + flock.Overhead + s.Message.Size()
	nd.World.ByKind[s.Message.Kind()] += uint64(size)
	nd.Place.Send(s.To, p, size)
}

// update notes a node's state after a step, and checks what must hold.
func (nd *Node) update(s flock.Status) {
	w := nd.World
	w.check.step(nd, &s)
	formed := s.Synced && s.Members == w.want && !s.Leader.IsZero()
	if formed != nd.formed || formed && s.Flock != nd.last.Flock {
		if nd.formed {
			w.formed[nd.last.Flock]--
		}
		if formed {
			w.formed[s.Flock]++
		}
		nd.formed = formed
	}
	nd.last = s
}

// Formed says whether all nodes are in one flock and know all its members and a
// leader.
func (w *World) Formed() bool {
	for _, n := range w.formed {
		if n >= w.want {
			return true
		}
	}
	return false
}

// Want sets how many nodes Formed is to count.
func (w *World) Want(n int) {
	w.want = n
	clear(w.formed)
	for _, nd := range w.Nodes {
		nd.formed = false
		if nd.M != nil {
			nd.update(nd.M.Status())
		}
	}
}

// Err is the first promise that was broken, or nil.
func (w *World) Err() error { return w.check.err }
