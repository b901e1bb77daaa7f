package route

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// State is what a table makes of a node.
type State uint8

// The states. Unknown: there is no row. Up: the graph reaches it from Self.
const (
	Unknown State = iota
	Up
	Down
)

var stateNames = [...]string{"unknown", "up", "down"}

// String gives the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[Unknown]
}

// Event is a change of a node's state. Why is for Down.
type Event struct {
	Node     crux.NodeID
	From, To State
	Why      Why
}

// How changes are gathered into events.
const (
	settleAfter = 20 * time.Millisecond  // from a change to its events
	settleMost  = 160 * time.Millisecond // the same, while changes do not end
	settleCalm  = 300 * time.Millisecond // without events: back to settleAfter
	hasteAgain  = 300 * time.Millisecond // between two hasty events of one node
	grace       = 500 * time.Millisecond // for a node that was merely let go, to find new neighbours
	aloneGrace  = 5 * time.Second        // for this node itself, when all its edges are gone
	maxHaste    = 256
)

// settling is a table's state between changes and events.
//
// The state that users see is that of the settled partition, but for the nodes in
// odd: those reported Down at once, and those let go by their neighbours for no
// fault, which remain Up for a while.
type settling struct {
	dirty   bool          // the graph may differ from settled
	due     time.Duration // of the changes
	graceAt time.Duration // the first grace ends
	wait    time.Duration // from a change to its events
	last    time.Duration // when the last events came
	settled *partition
	me      uint32 // the part of settled that Self is in
	odd     map[uint32]odd
	lost    []uint32 // had their last edge taken since the last Settle
	haste   map[uint32]time.Duration
	alone   time.Duration // the grace of a node without edges ends; never: it has some
}

type odd struct {
	state State
	until time.Duration // for Up
}

func newSettling() settling {
	return settling{due: never, graceAt: never, alone: never, wait: settleAfter, last: -settleCalm, me: none}
}

// State is the node's state as of the last Settle, and for Down the reason.
func (t *Table) State(id crux.NodeID) (State, Why) {
	i := t.ix.find(id)
	if i == none {
		return Unknown, Unreachable
	}
	s := t.state(i)
	if s != Down {
		return s, Unreachable
	}
	return s, t.why(i)
}

// Reachable is the number of nodes that are Up as of the last Settle, Self
// included.
func (t *Table) Reachable() int {
	e := &t.events
	n := e.settled.size(e.me)
	for i, o := range e.odd {
		switch was := stateIn(e.settled, i, e.me); {
		case was == Up && o.state == Down:
			n--
		case was != Up && o.state == Up:
			n++
		}
	}
	return n
}

func (t *Table) state(i uint32) State {
	if o, ok := t.events.odd[i]; ok {
		return o.state
	}
	if i == t.me {
		return Up
	}
	return stateIn(t.events.settled, i, t.events.me)
}

// NextSettle is when Settle has something to do again, if nothing changes. After
// an Update it must be called at once.
func (t *Table) NextSettle() time.Duration { return min(t.events.due, t.events.graceAt) }

// Settle tells what became of the changes since the last call: one event for
// each node whose state differs. Changes are gathered for 20 ms, or longer while
// they do not end, so that a flap in between is no event. A node that lost its
// last edge by a verdict, or that says it leaves, is Down at once. If all of
// Self's own edges are gone, it is Self that is cut off: nobody else goes Down by
// that for 5 s. The events are in the order of the node IDs; Self is not among
// them.
func (t *Table) Settle(now time.Duration) []Event {
	e := &t.events
	out := t.settleLost(now)
	if e.dirty && e.due == never {
		if now-e.last >= settleCalm {
			e.wait = settleAfter
		}
		e.due = now + e.wait
	}
	if now >= t.NextSettle() {
		out = append(out, t.settleAll(now)...)
	}
	if len(out) > 0 {
		e.last = now
		slices.SortFunc(out, func(a, b Event) int { return a.Node.Compare(b.Node) })
	}
	return out
}

// noteLost remembers who may have lost its last edge when row i changed.
func (t *Table) noteLost(i uint32, old, a *Adjacency) {
	if old == nil {
		return
	}
	note := func(v uint32) {
		if v != none && v != t.me && len(t.events.lost) < maxHaste {
			t.events.lost = append(t.events.lost, v)
		}
	}
	if a == nil || a.Leaving {
		note(i)
	}
	for _, v := range t.ix.edges(old) {
		if r := t.row(v); v != none && r != nil && !(carries(a) && a.Lists(r.Node)) {
			note(v)
		}
	}
}

