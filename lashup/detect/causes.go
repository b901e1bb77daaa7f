package detect

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// LinkLost says that the stream to a neighbour broke: it is checked at once.
// Call it before the Neighbours that leaves it out.
func (m *Machine) LinkLost(now time.Duration, peer crux.NodeID) Ready {
	m.begin(now)
	if t := m.find(peer); t != nil && t.watched {
		m.beginCheck(t, lost)
	}
	return m.end()
}

// Accused says that another node has given up on a neighbour of this one, as Dead
// or Hung: it is checked at once, and the accuser counts as a witness. It is
// nothing if the target is no neighbour.
func (m *Machine) Accused(now time.Duration, target, by crux.NodeID) Ready {
	m.begin(now)
	t := m.find(target)
	if t == nil || by == m.cfg.Self || !t.watched && (t.check == nil || !t.check.verdict) {
		return m.end()
	}
	if t.check != nil && t.said != 0 {
		return m.end() // this node has come to its own verdict just now
	}
	c := m.beginCheck(t, accused)
	if !slices.Contains(c.accusers, by) && len(c.accusers) < maxAccusers {
		c.accusers = append(c.accusers, by)
	}
	switch {
	case !c.running():
	case c.renewed && c.rounds == 0:
		m.renew(t) // what was heard of the target may be out of date
	default:
		c.ends = min(c.ends, m.now+m.window(t, true))
	}
	return m.end()
}

// Check asks after any node. The answer is in the Results of this call or of a
// later one, within Params.Bound.
func (m *Machine) Check(now time.Duration, target crux.NodeID, tok uint64) Ready {
	m.begin(now)
	if target == m.cfg.Self {
		m.out.Results = append(m.out.Results, Result{Token: tok, Node: target, State: Alive})
		return m.end()
	}
	t := m.target(target)
	if t == nil || t.check != nil && len(t.check.tokens) >= maxTokens {
		m.stats.Limited++
		m.out.Results = append(m.out.Results, Result{Token: tok, Node: target, State: Unheard})
		return m.end()
	}
	c := m.beginCheck(t, asked)
	if c.running() {
		c.tokens = append(c.tokens, token{tok, m.now + m.p.Bound})
	}
	return m.end()
}
