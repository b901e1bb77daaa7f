package detect

import (
	"time"

	"fulcrum.example/crux"
)

// witness is one who hears the target, or nil.
func (c *check) witness() *ask {
	for i := range c.asks {
		if c.asks[i].heard {
			return &c.asks[i]
		}
	}
	return nil
}

// against counts the witnesses who answered that they do not hear the target, and
// those who have not answered.
func (c *check) against() (no, open int) {
	for i := range c.asks {
		switch a := &c.asks[i]; {
		case !a.answered:
			open++
		case !a.heard:
			no++
		}
	}
	return no, open
}

// weigh comes to a verdict at the end of the window, or makes the window longer.
func (m *Machine) weigh(t *target) {
	c := t.check
	no, open := c.against()
	switch {
	case c.alive() && !c.renewed:
		m.renew(t)
	case c.alive():
		m.conclude(t, Asymmetric)
	case c.kernel == Refused:
		m.conclude(t, Dead)
	case no > 0 && (no+len(c.accusers)+min(1, c.alarms) > 1 || open == 0 || c.extended > 0):
		m.conclude(t, c.gone())
	case len(c.accusers) > 0 && m.provenSince(c.began-m.p.Interval, t.id):
		m.conclude(t, c.gone())
	case c.extended > 0 && m.provenSince(c.extended, t.id):
		m.conclude(t, c.gone()) // no witness, but this node is heard and hears
	case c.extended > 0 && c.kernel == Accepted && m.lone(t):
		m.conclude(t, Hung) // nobody else could say more
	case c.extended > 0 && m.isolated:
		m.conclude(t, Unheard)
	case c.extended > 0:
		c.doubting, c.ends = true, never
		m.beginDoubt()
	default:
		m.extend(t)
	}
}

// alive says whether there is evidence that the target lives.
func (c *check) alive() bool { return c.heard || c.witness() != nil }

// renew gives a target that lives, or did, more time to answer, and has the
// witnesses asked once more before the time is over.
func (m *Machine) renew(t *target) {
	c := t.check
	c.renewed = true
	window := m.window(t, false)
	c.ends = m.now + max(c.began+m.p.Patience-m.now, 2*window)
	if len(c.accusers) > 0 {
		c.ends = m.now + window
	}
	c.askAt, c.rounds = c.ends-window, 0
}

// gone tells Hung from Dead.
func (c *check) gone() Why {
	if c.kernel == Accepted {
		return Hung
	}
	return Dead
}

// lone says whether there is nobody but the target to ask.
func (m *Machine) lone(t *target) bool {
	return m.watched <= 1 && !m.isolated && len(t.check.asks) == 0 && len(m.witnesses(t, 1)) == 0
}

// extend gives the check another window: it asks other witnesses, and pings the
// neighbours, to see whether anybody answers.
func (m *Machine) extend(t *target) {
	c := t.check
	c.extended = m.now
	c.ends = m.now + m.window(t, false)
	c.rounds = 0
	m.ask(t)
	for _, o := range m.targets {
		if o != t && o.watched && o.check == nil {
			m.ping(o)
		}
	}
}

// alive ends the check: the target has answered.
func (m *Machine) alive(t *target) {
	c := t.check
	for _, tok := range c.tokens {
		m.out.Results = append(m.out.Results, Result{Token: tok.token, Node: t.id, State: Alive, RTT: t.hist.last})
	}
	for _, j := range c.jobs {
		m.send(j.from, &WitnessReport{j.seq, true})
	}
	m.regret(c)
	m.say(t, Alive)
	m.endCheck(t)
}

// conclude ends the check with a verdict, which may be revised for a while.
func (m *Machine) conclude(t *target, why Why) {
	c := t.check
	for _, tok := range c.tokens {
		m.result(t, tok.token, why)
	}
	if why == Dead || why == Hung {
		for _, j := range c.jobs {
			m.send(j.from, &WitnessReport{j.seq, false})
		}
	}
	c.tokens, c.jobs = nil, nil
	c.said, c.doubting = why, false
	c.ends, c.next, c.askAt = m.now+lingerFor, never, never
	m.say(t, why)
}

// say gives the verdict, if it is new.
func (m *Machine) say(t *target, why Why) {
	standing := t.said
	if standing == 0 {
		standing = Alive
	}
	if !t.check.verdict || why == standing {
		return
	}
	t.said = why
	if why == Alive {
		t.said = 0
	} else {
		m.stats.Verdicts++
	}
	m.disturb(1)
	m.out.Verdicts = append(m.out.Verdicts, Verdict{Node: t.id, Why: why, RTT: t.hist.last})
}

// revise changes a verdict that was given, when more becomes known.
func (m *Machine) revise(t *target) {
	c := t.check
	why := c.said
	if why != Dead && why != Hung {
		return
	}
	switch {
	case c.alive():
		why = Asymmetric
	case c.kernel == Accepted:
		why = Hung
	case c.kernel == Refused:
		why = Dead
	}
	c.said = why
	m.say(t, why)
}

// Probed says what came of a probe that a Ready asked for.
func (m *Machine) Probed(now time.Duration, peer crux.NodeID, o Outcome) Ready {
	m.begin(now)
	t := m.find(peer)
	if t == nil || t.check == nil || !t.check.probed {
		return m.end()
	}
	c := t.check
	if o == Accepted && c.kernel == 0 && c.cause == lost && c.running() {
		c.probeAt = m.now + probeAgain // the last connection of a process that ends may be taken
	}
	c.kernel = o
	switch {
	case !c.running():
		m.revise(t)
	case o == Refused && !c.alive():
		c.ends = min(c.ends, max(m.now, c.began+m.refusedLead(t)))
		if m.now >= c.ends {
			m.weigh(t)
		}
	}
	return m.end()
}

// overdueTokens answers who cannot wait for the verdict, with what is known.
func (m *Machine) overdueTokens(t *target) {
	c := t.check
	kept := c.tokens[:0]
	for _, tok := range c.tokens {
		if m.now < tok.by {
			kept = append(kept, tok)
			continue
		}
		m.result(t, tok.token, m.guess(t))
	}
	c.tokens = kept
}

// guess is the verdict as it would be now.
func (m *Machine) guess(t *target) Why {
	c := t.check
	no, _ := c.against()
	switch {
	case c.alive():
		return Asymmetric
	case c.kernel == Refused, no > 0, m.provenSince(c.began, t.id):
		return c.gone()
	}
	return Unheard
}

func (m *Machine) result(t *target, tok uint64, why Why) {
	r := Result{Token: tok, Node: t.id, State: why}
	if w := t.check.witness(); w != nil && why == Asymmetric {
		r.By = w.node
	}
	m.out.Results = append(m.out.Results, r)
}

// witnesses picks up to n nodes to ask that have not been asked.
func (m *Machine) witnesses(t *target, n int) (ids []crux.NodeID) {
	for _, id := range m.cfg.Witnesses(t.id, n+maxAsks) {
		if id == t.id || id == m.cfg.Self || t.check.askOf(id) != nil {
			continue
		}
		if ids = append(ids, id); len(ids) == n {
			break
		}
	}
	return ids
}
