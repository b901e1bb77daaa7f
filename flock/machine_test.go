package flock

import (
	"crypto/ed25519"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// addrs are candidate addresses 10.0.0.1 and on.
type addrs int

func (a addrs) Len() int { return int(a) }
func (a addrs) At(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte((i + 1) >> 8), byte(i + 1)}), 7700)
}

// testConfig is the configuration of the i-th of 20 nodes.
func testConfig(i int) Config {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	c := Config{
		Bloc: "test", Name: "test", Addr: addrs(20).At(i), Incarnation: 1, Candidates: addrs(20),
		Enrolled: func(ed25519.PublicKey) bool { return true },
		Sign:     func(*Record) {},
		Entropy: func(b []byte) {
			for i := range b {
				b[i] = byte(rng.Uint64())
			}
		},
		Rand: rng,
	}
	binary.BigEndian.PutUint64(c.Key[:], uint64(i)+1)
	return c
}

func testMachine(t testing.TB, i int) *Machine {
	t.Helper()
	m, err := New(testConfig(i), 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Start(0)
	return m
}

// testRecord is a record of the i-th node.
func testRecord(i int, flock crux.FlockID) *Record {
	c := testConfig(i)
	return &Record{ID: crux.NodeIDOf(c.Key[:]), Key: c.Key, Addr: c.Addr, Incarnation: 1, Seq: 1, Flock: flock}
}

// from is a packet of the i-th node.
func from(i int, msg Message) *Packet {
	r := testRecord(i, crux.FlockID{})
	return &Packet{From: r.Addr, Sender: r.ID, Incarnation: 1, Message: msg}
}

// follower is machine 0 as a member of a flock of n that node 1 leads, in epoch 5.
func follower(t testing.TB, n int) *Machine {
	m := testMachine(t, 0)
	m.now = time.Second
	id := crux.FlockID{1}
	m.enter(id)
	m.adopt(testRecord(1, id), EpochInfo{Flock: id, Epoch: 5, Ballot: 9, Voters: uint32(n), Voter: true})
	pg := &Page{Flock: id, To: uint64(5<<32 + n)}
	for i := range n {
		pg.Entries = append(pg.Entries, &Entry{Version: uint64(5<<32 + i + 1), Slot: uint32(i), State: crux.Alive, Record: testRecord(i, id)})
	}
	m.Receive(m.now, from(1, pg))
	if !m.synced() || m.list.count != n {
		t.Fatalf("the list has %d members, synced: %v", m.list.count, m.synced())
	}
	return m
}

// sent finds the first message of a type among those sent to a node.
func sent[M Message](r Ready, to crux.NodeID) (M, bool) {
	for _, s := range r.Sends {
		if msg, ok := s.Message.(M); ok && (to.IsZero() || s.Receiver == to) {
			return msg, true
		}
	}
	var none M
	return none, false
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no bloc":       func(c *Config) { c.Bloc = "" },
		"no name":       func(c *Config) { c.Name = "" },
		"no address":    func(c *Config) { c.Addr = netip.AddrPort{} },
		"no port":       func(c *Config) { c.Addr = netip.AddrPortFrom(c.Addr.Addr(), 0) },
		"no candidates": func(c *Config) { c.Candidates = nil },
		"no entropy":    func(c *Config) { c.Entropy = nil },
		"no signer":     func(c *Config) { c.Sign = nil },
	} {
		c := testConfig(0)
		spoil(&c)
		if _, err := New(c, 0); crux.KindOf(err) != crux.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestANodeBeginsAsAFlockOfOneThatItLeads(t *testing.T) {
	m := testMachine(t, 0)
	v := m.View()
	if v.Leader != m.id || !v.Acting || !v.Synced || len(v.Members) != 1 || v.Epoch != 1 || v.Flock == (crux.FlockID{}) {
		t.Errorf("the first view is %+v", v)
	}
	if m.View() != v {
		t.Error("a view that has not changed is made anew")
	}
	if o := testMachine(t, 1); o.flock == m.flock {
		t.Error("two nodes drew one flock ID")
	}
}

func TestProbesReachEveryCandidateAndNeverTheNodeItself(t *testing.T) {
	c := testConfig(7)
	c.Candidates = addrs(500)
	m, err := New(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.AddrPort]bool{}
	r := m.Start(0)
	sends := 0
	for now := time.Duration(0); len(seen) < 499; now = m.NextTick() {
		if now > 10*time.Minute {
			t.Fatalf("after %v and %d probes %d of 499 others have been probed", now, sends, len(seen))
		}
		if now > 0 {
			r = m.Tick(now)
		}
		for _, s := range r.Sends {
			if _, ok := s.Message.(*Hello); ok {
				seen[s.To] = true
				sends++
			}
		}
		if seen[c.Addr] {
			t.Fatal("it probed itself")
		}
	}
}

func TestTimesKeepTheirOrder(t *testing.T) {
	for n := 1; n < 40_000; n += 37 {
		p, l := promise(n), lease(n)
		if l+l/10 >= p {
			t.Fatalf("%d members: a lease of %v is too near the promise of %v", n, l, p)
		}
		if silence(n) <= p || suspectAfter(n) <= p || lostAfter(n) <= suspectAfter(n) {
			t.Fatalf("%d members: promise %v, silence %v, suspect %v, lost %v", n, p, silence(n), suspectAfter(n), lostAfter(n))
		}
		if promise(n+1) < p {
			t.Fatalf("%d members: a larger flock has a shorter promise", n)
		}
	}
	if d := silence(1000) + 2*rankStep; d > 1500*time.Millisecond {
		t.Errorf("at 1,000 members the second candidate stands after %v", d)
	}
}
