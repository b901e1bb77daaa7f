package sim

import (
	"fmt"
	"time"

	"fulcrum.example/crux"
)

// Options say what to simulate.
type Options struct {
	Nodes int           // at least 1
	Seed  uint64        // of everything that is left to chance
	Loss  float64       // chance that a packet is lost, 0 to less than 1
	RTT   time.Duration // each one-way delay is uniform between 0.1 and 0.9 of it
	Limit time.Duration // virtual time after the last start; 0: one minute
	Hold  time.Duration // go on for so long after the flock has formed
}

// startSpread is the time over which the nodes start, uniformly.
const startSpread = time.Second

// Report is the outcome of a simulation. Bytes and packets are those sent until
// the end of the run (which is when the flock had formed, but for Hold), with
// seals, signatures and UDP and IP headers.
type Report struct {
	// FormedS counts from the last node's start until the last node itself knew
	// all members and the leader, in seconds of virtual time.
	FormedS float64 `json:"formed_s"`
	// LeaderChanges is how often the leadership of a flock passed from one of
	// its members to another; flocks that merge are not counted.
	LeaderChanges  int     `json:"leader_changes"`
	BytesPerNode   float64 `json:"bytes_per_node"`
	PacketsPerNode float64 `json:"packets_per_node"`
	// Trace is a hash over every event, the same for the same options.
	Trace string `json:"trace"`
}

// Run simulates the power-up of a bloc: nodes at dense addresses in the smallest
// subnet that holds them, which is all that each knows; no seed nodes; started
// over one second. It fails with Invalid for options that make no sense, with
// Timeout when no single flock has formed by the limit, and with Internal when
// a promise of flock was broken.
func Run(o Options) (Report, error) {
	switch {
	case o.Nodes < 1 || o.Nodes > 100_000:
		return Report{}, crux.Errorf("simulate", crux.Invalid, "%d nodes: want 1 to 100,000", o.Nodes)
	case o.Loss < 0 || o.Loss >= 1:
		return Report{}, crux.Errorf("simulate", crux.Invalid, "a loss of %v: want a fraction from 0 to less than 1, as 0.01", o.Loss)
	case o.RTT < 0 || o.RTT > 10*time.Second:
		return Report{}, crux.Errorf("simulate", crux.Invalid, "a round-trip time of %v: want 0 to 10s", o.RTT)
	}
	if o.Limit == 0 {
		o.Limit = time.Minute
	}
	w := NewWorld(o.Nodes, o.Seed, o.Loss, o.RTT)
	last := w.StartAll(startSpread)
	formed := w.Net.RunWhile(last+o.Limit, func() bool { return !w.Formed() && w.Err() == nil })
	at := w.Net.Now()
	if formed && o.Hold > 0 {
		w.Net.RunWhile(at+o.Hold, func() bool { return w.Err() == nil })
	}
	r := w.report(at - last)
	switch {
	case w.Err() != nil:
		return r, crux.Errorf("simulate", crux.Internal, "%w", w.Err())
	case !formed:
		return r, crux.Errorf("simulate", crux.Timeout, "%d nodes have not become one flock %v after the last start (seed %d)", o.Nodes, o.Limit, o.Seed)
	}
	return r, nil
}

// StartAll starts all nodes, each at a random time within spread, and returns
// when the last one will start.
func (w *World) StartAll(spread time.Duration) time.Duration {
	var last time.Duration
	for _, nd := range w.Nodes {
		at := w.Net.Now()
		if spread > 0 {
			at += time.Duration(nd.rng.Int64N(int64(spread)))
		}
		last = max(last, at)
		w.Net.At(at, nd.Start)
	}
	return last
}

func (w *World) report(formed time.Duration) Report {
	var bytes, packets uint64
	for _, nd := range w.Nodes {
		c := nd.Place.Counters()
		bytes += c.SentBytes
		packets += c.SentPackets
	}
	n := float64(len(w.Nodes))
	return Report{
		FormedS:        max(formed, 0).Seconds(),
		LeaderChanges:  w.check.changes,
		BytesPerNode:   float64(bytes) / n,
		PacketsPerNode: float64(packets) / n,
		Trace:          fmt.Sprintf("%016x", w.Net.Trace()),
	}
}
