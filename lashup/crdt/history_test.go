package crdt

import (
	"fmt"
	"reflect"
	"slices"

	"fulcrum.example/crux"
)

// chooser makes the random choices: 0 … n-1, smaller is simpler.
type chooser func(n int) int

// history is a few replicas of one key that write, exchange deltas, whole states
// and fragments in any order, crash, come back as new incarnations and fold old
// ones, beside the model.
type history struct {
	pick     chooser
	fail     func(format string, args ...any)
	model    model
	replicas []*replica
	sent     []letter // everything that was ever sent: it may arrive at any time, and again
	merges   int
	folded   int
	checked  int // comparisons with the model
	types    []Type
	root     Type // of the key, mostly
	resets   int  // one operation on a field of so many is a removal
	folds    bool // whether replicas restart and fold
}

// letter is a state on its way, and the effects that it tells of.
type letter struct {
	state  *State
	tells  ids
	writer int
}

type replica struct {
	Actor
	seq    uint64
	clock  Timestamp
	state  *State
	seen   ids
	saved  *State // what a crash leaves
	savedS ids
	marks  map[Actor]*ids // what it had seen when it had all of the node's incarnations before the actor's
}

func newHistory(pick chooser, fail func(string, ...any)) *history {
	h := &history{pick: pick, fail: fail, folds: pick(2) == 1, root: Map, resets: 5}
	for t := Counter; t < types; t++ { // some of the types, so that each is met often
		if pick(2) == 0 {
			h.types = append(h.types, t)
		}
	}
	if len(h.types) == 0 {
		h.types = []Type{Counter}
	}
	if h.folds && pick(2) == 1 { // counters have most to fold
		h.types, h.resets = []Type{Counter}, 2
		h.root = []Type{Map, Counter}[pick(2)]
	}
	for i := range 2 + pick(3) {
		r := &replica{Actor: Actor{crux.NodeID{byte(i + 1)}, 1 + uint64(pick(3))}, marks: map[Actor]*ids{}}
		r.state, r.saved = &State{}, &State{}
		h.replicas = append(h.replicas, r)
	}
	return h
}

var names = [...]string{"a", "b", "c"}

// op draws an operation on a value of type t, 0 for any.
func (h *history) op(t Type, depth int) Op {
	if t == 0 {
		t = h.types[h.pick(len(h.types))]
	}
	if t == Map && depth > 3 {
		t = h.types[0]
		if t == Map {
			t = AddWinsSet
		}
	}
	switch t {
	case Counter:
		return Incr(int64(1 + h.pick(9) - 3))
	case AddWinsSet, RemoveWinsSet:
		var lists [2][]string
		for i := range names {
			if w := h.pick(4); w < 2 {
				lists[w] = append(lists[w], names[i])
			}
		}
		if len(lists[0])+len(lists[1]) == 0 {
			return Add(t, "a")
		}
		return EditSet(t, lists[0], lists[1])
	case EnableWinsFlag, DisableWinsFlag:
		if h.pick(2) == 0 {
			return Enable(t)
		}
		return Disable(t)
	case LastWriter, MultiValue:
		return Assign(t, fmt.Sprint(h.pick(50)))
	}
	return h.update(depth)
}

func (h *history) update(depth int) Op {
	byKey := map[string]FieldOp{}
	for range 1 + h.pick(3) {
		f := Field(names[h.pick(2)], h.op(0, depth+1))
		if h.pick(h.resets) == 1 {
			f = RemoveField(f.Type, f.Name)
		}
		byKey[f.key()] = f
	}
	var list []FieldOp
	for _, f := range byKey {
		list = append(list, f)
	}
	return Update(list...)
}

