package flock

import (
	"crypto/ed25519"
	"net/netip"
	"time"

	"fulcrum.example/crux"
)

// joining is a node's way into another flock: Join, Offer, Accept, Grant.
type joining struct {
	target Summary
	nonce  uint64
	peer   *Record // who made the Offer; nil before that
	accept *Accept
	tries  int
	hops   int
	busy   int
	at     time.Duration
	begun  time.Duration
}

// frozen says whether this node is on its way to another flock, and so takes no
// new members and begins no epochs.
func (m *Machine) frozen() bool { return m.join != nil || m.merge != nil }

// startJoin sends this node to another flock, or back into its own.
func (m *Machine) startJoin(to Summary) {
	if to.Leader == m.id || to.Leader.IsZero() || !to.Addr.IsValid() {
		return
	}
	if m.join != nil {
		if m.join.target.Flock == to.Flock && m.join.target.Epoch >= to.Epoch {
			return
		}
		to, hops := to, m.join.hops
		m.join = &joining{target: to, hops: hops}
	} else {
		m.join = &joining{target: to}
	}
	m.join.begun = m.now
	m.sendJoin()
}

func (m *Machine) sendJoin() {
	j := m.join
	m.nonce++
	j.nonce, j.peer, j.accept = m.nonce, nil, nil
	j.at = m.now + joinRetry<<min(j.tries, 3) + m.jitter(joinRetry/4)
	m.sendTo(j.target.Addr, j.target.Leader, &Join{Record: m.self, Want: j.target.Flock, Nonce: j.nonce, Own: m.summary()})
}

func (m *Machine) tickJoin() {
	j := m.join
	j.tries++
	if j.tries >= joinTries {
		m.giveUpJoin(badFor)
		return
	}
	if pb := &m.probe; j.tries >= 2 && pb.best.Flock != m.flock && pb.best.Flock != j.target.Flock && j.target.Flock != m.flock &&
		j.target.less(&pb.best) && !m.probe.isBad(pb.best.Flock, m.now) {
		j.target, j.tries, j.hops = pb.best, 0, j.hops+1
		if j.hops > joinTries {
			m.giveUpJoin(badFor)
			return
		}
	} else if j.accept != nil && j.tries < joinTries-2 {
		j.at = m.now + joinRetry<<min(j.tries, 3)
		m.send(j.peer, j.accept)
		return
	}
	m.sendJoin()
}

// giveUpJoin stays where it is, and leaves the target alone for a while.
func (m *Machine) giveUpJoin(penalty time.Duration) {
	m.shun(m.join.target.Flock, penalty)
	m.join = nil
	m.own()
	m.probe.next = min(m.probe.next, m.now)
	if m.role != Leader {
		m.elect.at = min(m.elect.at, m.now)
	}
}

// own sees to it that this node's newest record names the flock that it is in.
func (m *Machine) own() {
	if m.self.Flock != m.flock {
		m.sign(m.flock)
	}
}

// onJoin answers who wants to come in.
func (m *Machine) onJoin(p *Packet, j *Join) {
	if j.Record == nil || j.Record.ID != p.Sender || j.Record.Incarnation != p.Incarnation {
		m.ignore()
		return
	}
	o := &Offer{Record: m.self, Nonce: j.Nonce, Flock: m.summary()}
	o.Code = m.admit(p, j, o)
	if o.Code != 0 {
		m.reply(p, o)
	}
}

// admit decides on a Join. For OfferRedirect it puts the better flock into o;
// 0 means no answer.
func (m *Machine) admit(p *Packet, j *Join, o *Offer) OfferCode {
	if !m.listed(j.Record) {
		m.view.hint(m, p.From, true, "the node at "+p.From.Addr().String()+" wants to join, but its key is not in this node's bloc file: add it there (fulcrum node-key prints it), or stop that node")
		return OfferUnlisted
	}
	if j.Own.Bloc != m.cfg.File {
		m.hintBloc(p.From, j.Own.Bloc)
		return OfferBloc
	}
	if m.role != Leader {
		if m.leader == nil || m.role == Candidate || m.leader.ID == p.Sender {
			return OfferBusy
		}
		return OfferRedirect
	}
	if e := m.list.get(p.Sender); e != nil {
		if e.State == Evicted {
			return OfferEvicted
		}
		if e.Record.Incarnation > j.Record.Incarnation {
			m.ignore()
			return 0
		}
	}
	switch {
	case m.join != nil:
		o.Flock = m.join.target
		return OfferRedirect
	case m.merge != nil && j.Own.less(&m.merge.target) && m.merge.target.Leader != p.Sender:
		o.Flock = m.merge.target
		return OfferRedirect
	case j.Merge:
		return m.admitMerge(p, j)
	case m.merge != nil || !m.acting():
		return OfferBusy
	case m.list.count >= maxMembers:
		return OfferPastLimit
	case !m.pending.put(m.now, j.Record, false):
		return OfferBusy
	}
	return OfferOK
}

