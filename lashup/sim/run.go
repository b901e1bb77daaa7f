package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
)

// Options say what to simulate.
type Options struct {
	Nodes   int           // 2 to 20,000
	Seed    uint64        // of everything that is left to chance
	Loss    float64       // chance that a packet is lost, 0 to less than 1
	Delay   time.Duration // each one-way delay is uniform in 0.2 to 1.2 of it
	Hang    bool          // the member that fails hangs, or else its host dies
	Updates int           // how many values to spread
	Formed  bool          // begin with a formed overlay, and do not simulate the joins
	Idle    time.Duration // over which to measure the traffic at rest; 0: 20 s
}

// Report is the outcome of a simulation, in virtual time. Bytes count seals,
// records, acknowledgements and TCP, UDP and IP headers. A time of -1 means that
// it did not happen.
type Report struct {
	// JoinedS counts from the last start until every node saw every other, in
	// seconds; 0 for a formed overlay.
	JoinedS float64 `json:"joined_s"`
	// Detect50MS and its like count from the failure of one member until so
	// many percent of the live nodes' tables showed it unreachable.
	Detect50MS  float64 `json:"detect50_ms"`
	Detect90MS  float64 `json:"detect90_ms"`
	Detect100MS float64 `json:"detect100_ms"`
	// FalseDeaths is how often a live node became unreachable in another's
	// table, from when all had joined.
	FalseDeaths int `json:"false_deaths"`
	// IdleBytes is what a node sends in a second at rest.
	IdleBytes float64 `json:"idle_bytes_per_node_s"`
	// AdjacencyBytes is the size of a node's database of adjacencies.
	AdjacencyBytes float64 `json:"adjacency_bytes_per_node"`
	// Update50MS and Update999MS are the median and the 99.9th percentile, over
	// all updates and nodes, of the time from the write until it was visible.
	Update50MS  float64 `json:"update_p50_ms"`
	Update999MS float64 `json:"update_p999_ms"`
	// UpdatesDelivered is how many updates were visible on all nodes in the end,
	// of UpdatesSent.
	UpdatesDelivered int `json:"updates_delivered"`
	UpdatesSent      int `json:"updates_sent"`
	// Trace is a hash over every event, the same for the same options.
	Trace string `json:"trace"`
}

// mostReplicas is up to how many nodes replicas of the store run, too: beyond that
// they would take too much memory, and updates are mere multicasts. They start when
// the nodes have joined.
const mostReplicas = 2000

// Times of a run.
const (
	startSpread = time.Second
	joinLimit   = 2 * time.Minute  // from the last start until all see all
	calmFor     = 15 * time.Second // from then until the rest is measured
	updatesFor  = 10 * time.Second // over which the updates are spread
	updateLimit = 20 * time.Second // from then until they must be everywhere
	failLimit   = 5 * time.Second
)

// Run simulates a bloc: its nodes start within a second, find one another
// through the flock's list, rest, spread updates, and lose one member. It fails
// with Invalid for options that make no sense, with Timeout when the nodes do not
// come to see one another, and with Internal when the fabric broke a promise.
func Run(o Options) (Report, error) {
	if err := o.check(); err != nil {
		return Report{}, err
	}
	w := NewWorld(Setting{Nodes: o.Nodes, Seed: o.Seed, Loss: o.Loss, Delay: o.Delay})
	r := Report{UpdatesSent: o.Updates}
	if o.Formed {
		w.Form()
	} else {
		last := w.StartAll(startSpread)
		if !w.until(last+joinLimit, w.Full) {
			return r, w.failure("%d nodes do not all see one another %v after the last start (seed %d)", o.Nodes, joinLimit, o.Seed)
		}
		r.JoinedS = max(w.Net.Now()-last, 0).Seconds()
		w.tally.falseDeaths = 0 // whoever joins sees parts of the whole come and go
	}
	if o.Nodes <= mostReplicas {
		w.StartStores()
	}
	w.Net.RunUntil(w.Net.Now() + calmFor)
	w.rest(&o, &r)
	w.spread(&o, &r)
	w.lose(&o, &r)
	r.FalseDeaths = w.FalseDeaths()
	r.Trace = fmt.Sprintf("%016x", w.Net.Trace())
	if w.err != nil {
		return r, w.failure("")
	}
	return r, nil
}

