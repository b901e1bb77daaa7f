package flock

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

// anything draws messages that a decoder could make of a hostile packet: every
// field whatever it likes, with a taste for what the machine might believe.
type anything struct {
	t *rapid.T
	m *Machine
}

func (a anything) u64() uint64 {
	return rapid.OneOf(rapid.Uint64Range(0, 6), rapid.SampledFrom([]uint64{
		a.m.epoch.Epoch, a.m.epoch.Epoch + 1, a.m.nonce, a.m.list.have.whole(), a.m.epoch.Epoch << 32, math.MaxUint64, math.MaxUint64 - 1,
	}), rapid.Uint64()).Draw(a.t, "u64")
}

func (a anything) flock() crux.FlockID {
	return rapid.SampledFrom([]crux.FlockID{a.m.flock, {}, {200}, {3}}).Draw(a.t, "flock")
}

func (a anything) node() crux.NodeID {
	i := rapid.IntRange(-1, 6).Draw(a.t, "node")
	if i < 0 {
		return crux.NodeID{}
	}
	return testRecord(i, crux.FlockID{}).ID
}

func (a anything) addr() netip.AddrPort {
	return rapid.SampledFrom([]netip.AddrPort{{}, addrs(9).At(0), addrs(9).At(3), netip.AddrPortFrom(netip.IPv6Loopback(), 0)}).Draw(a.t, "addr")
}

func (a anything) record() *Record {
	if rapid.IntRange(0, 9).Draw(a.t, "nil") == 0 {
		return nil
	}
	r := testRecord(rapid.IntRange(0, 6).Draw(a.t, "who"), a.flock())
	r.Incarnation, r.Seq, r.Bloc = rapid.Uint64Range(0, 3).Draw(a.t, "inc"), a.u64(), rapid.Uint64Range(0, 2).Draw(a.t, "bloc")
	r.Addr = a.addr()
	return r
}

func (a anything) bloc() Bloc {
	return rapid.SampledFrom([]Bloc{{}, {}, {}, {Version: 3}, {Open: true}}).Draw(a.t, "file")
}

func (a anything) summary() Summary {
	return Summary{Flock: a.flock(), Epoch: a.u64(), Leader: a.node(), Addr: a.addr(), Size: uint32(a.u64()), Bloc: a.bloc()}
}

func (a anything) info() EpochInfo {
	return EpochInfo{Flock: a.flock(), Epoch: a.u64(), Ballot: a.u64(), Voters: uint32(a.u64()), Hash: a.u64(), Voter: a.yes()}
}

func (a anything) yes() bool      { return rapid.Bool().Draw(a.t, "bool") }
func (a anything) code() byte     { return byte(rapid.IntRange(0, 9).Draw(a.t, "code")) }
func (a anything) head() ListInfo { return ListInfo{a.u64(), a.u64()} }

func (a anything) message() Message {
	switch Kind(rapid.IntRange(0, int(kinds)).Draw(a.t, "kind")) {
	case KindHello:
		return &Hello{a.yes(), a.summary(), a.summary()}
	case KindJoin:
		return &Join{a.record(), a.flock(), a.u64(), a.yes(), a.summary()}
	case KindOffer:
		return &Offer{a.record(), a.u64(), OfferCode(a.code()), a.summary()}
	case KindAccept:
		return &Accept{a.record(), a.u64()}
	case KindGrant:
		return &Grant{a.u64(), a.info(), uint32(a.u64()), a.head(), uint32(a.u64()), a.node(), a.addr()}
	case KindProofAsk:
		return &ProofAsk{a.flock(), a.u64(), uint16(a.u64())}
	case KindProof:
		p := &Proof{Flock: a.summary(), Seed: a.u64(), Page: uint16(a.u64()), Pages: uint16(a.u64())}
		for range rapid.IntRange(0, 6).Draw(a.t, "records") {
			p.Records = append(p.Records, a.record())
		}
		return p
	case KindMove:
		return &Move{a.flock(), a.summary()}
	case KindFound:
		return &Found{a.flock(), a.summary()}
	case KindBeat:
		return &Beat{a.flock(), a.u64(), a.u64(), a.u64(), uint32(a.u64()), a.head(), crux.MemberState(a.code()), a.yes()}
	case KindAck:
		return &Ack{a.flock(), a.u64(), a.u64(), a.u64()}
	case KindEpoch:
		return &Epoch{Phase(a.code()), a.info()}
	case KindVote:
		return &Vote{a.flock(), a.u64(), a.u64(), VoteCode(a.code())}
	case KindPreVote:
		return &PreVote{a.flock(), a.u64(), a.u64(), a.u64()}
	case KindPreVoteReply:
		return &PreVoteReply{a.flock(), a.u64(), a.u64(), VoteCode(a.code())}
	case KindRelease:
		return &Release{a.flock(), a.u64(), a.u64()}
	case KindStale:
		return &Stale{a.flock(), a.u64(), a.summary()}
	case KindLeave:
		return &Leave{a.flock()}
	case KindDismiss:
		return &Dismiss{a.flock(), OfferCode(a.code())}
	case KindPull:
		return &Pull{a.flock(), a.u64(), a.u64()}
	case KindPage:
		p := &Page{Flock: a.flock(), From: a.u64(), To: a.u64()}
		for range rapid.IntRange(0, 6).Draw(a.t, "entries") {
			e := &Entry{a.u64(), uint32(a.u64()), crux.MemberState(rapid.SampledFrom([]byte{0, 1, 2, 3, 4, 0xfe, 0xff}).Draw(a.t, "state")), a.record()}
			if a.code() == 0 {
				e = nil
			}
			p.Entries = append(p.Entries, e)
		}
		return p
	}
	return nil
}

