package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
)

// tally is what a world counts as it goes.
type tally struct {
	full        int // nodes that see all the others
	up          []int32
	outages     []*Outage
	falseDeaths int
	updates     map[string]*update
}

// Outage is a node's end, and when the others learned of it.
type Outage struct {
	Node  *Node
	At    time.Duration
	live  int             // observers, at At
	seen  map[*Node]bool  // who knows
	after []time.Duration // ascending: how long the first, the second … took
}

// Until is how long it took until a fraction of the live nodes knew, or -1 if that
// many do not yet.
func (o *Outage) Until(fraction float64) time.Duration {
	k := max(1, int(float64(o.live)*fraction+0.999999))
	if k > len(o.after) {
		return -1
	}
	return o.after[k-1]
}

// Known says whether all live nodes know.
func (o *Outage) Known() bool { return len(o.after) >= o.live }

// Fail makes a node fail: by the death of its host, or so that it hangs.
func (w *World) Fail(nd *Node, hang bool) *Outage {
	o := &Outage{Node: nd, At: w.Net.Now(), seen: map[*Node]bool{}}
	if hang {
		nd.Place.Suspend()
	} else {
		nd.Kill()
	}
	for _, x := range w.Nodes {
		if x.Up() {
			o.live++
		}
	}
	w.tally.outages = append(w.tally.outages, o)
	return o
}

// Restore brings back what Fail took.
func (w *World) Restore(o *Outage) {
	w.tally.outages = slices.DeleteFunc(w.tally.outages, func(x *Outage) bool { return x == o })
	if o.Node.F == nil {
		o.Node.Start()
	} else {
		o.Node.Place.Resume()
	}
}

func (w *World) outageOf(nd *Node) *Outage {
	for _, o := range w.tally.outages {
		if o.Node == nd {
			return o
		}
	}
	return nil
}

// observe counts what a step of a node shows.
func (w *World) observe(nd *Node, r *fabric.Ready) {
	for i := range r.Events {
		w.seen(nd, &r.Events[i])
	}
	for i := range r.Delivered {
		w.visible(nd, r.Delivered[i].Topic)
	}
}

// visible notes that a node sees an update.
func (w *World) visible(nd *Node, key string) {
	if u := w.tally.updates[key]; u != nil && u.by != nd {
		u.missing--
		u.after = append(u.after, w.Net.Now()-u.at)
	}
}

func (w *World) seen(nd *Node, e *route.Event) {
	all := int32(len(w.members) - 1)
	before := w.tally.up[nd.Index]
	if e.To == route.Up {
		w.tally.up[nd.Index]++
	} else if e.From == route.Up {
		w.tally.up[nd.Index]--
	}
	switch after := w.tally.up[nd.Index]; {
	case after == all:
		w.tally.full++
	case before == all:
		w.tally.full--
	}
	if e.To != route.Down || e.From != route.Up {
		return
	}
	x := w.byID[e.Node]
	if o := w.outageOf(x); o != nil {
		if !o.seen[nd] {
			o.seen[nd] = true
			o.after = append(o.after, w.Net.Now()-o.At)
		}
		return
	}
	if x.Up() {
		w.tally.falseDeaths++
	}
}

// forgetUp is for a node that starts anew: it sees nobody.
func (w *World) forgetUp(nd *Node) {
	if w.tally.up[nd.Index] == int32(len(w.members)-1) {
		w.tally.full--
	}
	w.tally.up[nd.Index] = 0
}

// Full says whether every node sees every other.
func (w *World) Full() bool { return w.tally.full == len(w.Nodes) }

// FalseDeaths counts how often a live node came to be Down at another.
func (w *World) FalseDeaths() int { return w.tally.falseDeaths }

// update is one value on its way to all nodes.
type update struct {
	by      *Node
	at      time.Duration
	missing int
	after   []time.Duration
}

// updatePayload is the size of an update's value, in bytes.
const updatePayload = 200

// Update has a node write a value to a key of its own making, or, where no
// replicas run, multicast it.
func (w *World) Update(nd *Node) {
	key := updateKey(len(w.tally.updates))
	w.tally.updates[key] = &update{by: nd, at: w.Net.Now(), missing: len(w.Nodes) - 1}
	if nd.store.r != nil {
		nd.Write([]string{key}, crdt.Assign(crdt.LastWriter, strings.Repeat("v", updatePayload)))
		return
	}
	nd.Do(func(now time.Duration, f *fabric.Machine) fabric.Ready {
		_, r, err := f.Publish(now, cast.Request{Topic: key, Payload: make([]byte, updatePayload)})
		if err != nil {
			w.fail("%s cannot publish: %v", nd.ID, err)
		}
		return r
	})
}

// UpdatesMissing is the number of (update, node) pairs that are still to come.
func (w *World) UpdatesMissing() (n int) {
	for _, u := range w.tally.updates {
		n += u.missing
	}
	return n
}

// updateTimes are how long the updates took, all of them, ascending.
func (w *World) updateTimes() (all []time.Duration) {
	for _, u := range w.tally.updates {
		all = append(all, u.after...)
	}
	slices.Sort(all)
	return all
}

// Spread calls f so many times, at random moments within a time from now on.
func (w *World) Spread(times int, within time.Duration, f func(rng *rand.Rand)) {
	for range times {
		w.Net.At(w.Net.Now()+time.Duration(w.rng.Int64N(int64(within))), func() { f(w.rng) })
	}
}

// fail notes a broken promise.
func (w *World) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("seed %d, at %v: "+format, append([]any{w.set.Seed, w.Net.Now()}, args...)...)
	}
}
