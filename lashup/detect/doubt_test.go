package detect

import (
	"testing"
	"time"

	"fulcrum.example/crux"
)

// alone is a machine without a network.
func alone(seed uint64) *Machine {
	return New(Config{Self: nodeID(0), Rand: testRand(seed), Witnesses: func(crux.NodeID, int) []crux.NodeID { return nil }}, 0)
}

func TestNeighboursArePingedFromTheFirstSecond(t *testing.T) {
	w := newWorld(30, 6, 1, 0.01)
	w.net.RunUntil(time.Second)
	for _, nd := range w.nodes {
		for _, id := range nd.edges {
			if rtt, ok := nd.m.RTT(id); !ok || rtt > 3*time.Millisecond {
				t.Errorf("%s has a round trip to %s of %v, %v", nd.id, id, rtt, ok)
			}
		}
	}
}

func TestUnrestMakesPingsRarerWithinBounds(t *testing.T) {
	m := alone(1)
	now := time.Second
	m.Changes(now, 10)
	if s := m.stretch(); s != 1 {
		t.Errorf("a few changes stretch the interval by %v", s)
	}
	for range 50 {
		now += 20 * time.Millisecond
		m.Changes(now, 100)
	}
	if s := m.stretch(); s < 1.9 || s > 2 {
		t.Errorf("very many changes stretch the interval by %v", s)
	}
	m.Tick(now + 30*time.Second)
	if s := m.stretch(); s != 1 {
		t.Errorf("half a minute later it is still %v", s)
	}
}

func TestLossAndHasteMakeWindowsLonger(t *testing.T) {
	m := alone(1)
	m.Tick(time.Second)
	if d := m.patient(time.Second); d != time.Second {
		t.Errorf("%v for a second, without a reason", d)
	}
	for i := range 1000 {
		m.lossSeen(i%5 == 0)
	}
	if d := m.patient(time.Second); d < 1800*time.Millisecond || d > 2*time.Second {
		t.Errorf("%v for a second, with a fifth of the pings missed", d)
	}
	m.loss = 0
	for range 10 {
		m.regret(&check{said: Hung, ends: m.now + lingerFor})
	}
	if d := m.patient(time.Second); d != 3*time.Second {
		t.Errorf("%v for a second, after ten hasty verdicts", d)
	}
	m.Tick(10 * time.Minute)
	if d := m.patient(time.Second); d > 1100*time.Millisecond {
		t.Errorf("%v for a second, ten minutes later", d)
	}
}

func TestHealthRecovers(t *testing.T) {
	w := formed(t, 10, 1, 0)
	m := w.nodes[0].m
	w.nodes[0].do(m.Late(w.net.Now(), time.Second))
	if m.health < 2 {
		t.Errorf("health %d after a second's delay", m.health)
	}
	w.run(5 * time.Second)
	if m.health != 0 || m.timeout(m.targets[0]) != m.p.Floor {
		t.Errorf("health %d, timeout %v five seconds later", m.health, m.timeout(m.targets[0]))
	}
}

// What lay unread while a process was starved is taken in before its timers: it was
// late once.
func TestATimeWithoutTheProcessorCountsOnce(t *testing.T) {
	w := formed(t, 10, 1, 0)
	m := w.nodes[0].m
	now, before := m.NextTick()+300*time.Millisecond, m.Stats().Late
	for i := range 5 {
		m.Heard(now+time.Duration(i)*time.Millisecond, m.targets[1].id)
	}
	m.Tick(now + 5*time.Millisecond)
	if n := m.Stats().Late - before; n != 1 || m.health != 2 {
		t.Errorf("late %d times, health %d", n, m.health)
	}
	m.Heard(m.NextTick()+100*time.Millisecond, m.targets[1].id)
	if n := m.Stats().Late - before; n != 2 {
		t.Errorf("late %d times, after another delay", n)
	}
}
