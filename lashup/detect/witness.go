package detect

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

const (
	againMin  = 20 * time.Millisecond // before an unanswered witness is asked again
	withinMin = 10 * time.Millisecond
	withinMax = time.Second
)

func (c *check) askOf(id crux.NodeID) *ask {
	for i := range c.asks {
		if c.asks[i].node == id {
			return &c.asks[i]
		}
	}
	return nil
}

// ask asks the kernel and new witnesses, and, the second time, those again that
// have not answered.
func (m *Machine) ask(t *target) {
	c := t.check
	lead := m.lead(t)
	if c.rounds == 0 && c.renewed {
		c.heard, c.probed, c.kernel, c.asks = false, false, 0, c.asks[:0]
	}
	if !c.probed {
		m.probe(t)
	}
	if c.rounds == 0 {
		for _, id := range m.witnesses(t, min(m.p.Witnesses, maxAsks-len(c.asks))) {
			m.seq++
			c.asks = append(c.asks, ask{node: id, seq: m.seq})
		}
	}
	within := max(c.ends-m.now-lead, withinMin)
	for i := range c.asks {
		if a := &c.asks[i]; !a.answered {
			m.stats.Asked++
			m.send(a.node, &WitnessRequest{Seq: a.seq, Target: t.id, Within: within})
		}
	}
	c.rounds++
	c.askAt = never
	if again := m.now + max(againMin, 2*lead); c.rounds < 2 && again < c.ends {
		c.askAt = again
	}
}

// onReport takes in a witness's answer.
func (m *Machine) onReport(from crux.NodeID, msg *WitnessReport) {
	for _, t := range m.targets {
		if t.check == nil {
			continue
		}
		a := t.check.askOf(from)
		if a == nil || a.seq != msg.Seq {
			continue
		}
		m.answered(from)
		a.heard = a.heard || msg.Heard
		a.answered = true
		if !t.check.running() {
			m.revise(t)
		}
		return
	}
}

// onRequest pings the target for another node. If the target is a neighbour of
// this one, there is reason to check it in earnest.
func (m *Machine) onRequest(from crux.NodeID, msg *WitnessRequest) {
	if msg.Target == m.cfg.Self {
		m.send(from, &WitnessReport{msg.Seq, true})
		return
	}
	if msg.Target == from || !m.limits.allow(m.now, from) {
		m.stats.Limited++
		return
	}
	t := m.target(msg.Target)
	if t == nil {
		m.stats.Limited++
		return
	}
	m.stats.Witnessed++
	m.takeJob(t, job{from, msg.Seq, m.now + min(max(msg.Within, withinMin), withinMax)})
}

// takeJob adds a request to the check of its target, or begins one.
func (m *Machine) takeJob(t *target, j job) {
	c := t.check
	if c != nil && slices.ContainsFunc(c.jobs, func(o job) bool { return o.from == j.from && o.seq == j.seq }) {
		return
	}
	begin := c == nil
	if begin {
		c = newCheck(errand)
		t.check, t.wait = c, never
		m.stats.Checks++
	}
	again := !c.running() && len(c.jobs) == 0
	if len(c.jobs) < maxJobs {
		c.jobs = append(c.jobs, j)
	}
	switch {
	case begin:
		m.restart(t)
	case again:
		c.sent, c.next = 0, m.now // it may have come back
	}
	if t.watched {
		m.beginCheck(t, alarmed).alarms++
	}
}

// overdueJobs tells who cannot wait any longer that the target was not heard. A
// node that is not well keeps that to itself.
func (m *Machine) overdueJobs(c *check) {
	kept := c.jobs[:0]
	for _, j := range c.jobs {
		switch {
		case m.now < j.by:
			kept = append(kept, j)
		case m.health == 0 && m.doubtSince == never && !m.isolated:
			m.send(j.from, &WitnessReport{j.seq, c.heard})
		}
	}
	c.jobs = kept
}