func (o *Options) check() error {
	const op = "simulate"
	switch {
	case o.Nodes < 2 || o.Nodes > 20_000:
		return crux.Errorf(op, crux.Invalid, "%d nodes: want 2 to 20,000", o.Nodes)
	case o.Loss < 0 || o.Loss >= 1:
		return crux.Errorf(op, crux.Invalid, "a loss of %v: want a fraction from 0 to less than 1, as 0.01", o.Loss)
	case o.Delay < 0 || o.Delay > time.Second:
		return crux.Errorf(op, crux.Invalid, "a delay of %v: want 0 to 1s", o.Delay)
	case o.Updates < 0 || o.Updates > 100_000:
		return crux.Errorf(op, crux.Invalid, "%d updates: want 0 to 100,000", o.Updates)
	case o.Idle < 0 || o.Idle > time.Hour:
		return crux.Errorf(op, crux.Invalid, "a rest of %v: want 0 to 1h", o.Idle)
	}
	if o.Idle == 0 {
		o.Idle = 20 * time.Second
	}
	return nil
}

// until lets the time go by until cond, and says whether it came true.
func (w *World) until(limit time.Duration, cond func() bool) bool {
	return w.Net.RunWhile(limit, func() bool { return !cond() && w.err == nil }) && w.err == nil
}

func (w *World) failure(format string, args ...any) error {
	if w.err != nil {
		return crux.Errorf("simulate", crux.Internal, "%w", w.err)
	}
	return crux.Errorf("simulate", crux.Timeout, format, args...)
}

// rest measures the traffic and the databases of nodes left alone.
func (w *World) rest(o *Options, r *Report) {
	before := w.SentBytes()
	w.Net.RunUntil(w.Net.Now() + o.Idle)
	n := float64(len(w.Nodes))
	r.IdleBytes = float64(w.SentBytes()-before) / n / o.Idle.Seconds()
	for _, nd := range w.Nodes {
		r.AdjacencyBytes += float64(nd.F.Table().Bytes()) / n
	}
}

// spread sends the updates, from random nodes at random times.
func (w *World) spread(o *Options, r *Report) {
	r.Update50MS, r.Update999MS = -1, -1
	if o.Updates == 0 {
		return
	}
	w.Spread(o.Updates, updatesFor, func(rng *rand.Rand) { w.Update(w.Nodes[rng.IntN(len(w.Nodes))]) })
	w.Net.RunUntil(w.Net.Now() + updatesFor)
	w.until(w.Net.Now()+updateLimit, func() bool { return w.UpdatesMissing() == 0 })
	times := w.updateTimes()
	if len(times) > 0 {
		r.Update50MS = millis(times[len(times)/2])
		r.Update999MS = millis(times[len(times)*999/1000])
	}
	for _, u := range w.tally.updates {
		if u.missing == 0 {
			r.UpdatesDelivered++
		}
	}
}

// lose makes a random member fail, at a random moment.
func (w *World) lose(o *Options, r *Report) {
	w.Net.RunUntil(w.Net.Now() + time.Duration(w.rng.Int64N(int64(time.Second))))
	out := w.Fail(w.Nodes[w.rng.IntN(len(w.Nodes))], o.Hang)
	w.until(w.Net.Now()+failLimit, out.Known)
	r.Detect50MS, r.Detect90MS, r.Detect100MS = millis(out.Until(0.5)), millis(out.Until(0.9)), millis(out.Until(1))
}

// millis gives a time in milliseconds, and -1 for one that did not come.
func millis(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return float64(d.Microseconds()) / 1000
}
