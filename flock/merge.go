package flock

import (
	"encoding/binary"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// How a flock of several goes to a better one. Its leader asks the better one's
// leader (Join with Merge, Offer), and has it prove its size: it names a seed,
// and the other must show the members' records whose keys hash least with it.
// Each is signed by its member and names the flock, so whoever claims n members
// without having them cannot show hashes as small as n keys would give. Then the
// leader sends its members over (Move); each joins by itself, and the leader
// goes when all have gone or their time is over. Who is left behind finds no
// leader any more, and comes by its own means.

// less is the order in which flocks merge: the lesser goes to the better. It is
// total, and the same wherever it is reckoned.
func (s *Summary) less(o *Summary) bool {
	if s.Size != o.Size {
		return s.Size < o.Size
	}
	return s.Flock.Compare(o.Flock) < 0
}

// merging is a flock's way to a better one; only its leader has it.
type merging struct {
	target  Summary
	nonce   uint64
	seed    uint64
	peer    *Record // the other leader; nil before its Offer
	pages   [][]*Record
	moving  bool
	tries   int
	begun   time.Duration
	at      time.Duration
	over    time.Duration
	waiting int // members still to go
}

// startMerge goes to another flock, alone or with all members.
func (m *Machine) startMerge(to Summary) {
	if m.frozen() || m.role != Leader || to.Leader == m.id {
		return
	}
	if m.single() {
		m.startJoin(to)
		return
	}
	if !m.acting() {
		return
	}
	m.abandonAdvance()
	m.merge = &merging{target: to, begun: m.now, over: m.now + mergeOver}
	m.askMerge()
}

func (m *Machine) askMerge() {
	g := m.merge
	m.nonce++
	g.nonce, g.peer, g.pages = m.nonce, nil, nil
	g.at = m.now + joinRetry<<min(g.tries, 3)
	m.sendTo(g.target.Addr, g.target.Leader, &Join{Record: m.self, Want: g.target.Flock, Nonce: g.nonce, Merge: true, Own: m.summary()})
}

// stopMerge stays as it is.
func (m *Machine) stopMerge() {
	m.shun(m.merge.target.Flock, badFor)
	m.merge = nil
	m.lead.beatAt = m.now
}

func (m *Machine) tickMerge() {
	g := m.merge
	if g.moving {
		m.tickMove()
		return
	}
	if m.now >= g.over {
		m.stopMerge()
		return
	}
	if g.tries++; g.tries > joinTries {
		m.stopMerge()
		return
	}
	if g.peer == nil {
		m.askMerge()
		return
	}
	m.askProof()
}

// admitMerge decides on the leader of a flock that wants to come here.
func (m *Machine) admitMerge(p *Packet, j *Join) OfferCode {
	own := m.summary()
	switch {
	case !m.acting():
		return OfferBusy
	case m.merge != nil && !(m.merge.target.Flock == j.Own.Flock && j.Own.less(&own)):
		// Both want to go to one another: the lesser finds out by this node's
		// Offer. Otherwise this node's flock is about to change.
		return OfferBusy
	case !m.pending.put(m.now, j.Record, true):
		return OfferBusy
	}
	return OfferOK
}

// onMergeOffer: the other leader is there.
func (m *Machine) onMergeOffer(p *Packet, o *Offer) {
	g := m.merge
	if g.moving || g.peer != nil || o.Record == nil || o.Record.ID != p.Sender || o.Record.Incarnation != p.Incarnation {
		m.ignore()
		return
	}
	own := m.summary()
	switch o.Code {
	case OfferOK:
		if o.Flock.Bloc != m.cfg.File || !own.less(&o.Flock) || o.Flock.Flock == m.flock || !m.listed(o.Record) {
			m.stopMerge()
			return
		}
		g.peer, g.target, g.tries = o.Record, o.Flock, 0
		g.seed = m.random64()
		m.askProof()
	case OfferRedirect:
		to := o.Flock
		if own.less(&to) && to.Leader != m.id && !to.Leader.IsZero() && to.Addr.IsValid() && to.Bloc == m.cfg.File && !m.probe.isBad(to.Flock, m.now) {
			g.target = to
			m.askMerge()
			return
		}
		m.stopMerge()
	case OfferBusy:
		g.at = m.now + m.jitter(busyRetry)
	default:
		m.refused(p.From, o.Code, o.Flock.Bloc)
		m.stopMerge()
		m.shun(g.target.Flock, refusedFor)
	}
}

// askProof asks for the pages that are missing.
func (m *Machine) askProof() {
	g := m.merge
	g.at = m.now + joinRetry<<min(g.tries, 3)
	if g.pages == nil {
		m.send(g.peer, &ProofAsk{Flock: g.target.Flock, Seed: g.seed})
		return
	}
	for i, pg := range g.pages {
		if pg == nil {
			m.send(g.peer, &ProofAsk{Flock: g.target.Flock, Seed: g.seed, Page: uint16(i)})
		}
	}
}

// perPage is how many records are sure to fit a page of a proof.
const perPage = (MaxBody - maxSummary - 14) / maxRecord

// sketch is a member's hash under a seed.
func sketch(seed uint64, id crux.NodeID) uint64 {
	return mix(binary.LittleEndian.Uint64(id[:]) ^ mix(seed))
}

// proof picks the members whose hashes are least, in that order.
func (l *list) proof(flock crux.FlockID, seed uint64) []*Record {
	var rs []*Record
	l.each(func(e *Entry) {
		if e.live() && e.Record.Flock == flock {
			rs = append(rs, e.Record)
		}
	})
	slices.SortFunc(rs, func(a, b *Record) int {
		x, y := sketch(seed, a.ID), sketch(seed, b.ID)
		if x < y {
			return -1
		} else if x > y {
			return 1
		}
		return 0
	})
	return rs[:min(len(rs), sample)]
}

// onProofAsk shows a page of records to a leader that was made an offer.
func (m *Machine) onProofAsk(p *Packet, q *ProofAsk) {
	if m.role != Leader || q.Flock != m.flock || !m.pending.byID[p.Sender].merge {
		m.ignore()
		return
	}
	rs := m.pending.proof(p.Sender, q.Seed, func() []*Record { return m.list.proof(m.flock, q.Seed) })
	pages := max(1, (len(rs)+perPage-1)/perPage)
	if int(q.Page) >= pages {
		m.ignore()
		return
	}
	lo := int(q.Page) * perPage
	m.reply(p, &Proof{
		Flock: m.summary(), Seed: q.Seed, Page: q.Page, Pages: uint16(pages),
		Records: rs[lo:min(lo+perPage, len(rs))],
	})
}

// onProof takes in a page, and moves when the proof is whole and good.
func (m *Machine) onProof(p *Packet, pr *Proof) {
	g := m.merge
	const maxPages = (sample + perPage - 1) / perPage
	if g == nil || g.moving || g.peer == nil || g.peer.ID != p.Sender || g.peer.Incarnation != p.Incarnation || pr.Seed != g.seed ||
		pr.Pages == 0 || pr.Pages > maxPages || pr.Page >= pr.Pages || pr.Flock.Flock != g.target.Flock || len(pr.Records) > sample {
		m.ignore()
		return
	}
	first := g.pages == nil
	if first {
		g.pages = make([][]*Record, pr.Pages)
	}
	if int(pr.Pages) != len(g.pages) {
		m.stopMerge()
		return
	}
	if g.pages[pr.Page] != nil {
		return
	}
	g.pages[pr.Page] = append([]*Record{}, pr.Records...)
	rs := []*Record{}
	for _, pg := range g.pages {
		if pg == nil {
			if first {
				m.askProof()
			}
			return
		}
		rs = append(rs, pg...)
	}
	own := m.summary()
	if n := m.proven(g.seed, g.target.Flock, rs); n < int(own.Size) && n < int(g.target.Size)/2 {
		m.view.hint(m, p.From, true, "the flock at "+p.From.Addr().String()+" claims more members than it can show: not merging with it")
		m.stopMerge()
		return
	}
	m.startMove()
}

// proven is how many members the records of a proof stand for: their number, or
// where there may be more than the sample, an estimate from the greatest hash.
func (m *Machine) proven(seed uint64, flock crux.FlockID, rs []*Record) int {
	last := uint64(0)
	for i, r := range rs {
		if r == nil {
			return 0
		}
		h := sketch(seed, r.ID)
		if r.Flock != flock || i > 0 && h <= last || !m.listed(r) {
			return 0
		}
		last = h
	}
	if len(rs) < sample {
		return len(rs)
	}
	return int(float64(len(rs)-1) / (float64(last) / float64(1<<63) / 2))
}

// startMove sends the members over.
func (m *Machine) startMove() {
	g := m.merge
	m.log.Info("merging into a better flock", "flock", g.target.Flock, "size", g.target.Size, "own", m.list.count)
	g.moving, g.over = true, m.now+moveOver
	m.sendMoves()
}

func (m *Machine) sendMoves() {
	g := m.merge
	g.at = m.now + moveRetry
	g.waiting = 0
	msg := &Move{From: m.flock, To: g.target}
	for _, mb := range m.lead.ring {
		if mb.entry.State == crux.Alive && !mb.gone && mb.entry.Record.ID != m.id {
			g.waiting++
			m.send(mb.entry.Record, msg)
		}
	}
}

// tickMove goes last.
func (m *Machine) tickMove() {
	g := m.merge
	m.sendMoves()
	if g.waiting > 0 && m.now < g.over {
		return
	}
	to := g.target
	m.found() // alone, so that what is left of the old flock holds it no more
	m.startJoin(to)
}

// onMove: this node's leader goes to another flock, or a member has founded one
// because the leader is gone.
func (m *Machine) onMove(p *Packet, mv *Move) {
	from := m.Peer(p.Sender)
	if mv.From != m.flock || mv.To.Flock == m.flock || from == nil || m.role == Leader {
		if mv.From != m.flock {
			m.tellStale(p, mv.From, 0)
		} else {
			m.ignore()
		}
		return
	}
	fromLeader := m.leader != nil && m.leader.ID == p.Sender
	if !fromLeader && m.leaderHeard() {
		m.ignore()
		return
	}
	m.dropProposal()
	m.elect.yield = m.now + regroupAfter
	m.startJoin(mv.To)
}

// onFound: a member has heard of a better flock.
func (m *Machine) onFound(p *Packet, f *Found) {
	if f.Flock != m.flock || m.fromMember(p) == nil {
		m.ignore()
		return
	}
	m.consider(&f.Other, false)
}