// write lets r carry out a random operation.
func (h *history) write(i int) {
	r := h.replicas[i]
	op := h.op(h.root, 1)
	switch h.pick(12) {
	case 10:
		op = Reset()
	case 11:
		op = h.op(0, 1)
	}
	r.seq += 1 + uint64(h.pick(3)) // the numbers between went to other keys
	r.clock = max(r.clock, r.state.Latest()) + Timestamp(h.pick(2))
	if r.clock == r.state.Latest() {
		r.clock++
	}
	var seen *Context
	if h.pick(2) == 0 {
		c := r.state.Context()
		seen = &c
	}
	was, wasSize := r.state.Append(nil), r.state.Size()
	delta, err := r.state.Apply(op, Dot{r.Actor, r.seq}, r.clock, seen, Limits{})
	if crux.KindOf(err) == crux.Invalid && err != nil && r.state.Type() != op.Type() {
		if string(was) != string(r.state.Append(nil)) || wasSize != r.state.Size() {
			h.fail("a refused operation changed the state")
		}
		return
	} else if err != nil {
		h.fail("apply: %v", err)
	}
	own := h.model.write(&op, Dot{r.Actor, r.seq}, r.clock, r.seen)
	r.seq += op.Dots() - 1
	h.merges++
	r.seen.union(own)
	h.sent = append(h.sent, letter{delta, h.implied(own), i})
	h.check(r)
}

// implied adds to effects the earlier increments of the same counters by the same
// actor: the delta of an increment tells of those too.
func (h *history) implied(own ids) ids {
	own = slices.Clone(own)
	for i, e := range h.model.effects {
		if !own.has(i) || e.typ != Counter || e.erases {
			continue
		}
		for k, f := range h.model.effects[:i] {
			if f.typ == Counter && !f.erases && f.path == e.path && f.dot.Actor == e.dot.Actor {
				own.add(k)
			}
		}
	}
	return own
}

// deliver brings a letter to r, as it is or by way of the codec.
func (h *history) deliver(r *replica, l letter) {
	s := l.state
	if h.pick(4) == 3 {
		b := s.Append(nil)
		got, err := Decode(b)
		if err != nil || len(b) != s.Size() {
			h.fail("decode: %v; %d bytes, size %d", err, len(b), s.Size())
		}
		s = got
	}
	was := s.Size()
	before := r.state.Append(nil)
	changed := r.state.Join(s)
	h.merges++
	if changed == (string(before) == string(r.state.Append(nil))) {
		h.fail("Join says changed: %v", changed)
	}
	if s.Size() != was {
		h.fail("Join changed the other side")
	}
	r.seen.union(l.tells)
	h.check(r)
}

// gossip makes a letter that is no single delta.
func (h *history) gossip() {
	i := h.pick(len(h.replicas))
	r := h.replicas[i]
	switch h.pick(3) {
	case 0: // the whole state
		h.sent = append(h.sent, h.whole(i))
	case 1: // what one other lacks, and only that one may get it
		to := h.replicas[h.pick(len(h.replicas))]
		l := letter{r.state.Fragment(to.state.Context()), slices.Clone(r.seen), i}
		if l.state.Size() > r.state.Size() {
			h.fail("a fragment is longer than the whole")
		}
		h.deliver(to, l)
	case 2: // two letters in one
		if len(h.sent) == 0 {
			return
		}
		a, b := h.sent[h.pick(len(h.sent))], h.sent[h.pick(len(h.sent))]
		l := letter{a.state.Clone(), slices.Clone(a.tells), a.writer}
		l.state.Join(b.state)
		l.tells.union(b.tells)
		h.merges++
		h.sent = append(h.sent, l)
	}
}

// check compares r with the model when what r has seen is causally closed. When
// it is not, deltas have come before what they build upon, and what a reader sees
// is not defined yet.
func (h *history) check(r *replica) {
	s := r.state
	if n := len(s.Append(nil)); n != s.Size() {
		h.fail("size %d of %d bytes", s.Size(), n)
	}
	if !h.model.closed(r.seen) {
		return
	}
	h.checked++
	if got, want := s.Value(), h.model.value(r.seen); !reflect.DeepEqual(got, want) {
		h.fail("%v reads\n%+v, not\n%+v", r.Actor, got, want)
	}
}

// restart ends r's incarnation, with or without its memory since the last save.
func (h *history) restart(r *replica) {
	if h.pick(2) == 0 {
		r.save()
	}
	r.state, r.seen = r.saved.Clone(), slices.Clone(r.savedS)
	r.Incarnation += 1 + uint64(h.pick(3))
	r.seq = 0
	h.check(r)
}

