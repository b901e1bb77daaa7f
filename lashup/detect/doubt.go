package detect

import (
	"math"
	"time"

	"fulcrum.example/crux"
)

const (
	maxHealth   = 8
	controlGap  = 75 * time.Millisecond // between pings of all neighbours, in doubt
	calmHalf    = 5 * time.Second       // in which half of the unrest is forgotten
	unrestSome  = 20                    // changes from which pings become rarer
	unrestMuch  = 60                    // changes from which they are half as many
	lossWeight  = 1.0 / 64              // of one ping in the rate of misses
	lossUsual   = 0.04                  // misses that nothing is done about
	lossStretch = 0.1                   // misses beyond those that double a window
	falseWithin = time.Second           // a verdict that is taken back by then was hasty
	falseHalf   = time.Minute           // in which half of those are forgotten
	falseWeight = 0.5                   // of one, in the length of a window
	falseMost   = 2                     // windows that are added at most
)

// doubt is what the machine thinks of itself.
type doubt struct {
	health     int           // 0: well; timeouts are multiplied by one more
	doubtSince time.Duration // when it began to doubt that it is heard; never: it does not
	controlAt  time.Duration // when to ping all neighbours next, in doubt
	isolated   bool
	proofs     [2]proof // the latest answers, of two nodes
	unrest     float64
	unrestAt   time.Duration
	loss       float64 // part of the pings that were missed, lately
	hasty      float64 // verdicts that were taken back soon, lately
	hastyAt    time.Duration
	announced  bool // isolated, as the driver knows it
}

// proof is an answer of a node: what this one sends arrives, and what it is sent
// arrives here.
type proof struct {
	node crux.NodeID
	at   time.Duration
}

// answered notes that a node answered this one.
func (m *Machine) answered(by crux.NodeID) {
	if m.proofs[0].node != by {
		m.proofs[1] = m.proofs[0]
	}
	m.proofs[0] = proof{by, m.now}
	m.isolated = false
	if m.doubtSince == never {
		return
	}
	m.doubtSince, m.controlAt = never, never
	for _, t := range m.targets {
		if c := t.check; c != nil && c.doubting && t.id != by {
			m.restart(t)
		}
	}
}

// provenSince says whether a node other than the target has answered since a time.
func (m *Machine) provenSince(at time.Duration, but crux.NodeID) bool {
	for _, p := range m.proofs {
		if !p.node.IsZero() && p.node != but && p.at >= at {
			return true
		}
	}
	return false
}

// beginDoubt has all neighbours pinged, because nobody answers.
func (m *Machine) beginDoubt() {
	if m.doubtSince == never {
		m.doubtSince, m.controlAt = m.now, m.now
	}
}

// tickDoubt goes on doubting, or ends it: nobody answers.
func (m *Machine) tickDoubt() {
	if m.now >= m.doubtSince && m.now-m.doubtSince >= m.p.Doubt {
		m.doubtSince, m.controlAt = never, never
		m.isolated = true
		for _, t := range m.targets {
			if t.check != nil && t.check.doubting {
				m.conclude(t, Unheard)
			}
		}
		return
	}
	if m.now < m.controlAt {
		return
	}
	m.controlAt = m.now + controlGap
	for _, t := range m.targets {
		if t.watched {
			m.ping(t)
		}
	}
}

func (m *Machine) doubtDue() time.Duration {
	if m.doubtSince == never {
		return never
	}
	return min(m.controlAt, m.doubtSince+m.p.Doubt)
}

// late takes back what depends on time: this process was starved, and what it
// seems to have missed may lie unread.
func (m *Machine) late(by time.Duration) {
	m.stats.Late++
	m.health = min(maxHealth, m.health+1+int(by/(200*time.Millisecond)))
	if m.doubtSince != never {
		m.doubtSince = m.now
	}
	for _, t := range m.targets {
		if t.wait != never {
			t.wait = m.now + m.timeout(t)
		}
		if t.check != nil && t.check.running() {
			m.restart(t)
		}
	}
}

// disturb counts changes of the overlay.
func (m *Machine) disturb(n int) {
	m.unrest = min(m.unrestNow()+float64(n), unrestMuch)
	m.unrestAt = m.now
}

func (m *Machine) unrestNow() float64 { return faded(m.unrest, m.now-m.unrestAt, calmHalf) }

// faded is what is left of x after a time.
func faded(x float64, after, half time.Duration) float64 {
	if x == 0 {
		return 0
	}
	return x * math.Exp2(-float64(after)/float64(half))
}

// regret notes that a verdict was taken back. One that was hasty makes the next
// ones slower: processes pause here for longer than was thought.
func (m *Machine) regret(c *check) {
	if (c.said == Hung || c.said == Dead) && c.kernel != Refused && m.now-(c.ends-lingerFor) < falseWithin {
		m.hasty = 1 + faded(m.hasty, m.now-m.hastyAt, falseHalf)
		m.hastyAt = m.now
	}
}

// stretch is the factor on the ping interval: 1, and up to 2 while the overlay
// is unstable.
func (m *Machine) stretch() float64 {
	return 1 + max(0, m.unrestNow()-unrestSome)/(unrestMuch-unrestSome)
}

// lossSeen notes whether a neighbour's ping was missed.
func (m *Machine) lossSeen(missed bool) {
	x := 0.0
	if missed {
		x = 1
	}
	m.loss += lossWeight * (x - m.loss)
}

// patient makes a window longer while many pings are lost, and after verdicts
// that were hasty.
func (m *Machine) patient(d time.Duration) time.Duration {
	lossy := min(1, max(0, m.loss-lossUsual)/lossStretch)
	hasty := min(falseMost, falseWeight*faded(m.hasty, m.now-m.hastyAt, falseHalf))
	return time.Duration(float64(d) * (1 + lossy + hasty))
}
