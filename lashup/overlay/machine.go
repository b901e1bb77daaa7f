package overlay

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
)

// Machine is one node's part in the overlay. Its state is divided by subject,
// each in the file of that name.
type Machine struct {
	cfg Config
	p   Params
	now time.Duration
	due time.Duration // when Tick is to be called
	out Ready

	links   []*link       // link.go
	active  []crux.NodeID // those whose link is active; never changed in place
	passive []candidate   // passive.go
	bans    []ban
	fill    filling      // fill.go
	joins   limit.Bucket // of joins that were taken
	walks   limit.Bucket // of walks that were passed on
	takes   limit.Bucket // of walks that ended here with a dial
	pushed  limit.Bucket // of neighbours that had to go for who asked
	pushers *limit.Peers // for whom they went
	shuffle shuffling
	left    bool
}

// New makes a machine without neighbours. It begins to join when it is told of
// contacts or of known nodes.
func New(cfg Config, now time.Duration) *Machine {
	m := &Machine{cfg: cfg, p: cfg.Params.withDefaults(), now: now, due: never, pushers: limit.NewPeers(maxPushers)}
	m.fill = filling{seekAt: never, dialFor: dialMin, aloneWait: aloneMin, busyWait: busyMin, seekWait: seekMin}
	m.shuffle = shuffling{mean: min(firstShuffle, m.p.Shuffle)}
	m.shuffle.at = now + m.jitter(m.shuffle.mean)
	m.shuffle.seq = cfg.Rand.Uint32()
	m.due = m.shuffle.at
	return m
}

// Leave takes leave of the neighbours. The machine does nothing any more.
func (m *Machine) Leave(now time.Duration) Ready {
	m.begin(now)
	for _, l := range slices.Clone(m.links) {
		if l.state == active {
			m.send(l.peer, &Disconnect{Leaving: true})
		}
		m.close(l)
	}
	m.left = true
	return m.end()
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) Ready {
	m.begin(now)
	if m.left {
		return m.end()
	}
	for _, l := range slices.Clone(m.links) {
		if m.now >= l.until {
			m.expire(l)
		}
	}
	if m.now >= m.shuffle.at {
		m.startShuffle()
	}
	return m.end()
}

// NextTick is when Tick has something to do again.
func (m *Machine) NextTick() time.Duration { return m.due }

// Active are the neighbours, in no order. The slice is never changed.
func (m *Machine) Active() []crux.NodeID { return m.active }

// Passive are the passive nodes, in no order. The slice is the caller's.
func (m *Machine) Passive() []crux.NodeID {
	ids := make([]crux.NodeID, len(m.passive))
	for i := range m.passive {
		ids[i] = m.passive[i].id
	}
	return ids
}

func (m *Machine) begin(now time.Duration) {
	m.now = max(m.now, now)
	m.out = Ready{Sends: m.out.Sends[:0], Close: m.out.Close[:0], Dial: m.out.Dial[:0]}
}

// end looks for neighbours, if some are lacking, and sets the clock.
func (m *Machine) end() Ready {
	m.due = never
	if !m.left {
		m.due = min(m.shuffle.at, m.fillUp())
		for _, l := range m.links {
			m.due = min(m.due, l.until)
		}
	}
	return m.out
}

func (m *Machine) send(to crux.NodeID, msg Message) {
	m.out.Sends = append(m.out.Sends, Send{to, msg})
}

// jitter is a random time between d/2 and 3d/2.
func (m *Machine) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(m.cfg.Rand.Int64N(int64(d)+1))
}
