package detect

import (
	"time"

	"fulcrum.example/crux"
)

// Machine is one node's failure detector. Its state is divided by subject, each
// in the file of that name.
type Machine struct {
	doubt

	cfg     Config
	p       Params
	now     time.Duration
	due     time.Duration // when Tick is to be called
	noticed time.Duration // up to when lateness was noticed
	seq     uint64        // of pings and requests
	targets []*target
	watched int // targets that are neighbours
	limits  limits
	out     Ready
	stats   Stats
}

// New makes a detector without neighbours.
func New(cfg Config, now time.Duration) *Machine {
	m := &Machine{cfg: cfg, p: cfg.Params.withDefaults(), now: now, due: never}
	m.seq = uint64(cfg.Rand.Uint32()) << 16 // answers to a former process mean nothing
	m.doubtSince, m.controlAt = never, never
	return m
}

// Receive takes in a message. from was authenticated.
func (m *Machine) Receive(now time.Duration, from crux.NodeID, msg Message) Ready {
	m.begin(now)
	if from == m.cfg.Self || from.IsZero() {
		return m.end()
	}
	t := m.find(from)
	switch msg := msg.(type) {
	case *Ping:
		m.send(from, &Ack{msg.Seq})
		if t != nil {
			m.onPing(t)
		}
	case *Ack:
		if t != nil {
			m.acked(t, msg.Seq)
		}
	case *WitnessRequest:
		if t != nil {
			m.heard(t)
		}
		m.onRequest(from, msg)
	case *WitnessReport:
		if t != nil {
			m.heard(t)
		}
		m.onReport(from, msg)
	}
	return m.end()
}

// onPing notes a ping of a target: it is alive. If this node has just given it
// up, it asks back whether the target hears it, too.
func (m *Machine) onPing(t *target) {
	m.heard(t)
	if c := t.check; c != nil && !c.running() {
		c.heard = true
		m.revise(t)
		m.ping(t)
	}
}

// Heard says that another authentic datagram came from a node.
func (m *Machine) Heard(now time.Duration, from crux.NodeID) Ready {
	m.begin(now)
	if t := m.find(from); t != nil {
		m.heard(t)
	}
	return m.end()
}

// Refute pings a node that has accused this one, at once and more than once: it
// hears that this one is alive. More often than a few times a second is ignored.
func (m *Machine) Refute(now time.Duration, accuser crux.NodeID) Ready {
	m.begin(now)
	if accuser != m.cfg.Self && m.limits.refutes.take(now, 8, 16) {
		for range 3 {
			m.seq++
			m.stats.Pings++
			m.send(accuser, &Ping{m.seq})
		}
	}
	return m.end()
}

// Late says that this process was starved for some time: nothing that it missed
// meanwhile proves anything. The machine notices by itself when a call comes
// much later than NextTick; this is for drivers that know more.
func (m *Machine) Late(now, by time.Duration) Ready {
	m.begin(now)
	m.late(by)
	return m.end()
}

// Changes tells of changes in the overlay (adjacencies that changed, say). While
// there are very many, pings are sent less often, down to half.
func (m *Machine) Changes(now time.Duration, n int) {
	m.now = max(m.now, now)
	m.disturb(n)
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready {
	m.begin(now)
	for i := 0; i < len(m.targets); i++ {
		if t := m.targets[i]; m.now >= t.due() {
			m.tickTarget(t)
		}
	}
	if m.now >= m.doubtDue() {
		m.tickDoubt()
	}
	return m.end()
}

// NextTick is when Tick has something to do again.
func (m *Machine) NextTick() time.Duration { return m.due }

// Isolated says whether this node is cut off from everybody it knows.
func (m *Machine) Isolated() bool { return m.isolated }

// RTT is the latest round trip to a neighbour.
func (m *Machine) RTT(peer crux.NodeID) (rtt time.Duration, ok bool) {
	t := m.find(peer)
	if t == nil || t.hist.n == 0 {
		return 0, false
	}
	return t.hist.last, true
}

// Stats returns the counters.
func (m *Machine) Stats() Stats { return m.stats }

func (m *Machine) begin(now time.Duration) {
	m.now = max(m.now, now)
	m.out = Ready{
		Sends: m.out.Sends[:0], Probes: m.out.Probes[:0],
		Verdicts: m.out.Verdicts[:0], Results: m.out.Results[:0],
	}
	// What was late once is not late again until the Tick that is due has come.
	if since := max(m.due, m.noticed); m.due != never && m.now-since > m.p.Late {
		m.noticed = m.now
		m.late(m.now - since)
	}
}

func (m *Machine) end() Ready {
	m.sweep()
	m.due = m.doubtDue()
	for _, t := range m.targets {
		m.due = min(m.due, t.due())
	}
	if m.isolated != m.announced {
		m.announced = m.isolated
		isolated := m.isolated
		m.out.Isolated = &isolated
	}
	return m.out
}

func (m *Machine) send(to crux.NodeID, msg Message) {
	m.out.Sends = append(m.out.Sends, Send{to, msg})
}