func (r *replica) save() { r.saved, r.savedS = r.state.Clone(), slices.Clone(r.seen) }

// all of what the node of a did in incarnations before a's.
func (h *history) before(a Actor) (out ids) {
	for i, e := range h.model.effects {
		if e.writer.Node == a.Node && e.writer.Incarnation < a.Incarnation {
			out.add(i)
		}
	}
	return out
}

// mark lets r note durably that it has all of closed incarnations, those of its
// own among them: what it wrote and lost in a crash.
func (h *history) mark(r *replica) {
	for _, o := range h.replicas {
		if r.marks[o.Actor] == nil && r.seen.covers(h.before(o.Actor)) && r.seen.covers(h.before(r.Actor)) {
			r.save()
			had := slices.Clone(r.seen)
			r.marks[o.Actor] = &had
		}
	}
}

// fold lets r fold what it may: all have marked it, and r has seen all that they
// had seen then.
func (h *history) fold(r *replica) {
	for _, o := range h.replicas {
		if h.mayFold(r, o.Actor) && r.state.Fold(o.Node, o.Incarnation) {
			h.folded++
			h.check(r)
		}
	}
}

func (h *history) mayFold(r *replica, a Actor) bool {
	for _, x := range h.replicas {
		if had := x.marks[a]; had == nil || !r.seen.covers(*had) {
			return false
		}
	}
	return true
}

func (h *history) step() {
	r := h.replicas[h.pick(len(h.replicas))]
	switch n := h.pick(16); {
	case n < 6:
		h.write(slices.Index(h.replicas, r))
	case n < 13 && len(h.sent) > 0:
		h.deliver(r, h.sent[h.pick(len(h.sent))])
	case n < 16:
		h.gossip()
	}
	if !h.folds {
		return
	}
	switch h.pick(8) {
	case 4:
		h.restart(r)
	case 5:
		h.deliver(r, h.whole(h.pick(len(h.replicas))))
	case 6:
		h.mark(r)
	case 7:
		h.fold(r)
	}
}

// lives lets every replica live through some incarnations, so that there is
// something to fold.
func (h *history) lives() {
	for range 2 + h.pick(2) {
		for i, r := range h.replicas {
			h.write(i)
			h.write(i)
			if h.pick(2) == 0 {
				h.deliver(r, h.sent[h.pick(len(h.sent))])
			}
			r.save()
			h.restart(r)
		}
	}
	h.settle()
}

// settle gives everybody all that was sent, and lets them note it: from now on
// they may fold, each when it comes to it.
func (h *history) settle() {
	for range 2 {
		for _, r := range h.replicas {
			for _, l := range h.sent {
				h.deliver(r, l)
			}
			h.mark(r)
		}
	}
}

// whole is a letter with all that replica i has.
func (h *history) whole(i int) letter {
	return letter{h.replicas[i].state.Clone(), slices.Clone(h.replicas[i].seen), i}
}

// end delivers everything to everybody, each in an order of its own, and compares.
func (h *history) end() {
	for _, r := range h.replicas {
		for _, i := range h.shuffled(len(h.sent)) {
			h.deliver(r, h.sent[i])
		}
		if !h.model.closed(r.seen) {
			h.fail("the history is not complete")
		}
	}
	if h.folds {
		for _, each := range []func(*replica){h.mark, h.fold} {
			for _, r := range h.replicas {
				each(r)
			}
		}
	}
	first := h.replicas[0]
	for _, r := range h.replicas {
		if !r.state.Equal(first.state) {
			h.fail("%v and %v have seen the same and differ:\n%+v %v\n%+v %v", r.Actor, first.Actor, r.state.Value(), r.state.Context(), first.state.Value(), first.state.Context())
		}
	}
}

func (h *history) shuffled(n int) []int {
	out := make([]int, n)
	for i := range out {
		k := h.pick(i + 1)
		out[i] = out[k]
		out[k] = i
	}
	return out
}
