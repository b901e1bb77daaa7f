package flock

import (
	"encoding/binary"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"fulcrum.example/crux"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// Machine is one node's part in the protocol. Its state is divided by subject,
// each in the file of that name.
type Machine struct {
	cfg  Config
	log  *slog.Logger
	id   crux.NodeID
	now  time.Duration
	out  Ready
	self *Record

	// The flock that this node is in.
	role   Role
	flock  crux.FlockID
	leader *Record   // nil: none known
	epoch  EpochInfo // the current one; Voter: this node is one of its voters
	began  time.Duration
	list   *list
	prev   *list // the list of the flock that this node was in before, for a while
	prevAt time.Duration

	follow  follow      // what a member hears of its leader: beat.go
	vote    ballot      // the vote given away: elect.go
	offers  []offer     // proposals of the next epoch: epoch.go
	keys    keyring     // epoch.go
	elect   campaign    // elect.go
	lead    *leadership // lead.go; nil unless role is Leader
	probe   probe       // probe.go
	join    *joining    // join.go; nil unless this node is going somewhere
	pending *pending    // join.go: who may send an Accept
	merge   *merging    // merge.go; nil unless this node's flock is going somewhere
	sync    syncing     // sync.go
	view    view        // view.go

	leaving  int // Leaves still to be sent, plus one
	leaveAt  time.Duration
	ended    bool
	stats    Stats
	nonce    uint64
	touchSeq uint64
}

// New makes a machine. It fails with Invalid when cfg lacks something.
func New(cfg Config, now time.Duration) (*Machine, error) {
	switch {
	case cfg.Bloc == "" || cfg.Name == "":
		return nil, crux.Errorf("make flock", crux.Invalid, "the bloc and the flock need names")
	case !cfg.Addr.IsValid() || cfg.Addr.Port() == 0:
		return nil, crux.Errorf("make flock", crux.Invalid, "%s is not an address that others could reach", cfg.Addr)
	case cfg.Candidates == nil || cfg.Enrolled == nil || cfg.Sign == nil || cfg.Entropy == nil || cfg.Rand == nil:
		return nil, crux.Errorf("make flock", crux.Invalid, "Candidates, Enrolled, Sign, Entropy and Rand are needed")
	}
	m := &Machine{cfg: cfg, log: cfg.Log, id: crux.NodeIDOf(cfg.Key[:]), now: now}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.pending = newPending()
	m.probe.init(m)
	m.found()
	return m, nil
}

// Start sends the first probes.
func (m *Machine) Start(now time.Duration) Ready {
	m.begin(now)
	m.probe.next = now
	m.probe.until = now + m.jitter(exploreFor)
	m.runTimers()
	return m.end()
}

// Receive takes in a message.
func (m *Machine) Receive(now time.Duration, p *Packet) Ready {
	m.begin(now)
	if m.ended || m.leaving > 0 || p.Message == nil || p.Sender == m.id || p.Sender.IsZero() {
		m.stats.Ignored++
		return m.end()
	}
	if k := p.Message.Kind(); k < kinds {
		m.stats.Received[k]++
	}
	m.dispatch(p)
	return m.end()
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready {
	m.begin(now)
	if !m.ended {
		m.runTimers()
	}
	return m.end()
}

// NextTick is when Tick has something to do again.
func (m *Machine) NextTick() time.Duration {
	switch {
	case m.ended:
		return never
	case m.leaving > 0:
		return m.leaveAt
	}
	t := min(m.probe.next, m.elect.at, m.sync.at, m.keys.expires(), m.view.expires())
	if m.lead != nil {
		t = min(t, m.nextLead())
	}
	if m.join != nil {
		t = min(t, m.join.at)
	}
	if m.merge != nil {
		t = min(t, m.merge.at, m.merge.over)
	}
	return t
}

// SetFile tells the machine that another bloc file is at hand: what Enrolled
// answers may have changed, too.
func (m *Machine) SetFile(now time.Duration, f Bloc) Ready {
	m.begin(now)
	if f != m.cfg.File {
		m.cfg.File = f
		m.touchFile()
		m.dropUnlisted()
	}
	return m.end()
}

// Evict removes a member. It fails with Unavailable where this node is not the
// acting leader, and names the leader; and with NotFound for who is no member.
func (m *Machine) Evict(now time.Duration, id crux.NodeID) (Ready, error) {
	m.begin(now)
	err := m.evict(id)
	return m.end(), err
}

// Leave leaves the flock. Ready.Ended follows, at once or after some ticks.
func (m *Machine) Leave(now time.Duration) Ready {
	m.begin(now)
	if m.leaving == 0 && !m.ended {
		m.leaving, m.leaveAt = 3, now
		m.sendLeaves()
	}
	return m.end()
}

// Peer gives the newest record of a node with which this one may exchange Pair
// messages, or nil.
func (m *Machine) Peer(id crux.NodeID) *Record {
	var best *Record
	consider := func(r *Record) {
		if r != nil && r.ID == id && (best == nil || r.Newer(best)) {
			best = r
		}
	}
	consider(m.leader)
	if e := m.list.get(id); e != nil && (e.State != Evicted || m.role == Leader) {
		consider(e.Record) // who was evicted is heard by the leader only, to be told so
	}
	consider(m.pending.get(id))
	if m.join != nil {
		consider(m.join.peer)
	}
	if m.merge != nil {
		consider(m.merge.peer)
	}
	if best == nil && m.prev != nil {
		if e := m.prev.get(id); e != nil {
			consider(e.Record)
		}
	}
	if best != nil && !m.listed(best) {
		return nil // another bloc file came since, or its line was never the leader's
	}
	return best
}

// Record is this node's own newest record.
func (m *Machine) Record() *Record { return m.self }

// Stats returns the counters.
func (m *Machine) Stats() Stats { return m.stats }

func (m *Machine) begin(now time.Duration) {
	m.now = max(m.now, now)
	m.out = Ready{Sends: m.out.Sends[:0]}
}

func (m *Machine) end() Ready {
	m.keys.publish(m)
	m.out.Changed = m.view.takeChanged()
	m.out.Ended = m.ended
	return m.out
}

// runTimers does what is due, subject by subject.
func (m *Machine) runTimers() {
	if m.leaving > 0 {
		if m.now >= m.leaveAt {
			m.sendLeaves()
		}
		return // nothing else: it is going
	}
	if m.lead != nil {
		m.tickLead()
	}
	if m.now >= m.elect.at {
		m.tickElect()
	}
	if m.join != nil && m.now >= m.join.at {
		m.tickJoin()
	}
	if m.merge != nil && (m.now >= m.merge.at || m.now >= m.merge.over) {
		m.tickMerge()
	}
	if m.now >= m.sync.at {
		m.tickSync()
	}
	if m.now >= m.probe.next {
		m.tickProbe()
	}
	m.keys.expire(m)
	m.view.expire(m)
	if m.prev != nil && m.now >= m.prevAt {
		m.prev = nil
	}
}

// dispatch hands a message to its handler.
func (m *Machine) dispatch(p *Packet) {
	if e := m.list.get(p.Sender); e != nil && e.State == Evicted && p.Message.Sealing() != Discovery {
		m.ignore()
		if m.role == Leader && p.Message.Sealing() == Pair {
			m.reply(p, &Dismiss{Flock: m.flock, Code: OfferEvicted})
		}
		return
	}
	switch msg := p.Message.(type) {
	case *Hello:
		m.onHello(p, msg)
	case *Join:
		m.onJoin(p, msg)
	case *Offer:
		m.onOffer(p, msg)
	case *Accept:
		m.onAccept(p, msg)
	case *Grant:
		m.onGrant(p, msg)
	case *ProofAsk:
		m.onProofAsk(p, msg)
	case *Proof:
		m.onProof(p, msg)
	case *Move:
		m.onMove(p, msg)
	case *Found:
		m.onFound(p, msg)
	case *Beat:
		m.onBeat(p, msg)
	case *Ack:
		m.onAck(p, msg)
	case *Epoch:
		m.onEpoch(p, msg)
	case *Vote:
		m.onVote(p, msg)
	case *PreVote:
		m.onPreVote(p, msg)
	case *PreVoteReply:
		m.onPreVoteReply(p, msg)
	case *Release:
		m.onRelease(p, msg)
	case *Stale:
		m.onStale(p, msg)
	case *Leave:
		m.onLeave(p, msg)
	case *Dismiss:
		m.onDismiss(p, msg)
	case *Pull:
		m.onPull(p, msg)
	case *Page:
		m.onPage(p, msg)
	default:
		m.ignore()
	}
}

// ignore counts a message that changes nothing.
func (m *Machine) ignore() { m.stats.Ignored++ }

// send queues a message to a node, at its address.
func (m *Machine) send(to *Record, msg Message) {
	m.out.Sends = append(m.out.Sends, Send{To: to.Addr, Receiver: to.ID, Message: msg})
}

// reply queues a message to where a packet came from.
func (m *Machine) reply(p *Packet, msg Message) {
	m.out.Sends = append(m.out.Sends, Send{To: p.From, Receiver: p.Sender, Message: msg})
}

// sendTo queues a message to an address.
func (m *Machine) sendTo(to netip.AddrPort, id crux.NodeID, msg Message) {
	m.out.Sends = append(m.out.Sends, Send{To: to, Receiver: id, Message: msg})
}

// jitter is a random time between d/2 and 3d/2.
func (m *Machine) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(m.cfg.Rand.Int64N(int64(d)+1))
}

// sign makes this node's next record: a member of the flock named.
func (m *Machine) sign(flock crux.FlockID) *Record {
	m.touchSeq++
	r := &Record{
		ID: m.id, Key: m.cfg.Key, Addr: m.cfg.Addr, Incarnation: m.cfg.Incarnation, Seq: m.touchSeq,
		Exchange: m.cfg.Exchange, Flock: flock, Bloc: m.cfg.File.Version,
	}
	m.cfg.Sign(r)
	m.self = r
	return r
}

// random64 is an unpredictable number.
func (m *Machine) random64() uint64 {
	var b [8]byte
	m.cfg.Entropy(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// summary says of this node's flock what others need to know.
func (m *Machine) summary() Summary {
	s := Summary{Flock: m.flock, Epoch: m.epoch.Epoch, Size: uint32(m.strength()), Bloc: m.cfg.File}
	if m.leader != nil {
		s.Leader, s.Addr = m.leader.ID, m.leader.Addr
	}
	return s
}

// size is how many members the flock has, as far as this node knows: a member
// whose list is not whole yet believes its leader.
func (m *Machine) size() int { return max(1, m.list.count, int(m.follow.members)) }

// strength is what the flock weighs in a merge: the members that are there. Those
// that are Lost may well be with the other one.
func (m *Machine) strength() int {
	if m.synced() {
		return max(1, m.list.alive)
	}
	return max(1, m.list.alive, int(m.follow.members))
}

// single says whether this node is alone in its flock.
func (m *Machine) single() bool { return m.role == Leader && m.list.count <= 1 }

// enter makes this node a member of another flock, or of another state of its
// own, with an empty list.
func (m *Machine) enter(flock crux.FlockID) {
	if m.list != nil && m.list.count > 0 {
		m.prev, m.prevAt = m.list, m.now+previousFor
		m.view.carryOver(m)
	}
	if flock != m.flock {
		m.keys.clear()
		m.vote = ballot{}
		m.offers = m.offers[:0]
		m.epoch = EpochInfo{}
	}
	m.flock = flock
	m.list = newList()
	m.leader, m.lead, m.join, m.merge = nil, nil, nil, nil
	m.follow = follow{}
	m.elect = campaign{at: never}
	m.sync = syncing{at: never}
	m.probe.fresh = m.now + freshFor
	m.view.change()
}

// found makes this node a flock of one, with a new ID.
func (m *Machine) found() {
	var id crux.FlockID
	m.cfg.Entropy(id[:])
	evicted := m.evictedEntries()
	m.enter(id)
	m.stats.Founded++
	m.sign(id)
	info := EpochInfo{Flock: id, Epoch: 1, Voters: 1, Hash: voterHash(m.self), Voter: true}
	m.cfg.Entropy(info.Secret[:])
	m.epoch, m.began, m.leader = info, m.now, m.self
	m.keys.install(m.now, keyOf(&info))
	m.takeLead()
	m.addMember(m.self)
	for _, e := range evicted {
		m.change(e.Record, Evicted, 0)
	}
	m.lead.voters = 1
	m.lead.ring[0].voter = true
	m.log.Debug("founded a flock", "flock", id)
}

// evictedEntries are the lines of those who stay out of a flock that this node
// founds. It is a member of that itself, whatever was said of it.
func (m *Machine) evictedEntries() []*Entry {
	if m.list == nil {
		return nil
	}
	var out []*Entry
	m.list.each(func(e *Entry) {
		if e.State == Evicted && e.Record.ID != m.id && len(out) < maxPending {
			out = append(out, e)
		}
	})
	return out
}

// end of leaving: after the last Leave was sent the machine stops.
func (m *Machine) sendLeaves() {
	m.leaving--
	if m.leaving == 0 {
		m.ended = true
		return
	}
	m.leaveAt = m.now + leaveRetry
	msg := &Leave{Flock: m.flock}
	if m.role != Leader {
		if m.leader != nil {
			m.send(m.leader, msg)
		}
		return
	}
	m.list.each(func(e *Entry) {
		if e.live() && e.Record.ID != m.id {
			m.send(e.Record, msg)
		}
	})
	if m.single() {
		m.ended = true
	}
}