// settleLost reports those that are Down without need of a search.
func (t *Table) settleLost(now time.Duration) (out []Event) {
	e := &t.events
	for _, i := range e.lost {
		a := t.row(i)
		if a == nil || t.state(i) != Up || t.degree(i) > 0 {
			continue
		}
		if w := t.why(i); (w == Dead || w == Hung || w == Left) && t.hasten(i, now) {
			t.setOdd(i, odd{state: Down})
			e.dirty = true
			out = append(out, Event{a.Node, Up, Down, w})
		}
	}
	e.lost = e.lost[:0]
	return out
}

// hasten says whether node i may be reported at once: not if it was just before,
// for it may be flapping.
func (t *Table) hasten(i uint32, now time.Duration) bool {
	e := &t.events
	for k, at := range e.haste {
		if now-at > hasteAgain {
			delete(e.haste, k)
		}
	}
	if _, ok := e.haste[i]; ok || len(e.haste) >= maxHaste {
		return false
	}
	if e.haste == nil {
		e.haste = make(map[uint32]time.Duration)
	}
	e.haste[i] = now
	return true
}

// settleAll compares the graph with the settled one.
func (t *Table) settleAll(now time.Duration) (out []Event) {
	e := &t.events
	next := t.cache.partition(t)
	me := t.partOf(next)
	if t.cutOff(now, next.size(me)) {
		e.dirty, e.due, e.graceAt = false, never, e.alone
		return nil
	}
	changed := t.cache.diff(diffKey{e.settled, next, e.me, me})
	for i := range e.odd {
		if !slices.Contains(changed, i) { // both are short where there are odd ones
			changed = append(changed[:len(changed):len(changed)], i)
		}
	}
	for _, i := range changed {
		if ev, ok := t.settleOne(now, i, stateIn(next, i, me)); ok {
			out = append(out, ev)
		}
	}
	e.settled, e.me, e.dirty = next, me, false
	e.due, e.graceAt = never, t.nextOdd()
	if len(out) > 0 && now-e.last < settleCalm {
		e.wait = min(2*e.wait, settleMost)
	}
	return out
}

// cutOff says whether this node, which sees so many in its part of the graph,
// has lost all the others a moment ago. Most likely the fault is with it.
func (t *Table) cutOff(now time.Duration, size int) bool {
	e := &t.events
	if size > 1 || e.settled.size(e.me) <= 1 {
		e.alone = never
		return false
	}
	if e.alone == never {
		e.alone = now + aloneGrace
	}
	return now < e.alone
}

// partOf is the part that this node sees the others from. If it is leaving, it is
// in none of theirs any more, but still sees what one of its neighbours sees.
func (t *Table) partOf(p *partition) uint32 {
	if a := t.row(t.me); a != nil && a.Leaving {
		for _, v := range t.ix.edges(a) {
			if v != none && t.joined(t.me, v) {
				return p.of(v)
			}
		}
	}
	return p.of(t.me)
}

// settleOne moves one node to its new state.
func (t *Table) settleOne(now time.Duration, i uint32, to State) (Event, bool) {
	e := &t.events
	from := t.state(i)
	if i == t.me {
		return Event{}, false
	}
	if from == Up && to == Down && t.merelyClosed(i) {
		o, ok := e.odd[i]
		if !ok {
			o = odd{Up, now + grace}
		}
		if now < o.until {
			t.setOdd(i, o)
			return Event{}, false
		}
	}
	delete(e.odd, i)
	if from == to {
		return Event{}, false
	}
	ev := Event{Node: t.ix.ids[i], From: from, To: to}
	if to == Down {
		ev.Why = t.why(i)
	}
	return ev, true
}

func (t *Table) setOdd(i uint32, o odd) {
	if t.events.odd == nil {
		t.events.odd = make(map[uint32]odd)
	}
	t.events.odd[i] = o
}

// nextOdd is when the first grace ends.
func (t *Table) nextOdd() time.Duration {
	at := never
	for _, o := range t.events.odd {
		if o.state == Up {
			at = min(at, o.until)
		}
	}
	return at
}

// merelyClosed says whether node i lost all its edges, and none of its former
// neighbours holds anything against it.
func (t *Table) merelyClosed(i uint32) bool {
	if a := t.row(i); a == nil || a.Leaving || t.degree(i) > 0 {
		return false
	}
	return t.why(i) == Unreachable
}

// why is the reason that node i is down: its own word that it leaves, or what
// most of its last neighbours say of it.
func (t *Table) why(i uint32) Why {
	a := t.row(i)
	if a == nil {
		return Unreachable
	}
	if a.Leaving {
		return Left
	}
	var said [whys]int
	for _, v := range t.ix.edges(a) {
		if r := t.row(v); r != nil {
			if w, ok := r.CutOf(a.Node); ok {
				said[w]++
			}
		}
	}
	best := Unreachable
	for _, w := range []Why{Dead, Hung, Left, Asymmetric} {
		if said[w] > 0 && (best == Unreachable || said[w] > said[best]) {
			best = w
		}
	}
	return best
}