// Whatever members, strangers and rogues send, in whatever order: the machine
// does not panic, its tables stay bounded, what it says of itself holds
// together, and no reply is longer than the question of a stranger.
func TestNoMessageBreaksAMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m *Machine
		switch rapid.IntRange(0, 2).Draw(t, "start") {
		case 0:
			m = testMachine(quiet{}, 0)
		case 1:
			m = follower(quiet{}, 4)
		case 2:
			m = testMachine(quiet{}, 0)
			for i := 1; i < 4; i++ {
				m.Receive(m.now, from(i, &Join{Record: testRecord(i, crux.FlockID{}), Nonce: 1}))
				m.Receive(m.now, from(i, &Accept{Record: testRecord(i, m.flock), Nonce: 1}))
			}
		}
		a := anything{t, m}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now := m.now + time.Duration(rapid.Int64Range(0, int64(400*time.Millisecond)).Draw(t, "time"))
			var r Ready
			if rapid.IntRange(0, 3).Draw(t, "tick") == 0 {
				r = m.Tick(now)
			} else {
				p := &Packet{From: a.addr(), Sender: a.node(), Incarnation: rapid.Uint64Range(0, 3).Draw(t, "incarnation"), Message: a.message()}
				r = m.Receive(now, p)
				if p.Message != nil && p.Message.Sealing() == Discovery {
					checkReplies(t, p, r)
				}
			}
			checkSelf(t, m, r)
		}
	})
}

// quiet is a testing.TB for helpers inside rapid, whose failures would panic.
type quiet struct{ testing.TB }

func (quiet) Helper() {}

// checkReplies holds the answers to a stranger to the length of its question.
func checkReplies(t *rapid.T, p *Packet, r Ready) {
	for _, s := range r.Sends {
		if s.To == p.From && s.Message.Sealing() == Discovery && s.Message.Size() > p.Message.Size() {
			t.Fatalf("%T of %d bytes answers %T of %d", s.Message, s.Message.Size(), p.Message, p.Message.Size())
		}
	}
}

func checkSelf(t *rapid.T, m *Machine, r Ready) {
	v := m.View()
	if _, ok := v.Member(m.id); !ok {
		t.Fatal("it is not among the members of its own view")
	}
	if v.Acting && v.Leader != m.id {
		t.Fatalf("acting, but the leader is %s", v.Leader)
	}
	for i := 1; i < len(v.Members); i++ {
		if v.Members[i-1].ID.Compare(v.Members[i].ID) >= 0 {
			t.Fatal("the view's members are not sorted")
		}
	}
	for i, id := range v.Evicted {
		if _, ok := v.Member(id); ok || i > 0 && v.Evicted[i-1].Compare(id) >= 0 {
			t.Fatal("who was evicted is a member, or they are not sorted")
		}
	}
	if m.NextTick() < 0 {
		t.Fatalf("next tick at %v", m.NextTick())
	}
	if len(m.keys.open) > maxKeys || len(m.list.have) > maxSpans || len(m.view.hints) > maxHints || len(m.probe.bad) > maxBad || len(m.offers) > maxPropose {
		t.Fatal("a table has outgrown its bound")
	}
	for _, s := range r.Sends {
		if s.Message.Size() > MaxBody {
			t.Fatalf("%T of %d bytes does not fit a packet", s.Message, s.Message.Size())
		}
		if s.Message.Sealing() != Discovery && s.Receiver.IsZero() {
			t.Fatalf("%T to nobody", s.Message)
		}
	}
}

func TestAFloodOfJoinsFillsABoundedTable(t *testing.T) {
	m := testMachine(t, 0)
	for i := range 3 * maxPending {
		r := testRecord(1, crux.FlockID{})
		r.ID = crux.NodeID{1, byte(i >> 16), byte(i >> 8), byte(i)}
		m.Receive(m.now, &Packet{From: r.Addr, Sender: r.ID, Incarnation: 1, Message: &Join{Record: r, Nonce: 1}})
	}
	if n := len(m.pending.byID); n > maxPending {
		t.Errorf("%d pending joins", n)
	}
	m.now += pendingFor + time.Millisecond
	r := m.Receive(m.now, from(2, &Join{Record: testRecord(2, crux.FlockID{}), Nonce: 1}))
	if o, ok := sent[*Offer](r, crux.NodeID{}); !ok || o.Code != OfferOK {
		t.Errorf("after the flood an honest node is told %+v", o)
	}
}