// onOffer: where to go on.
func (m *Machine) onOffer(p *Packet, o *Offer) {
	if m.merge != nil && o.Nonce == m.merge.nonce {
		m.onMergeOffer(p, o)
		return
	}
	j := m.join
	if j == nil || o.Nonce != j.nonce || o.Record == nil || j.peer != nil && o.Code == OfferOK || o.Record.ID != p.Sender || o.Record.Incarnation != p.Incarnation {
		m.ignore()
		return
	}
	switch o.Code {
	case OfferOK:
		m.acceptOffer(o)
	case OfferRedirect:
		m.redirected(o)
	case OfferBusy:
		if j.busy++; j.busy > 2*joinTries {
			m.giveUpJoin(badFor)
			return
		}
		j.tries, j.at = min(j.tries, joinTries-2), m.now+m.jitter(busyRetry)
	default:
		m.refused(p.From, o.Code, o.Flock.Bloc)
		m.giveUpJoin(refusedFor)
	}
}

// acceptOffer takes an offer, if it is still one that this node wants.
func (m *Machine) acceptOffer(o *Offer) {
	j := m.join
	if !m.listed(o.Record) {
		m.view.hint(m, o.Record.Addr, true, "the leader at "+o.Record.Addr.String()+" is not in this node's bloc file")
		m.giveUpJoin(refusedFor)
		return
	}
	own := m.summary()
	if o.Flock.Bloc != m.cfg.File || o.Flock.Flock != m.flock && m.role == Leader && !own.less(&o.Flock) {
		m.giveUpJoin(badFor)
		return
	}
	j.target, j.peer = o.Flock, o.Record
	j.accept = &Accept{Record: m.sign(o.Flock.Flock), Nonce: j.nonce}
	j.at = m.now + joinRetry + m.jitter(joinRetry/4)
	m.send(j.peer, j.accept)
}

// redirected follows a pointer to another leader, a few times.
func (m *Machine) redirected(o *Offer) {
	j := m.join
	to := o.Flock
	j.hops++
	if j.hops > joinTries || to.Leader == m.id || to.Leader.IsZero() || !to.Addr.IsValid() || to.Bloc != m.cfg.File ||
		m.probe.isBad(to.Flock, m.now) {
		m.giveUpJoin(badFor)
		return
	}
	if to.Flock != j.target.Flock {
		j.tries = 0
	}
	j.target = to
	m.sendJoin()
}

// refused tells the user why.
func (m *Machine) refused(from netip.AddrPort, code OfferCode, file Bloc) {
	who := from.Addr().String()
	switch code {
	case OfferUnlisted:
		m.view.hint(m, from, true, "the flock at "+who+" refuses this node: its key is not in the bloc file; add it there (fulcrum node-key prints it)")
	case OfferBloc:
		m.hintBloc(from, file)
	case OfferEvicted:
		m.view.hint(m, from, true, "the flock at "+who+" refuses this node: an operator evicted it")
	case OfferPastLimit:
		m.view.hint(m, from, true, "the flock at "+who+" is full")
	}
}

// onAccept makes the sender a member.
func (m *Machine) onAccept(p *Packet, a *Accept) {
	r := a.Record
	if r == nil || r.ID != p.Sender || r.Incarnation != p.Incarnation || !m.listed(r) {
		m.ignore()
		return
	}
	if r.Flock != m.flock || m.role != Leader || m.frozen() || !m.acting() {
		m.unoffer(p, a)
		return
	}
	if e := m.list.get(r.ID); e != nil && (e.State == Evicted || e.Record.Newer(r)) {
		m.ignore()
		return
	}
	mb := m.addMember(r)
	mb.joined = m.now
	m.wantFile(r)
	if a.Nonce == 0 {
		return // a member's newer word about itself
	}
	m.pending.drop(r.ID)
	// It may have voted in this epoch, gone away, and forgotten it.
	if mb.voter || mb.elect {
		mb.voter, mb.elect = false, false
		m.touchVoters()
	}
	info := m.epoch
	info.Voter = false
	mb.epoch = info.Epoch
	g := &Grant{Nonce: a.Nonce, Epoch: info, Members: uint32(m.list.count), List: m.list.info(), Slot: mb.entry.Slot, Source: m.id, Addr: m.cfg.Addr}
	if e := m.list.random(m.cfg.Rand.IntN, r.ID); e != nil && e.Version+64 < m.lead.version {
		g.Source, g.Addr = e.Record.ID, e.Record.Addr
	}
	m.send(r, g)
}

