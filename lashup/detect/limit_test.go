package detect

import (
	"testing"
	"time"

	"fulcrum.example/crux"
)

// Whoever asks for very many witnesses gets some, and the target is pinged no
// more than three times for each that is taken.
func TestNobodyCanAmplify(t *testing.T) {
	m := New(Config{Self: nodeID(0), Rand: testRand(1), Witnesses: func(crux.NodeID, int) []crux.NodeID { return nil }}, 0)
	pings, now := 0, time.Second
	for i := range 1000 {
		now += time.Millisecond
		count := func(r Ready) {
			for _, s := range r.Sends {
				if _, ok := s.Msg.(*Ping); ok {
					pings++
				}
			}
		}
		count(m.Receive(now, nodeID(1), &WitnessRequest{Seq: uint64(i), Target: nodeID(2 + i%3), Within: 50 * time.Millisecond}))
		if m.NextTick() <= now {
			count(m.Tick(now))
		}
	}
	if taken := int(m.Stats().Witnessed); taken > senderBurst+senderRate+1 || pings > jobPings*taken || pings == 0 {
		t.Errorf("%d requests were taken, and %d pings sent", taken, pings)
	}
}

func TestThereIsALimitForAllTogether(t *testing.T) {
	var l limits
	taken := 0
	for i := range 10000 {
		if l.allow(time.Second, nodeID(i)) {
			taken++
		}
	}
	if taken > maxSenders || len(l.senders) > maxSenders {
		t.Errorf("%d requests of as many nodes at a time were taken", taken)
	}
	if !l.allow(time.Minute, nodeID(20000)) {
		t.Error("a minute later a request is still refused")
	}
}
