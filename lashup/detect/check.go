package detect

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

const (
	burstGap   = 3 * time.Millisecond   // between the first pings of a check
	pingGap    = 10 * time.Millisecond  // between later ones, at least
	slowGap    = 50 * time.Millisecond  // once it is clear that the target is alive
	leadMin    = 5 * time.Millisecond   // before witnesses are asked, at least
	quickMin   = 50 * time.Millisecond  // length of a check that others' evidence began
	refusedMin = 100 * time.Millisecond // length of a check in which the kernel refused, where round trips are long and differ
	probeAgain = 30 * time.Millisecond  // after the kernel took a connection to who has just broken one
	lingerFor  = 2 * time.Second        // for evidence that revises a verdict
	jobPings   = 3                      // for others, of a node that is no neighbour

	agreed = 2 // others who have given a node up

	maxAccusers = 8
	maxAsks     = 8
	maxTokens   = 16
	maxJobs     = 16
)

// cause is why a check begins.
type cause uint8

const (
	missed  cause = iota + 1 // an answer is missing
	lost                     // the link broke
	accused                  // another neighbour of the target has given it up
	asked                    // Check
	errand                   // a WitnessRequest: begins no more than pings
	alarmed                  // a WitnessRequest, about a neighbour
)

// check is an enquiry into one target. It runs until there is a verdict or the
// target has answered, and lingers for a while after a verdict.
type check struct {
	cause    cause
	full     bool // asks witnesses and the kernel, too
	verdict  bool // the target was a neighbour: there will be a verdict
	began    time.Duration
	ends     time.Duration // of the window: when the evidence is weighed
	next     time.Duration // ping
	askAt    time.Duration
	sent     int           // pings
	rounds   int           // of asking
	extended time.Duration // when the window was made longer; 0: it was not
	renewed  bool          // others heard the target, and are to be asked once more
	doubting bool
	said     Why // 0: it runs
	heard    bool
	probed   bool          // the kernel was asked
	probeAt  time.Duration // and is to be asked once more
	kernel   Outcome
	accusers []crux.NodeID
	alarms   int // others who have asked for help with the target
	asks     []ask
	jobs     []job
	tokens   []token
}

// ask is a request to a witness.
type ask struct {
	node            crux.NodeID
	seq             uint64
	answered, heard bool
}

// job is what another node wants to know of the target.
type job struct {
	from crux.NodeID
	seq  uint64
	by   time.Duration
}

// token is what the user of this node wants to know of it.
type token struct {
	token uint64
	by    time.Duration
}

func newCheck(why cause) *check { return &check{cause: why, askAt: never, probeAt: never} }

func (c *check) running() bool { return c.said == 0 }

func (c *check) due() time.Duration {
	d := min(c.ends, c.next, c.askAt, c.probeAt)
	for i := range c.jobs {
		d = min(d, c.jobs[i].by)
	}
	for i := range c.tokens {
		d = min(d, c.tokens[i].by)
	}
	return d
}

// beginCheck begins a check, or adds its cause to the one that runs.
func (m *Machine) beginCheck(t *target, why cause) *check {
	c := t.check
	switch {
	case c == nil || !c.running():
		next := newCheck(why)
		if c != nil {
			next.jobs = c.jobs
		}
		c, t.check, t.wait = next, next, never
		m.stats.Checks++
	case c.full || why == errand:
		if why == lost && !c.probed {
			m.probe(t)
		}
		return c
	}
	c.cause, c.full = why, why != errand
	c.verdict = t.watched || t.said != 0
	m.restart(t)
	return c
}

// restart begins the check's window anew. Evidence that came in stays.
func (m *Machine) restart(t *target) {
	c := t.check
	c.began, c.next, c.sent, c.rounds = m.now, m.now, 0, 0
	c.renewed, c.doubting, c.extended = false, false, 0
	c.ends, c.askAt = never, never
	if c.full {
		c.ends = m.now + m.window(t, c.cause == lost || c.cause == accused)
		c.askAt = m.now + m.lead(t)
	}
	if c.cause == lost && !c.probed {
		m.probe(t)
	}
	m.tickCheck(t)
}

// window is how long evidence is gathered; quick, if there was some before. What
// several others have waited for, each for as long as it had to, is not waited for
// once more: then a usual round trip is enough.
func (m *Machine) window(t *target, quick bool) time.Duration {
	timeout := m.timeout(t)
	d := max(2*timeout, m.p.Window)
	if quick {
		if len(t.check.accusers) >= agreed && t.hist.measured() {
			timeout = min(timeout, t.hist.high*time.Duration(1+m.health))
		}
		d = max(timeout*3/2, quickMin)
	}
	if !t.hist.measured() && !m.anyMeasured() {
		d = max(d, m.p.Ceiling/2) // this may be a slow network
	}
	return min(m.patient(d), m.p.Ceiling)
}

func (m *Machine) anyMeasured() bool {
	return slices.ContainsFunc(m.targets, func(t *target) bool { return t.hist.measured() })
}

// lead is how long pings have to be answered before others are troubled.
func (m *Machine) lead(t *target) time.Duration {
	if !t.hist.measured() {
		return max(leadMin, m.typicalHigh()*5/4)
	}
	return max(leadMin, t.hist.high*5/4)
}

// refusedLead is how long pings have to be answered by a process of which the kernel
// says that it has ended: answers may be on their way, and the shortest round trip
// says how long that is. How slow the process has been does not matter any more.
func (m *Machine) refusedLead(t *target) time.Duration {
	return min(m.lead(t), max(refusedMin, 2*t.hist.low))
}

// typicalHigh is the longest usual round trip among the neighbours.
func (m *Machine) typicalHigh() time.Duration {
	var d time.Duration
	for _, t := range m.targets {
		d = max(d, t.hist.high)
	}
	return min(d, m.p.Ceiling)
}

// tickCheck does what is due in a check.
func (m *Machine) tickCheck(t *target) {
	c := t.check
	if m.now >= c.next {
		m.ping(t)
		c.sent++
		c.next = m.now + m.gap(t)
		if (!c.full || !c.running()) && c.sent >= jobPings {
			c.next = never
		}
	}
	if m.now >= c.askAt {
		m.ask(t)
	}
	if m.now >= c.probeAt {
		c.probeAt = never
		m.probe(t)
	}
	m.overdueJobs(c)
	m.overdueTokens(t)
	switch {
	case c.running() && !c.full && len(c.jobs) == 0:
		m.endCheck(t)
	case m.now < c.ends:
	case c.running():
		m.weigh(t)
	default:
		m.endCheck(t)
	}
}

// gap is the time between two pings of a check. No more than three or so are in
// flight.
func (m *Machine) gap(t *target) time.Duration {
	c := t.check
	switch {
	case c.sent < 2 || c.sent < 3 && c.cause != missed:
		return burstGap
	case c.alive():
		return max(slowGap, m.timeout(t)/2)
	}
	return max(pingGap, m.timeout(t)/2)
}

// probe has the kernel of the target's host asked.
func (m *Machine) probe(t *target) {
	t.check.probed = true
	m.out.Probes = append(m.out.Probes, t.id)
}

// endCheck goes back to pinging a neighbour now and then.
func (m *Machine) endCheck(t *target) {
	t.check = nil
	if t.watched {
		t.said = 0
		t.next = m.now + m.interval()
	}
}