// unoffer tells who accepted an offer that it no longer stands.
func (m *Machine) unoffer(p *Packet, a *Accept) {
	o := &Offer{Record: m.self, Nonce: a.Nonce, Code: OfferBusy, Flock: m.advertised()}
	switch {
	case a.Nonce == 0:
		return
	case m.join != nil:
		o.Code, o.Flock = OfferRedirect, m.join.target
	case m.merge != nil:
		o.Code, o.Flock = OfferRedirect, m.merge.target
	case m.role != Leader && m.leader != nil && m.role != Candidate && m.leader.ID != p.Sender:
		o.Code = OfferRedirect
	}
	m.reply(p, o)
}

// onGrant: this node is a member.
func (m *Machine) onGrant(p *Packet, g *Grant) {
	j := m.join
	if j == nil || j.peer == nil || j.nonce != g.Nonce || j.peer.ID != p.Sender || j.peer.Incarnation != p.Incarnation ||
		g.Epoch.Flock != j.accept.Record.Flock {
		m.ignore()
		return
	}
	leader := j.peer
	if g.Epoch.Flock == m.flock && g.Epoch.Epoch < m.epoch.Epoch {
		m.join = nil
		return
	}
	info := g.Epoch
	if info.Flock != m.flock {
		m.moveTo(info.Flock)
	} else if info.Epoch == m.epoch.Epoch {
		m.join = nil
		m.epoch.Voter = false
		m.leader, m.follow.heard = leader, m.now
		m.restElection()
		m.view.change()
		return
	}
	m.join = nil
	m.adopt(leader, info)
	m.follow.members = g.Members
	m.sync.joined = g.List.Version
	m.sync.addr = Send{To: g.Addr, Receiver: g.Source}
	m.sync.active = m.now + activeFor
	m.sync.at = m.now
	m.sync.tries = 0
	m.learnHead(g.List)
	m.sync.at = min(m.sync.at, m.now)
	m.log.Debug("joined a flock", "flock", m.flock, "epoch", info.Epoch, "leader", leader.ID)
}

// moveTo leaves the present flock for another.
func (m *Machine) moveTo(flock crux.FlockID) {
	m.stats.Merges++
	if m.role != Leader && m.leader != nil {
		m.send(m.leader, &Leave{Flock: m.flock})
	}
	rec := m.self
	m.enter(flock)
	m.self = rec
}

// touchFile has the flock see that this node holds another bloc file.
func (m *Machine) touchFile() {
	r := m.sign(m.flock)
	switch {
	case m.role == Leader:
		m.changeMember(m.lead.byID[m.id], r, crux.Alive)
		m.leader = r
	case m.leader != nil:
		m.send(m.leader, &Accept{Record: r})
	}
	m.view.change()
}

// pending holds the records of those who were made an offer, until they take it.
type pending struct {
	byID map[crux.NodeID]pendingRecord
}

type pendingRecord struct {
	rec   *Record
	until time.Duration
	merge bool
	seed  uint64
	shown []*Record // the proof of size under that seed
}

func newPending() *pending { return &pending{byID: map[crux.NodeID]pendingRecord{}} }

// put keeps a record for a while; it says no when there are too many.
func (q *pending) put(now time.Duration, r *Record, merge bool) bool {
	if old, ok := q.byID[r.ID]; ok && old.rec.Newer(r) {
		return old.rec.Incarnation == r.Incarnation
	}
	if len(q.byID) >= maxPending {
		for id, e := range q.byID {
			if e.until <= now {
				delete(q.byID, id)
			}
		}
		if len(q.byID) >= maxPending {
			return false
		}
	}
	q.byID[r.ID] = pendingRecord{rec: r, until: now + pendingFor, merge: merge}
	return true
}

// proof returns what make makes, the same for all pages that one node asks for
// under one seed: the list may change meanwhile.
func (q *pending) proof(id crux.NodeID, seed uint64, make func() []*Record) []*Record {
	e := q.byID[id]
	if e.shown == nil || e.seed != seed {
		e.seed, e.shown = seed, make()
		q.byID[id] = e
	}
	return e.shown
}

func (q *pending) get(id crux.NodeID) *Record { return q.byID[id].rec }

func (q *pending) drop(id crux.NodeID) { delete(q.byID, id) }

// listed says whether the bloc file at hand admits a record's subject.
func (m *Machine) listed(r *Record) bool { return m.cfg.Enrolled(ed25519.PublicKey(r.Key[:])) }
