package crdt

import (
	"math"
	"slices"
	"sort"

	"fulcrum.example/crux"
)

// counter is a sum of increments that can be reset exactly: a reset takes back
// the increments that the resetter has seen, and those alone.
//
// Each actor has a cell: the sum of its increments from number first to number
// top. A reset leaves a floor: what the cell was at number top when the resetter
// saw it. The actor's part of the value is cell minus floor. An actor that sees
// its whole cell under a floor begins a new one, and floors below the first
// number of a cell are void. So of an actor's cells the one with the highest top
// counts, and of its floors likewise; both only grow.
//
// Cells and floors obey the causal context too, as dots do: a side that has seen
// the last number that another has of an actor, and has no entry of the actor, has
// seen it go (only fold does that).
type counter struct {
	entries []entry // sorted by actor, the floor before the cell; one of each at most
}

// entry is a cell or a floor.
type entry struct {
	Actor
	floor  bool
	folded bool   // stands for all closed incarnations up to this one; see fold.go
	first  uint64 // 0 in floors
	top    uint64
	amount int64
}

func (x *entry) mark() Mark { return Mark{x.Incarnation, x.top} }

func (x *entry) dot() Dot { return Dot{x.Actor, x.top} }

// part is what a counter holds of one actor.
type part struct{ floor, cell entry } // top is 0 in what is not there

// last is the mark of the last entry.
func (p *part) last() Mark {
	if p.cell.top > 0 {
		return p.cell.mark()
	}
	return p.floor.mark()
}

func (p *part) net() int64 { return p.cell.amount - p.floor.amount }

// span finds the entries of actor.
func (c *counter) span(a Actor) (i, j int) {
	i = sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Actor.Compare(a) >= 0 })
	for j = i; j < len(c.entries) && c.entries[j].Actor == a; j++ {
	}
	return i, j
}

// partOf gathers the entries of one actor.
func partOf(list []entry) (p part) {
	for _, x := range list {
		if x.floor {
			p.floor = x
		} else {
			p.cell = x
		}
	}
	return p
}

// parts gives each part in turn, with its actor.
func (c *counter) parts(yield func(Actor, part) bool) {
	for i, j := 0, 0; i < len(c.entries); i = j {
		for j = i; j < len(c.entries) && c.entries[j].Actor == c.entries[i].Actor; j++ {
		}
		if !yield(c.entries[i].Actor, partOf(c.entries[i:j])) {
			return
		}
	}
}

// put makes p the part of actor a.
func (c *counter) put(a Actor, p part) {
	i, j := c.span(a)
	switch {
	case p.floor.top == 0 && p.cell.top == 0:
		c.entries = slices.Delete(c.entries, i, j)
	case p.cell.top == 0:
		c.entries = slices.Replace(c.entries, i, j, p.floor)
	case p.floor.top == 0:
		c.entries = slices.Replace(c.entries, i, j, p.cell)
	default:
		c.entries = slices.Replace(c.entries, i, j, p.floor, p.cell)
	}
}

// joinParts is the join of two parts of one actor.
func joinParts(p, q part) part {
	folded := p.floor.folded || p.cell.folded || q.floor.folded || q.cell.folded
	switch {
	case q.cell.folded && !p.cell.folded, q.cell.folded == p.cell.folded && q.cell.top > p.cell.top:
		p.cell = q.cell
	}
	if q.floor.top > p.floor.top {
		p.floor = q.floor
	}
	switch {
	case p.floor.top >= p.cell.top:
		p.cell = entry{}
		if folded { // nothing can come that the amount would be taken from
			p.floor.folded, p.floor.amount = true, 0
		}
	case p.floor.top < p.cell.first || p.cell.folded:
		p.floor = entry{} // void, or in the folded amount already
	}
	return p
}

func (c *counter) kind() Type  { return Counter }
func (c *counter) empty() bool { return len(c.entries) == 0 }
func (c *counter) clone() node { return &counter{slices.Clone(c.entries)} }

func (c *counter) live() bool {
	return slices.ContainsFunc(c.entries, func(x entry) bool { return !x.floor })
}

func (c *counter) sum() (n int64) {
	for _, p := range c.parts {
		if p.cell.top > 0 {
			n += p.net()
		}
	}
	return n
}

func (c *counter) join(o node, j *joiner) bool {
	var theirs counter
	if o != nil {
		theirs = *o.(*counter)
	}
	changed := c.forget(&theirs, j)
	for a, p := range theirs.parts {
		if c.merge(a, p, j) {
			changed = true
		}
	}
	return changed
}

// forget removes the parts that the other side has seen and has nothing of.
func (c *counter) forget(theirs *counter, j *joiner) bool {
	changed := false
	for _, s := range j.common.spans {
		i, _ := c.span(Actor{s.Node, s.Lo.Incarnation})
		for k := 0; i < len(c.entries) && c.entries[i].Node == s.Node && c.entries[i].Incarnation <= s.Hi.Incarnation; i = k {
			a := c.entries[i].Actor
			_, k = c.span(a)
			from, to := theirs.span(a)
			// The last entry tells: others may be of numbers that the other side knows
			// of while it has left out the last one.
			if from == to && j.common.has(a.Node, c.entries[k-1].mark()) {
				c.entries = slices.Delete(c.entries, i, k)
				k, changed = i, true
			}
		}
	}
	return changed
}

// merge takes in the other side's part of actor a.
func (c *counter) merge(a Actor, theirs part, j *joiner) bool {
	i, k := c.span(a)
	if c.foldedBeyond(a) || i == k && j.mine.has(a.Node, theirs.last()) {
		return false // what was seen and is not here has gone
	}
	was := partOf(c.entries[i:k])
	p := joinParts(was, theirs)
	if p == was {
		return false
	}
	c.put(a, p)
	if p.floor.folded || p.cell.folded {
		c.absorb(a)
	}
	return true
}

// foldedBeyond says whether a folded entry of a later incarnation stands for a.
func (c *counter) foldedBeyond(a Actor) bool {
	for _, j := c.span(a); j < len(c.entries) && c.entries[j].Node == a.Node; j++ {
		if c.entries[j].folded {
			return true
		}
	}
	return false
}

// absorb removes the entries that the folded one of a stands for.
func (c *counter) absorb(a Actor) {
	from, _ := c.span(Actor{a.Node, 0})
	to, _ := c.span(a)
	c.entries = slices.Delete(c.entries, from, to)
}

func (c *counter) apply(op *Op, e *edit) (node, error) {
	d := e.next()
	i, j := c.span(d.Actor)
	p := partOf(c.entries[i:j])
	if p.cell.top == 0 {
		p = part{cell: entry{Actor: d.Actor, first: d.Seq}}
	}
	sum := c.sum()
	if overflows(p.cell.amount, op.n) || overflows(sum, op.n) {
		return nil, crux.Errorf("increment a counter", crux.Exhausted,
			"%d more than %d does not fit into 64 bits: reset the counter, or use smaller steps", op.n, sum)
	}
	p.cell.top = d.Seq
	p.cell.amount += op.n
	if p.floor.top > 0 {
		e.seen = append(e.seen, p.floor.dot()) // it goes along: the actor tells all of its part
	}
	out := &counter{}
	out.put(d.Actor, p)
	return out, nil
}

func overflows(a, b int64) bool {
	return b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b
}

// reset puts a floor under each cell. The old floors come along: a delta that
// has seen them must hold them.
func (c *counter) reset(e *edit) node {
	out := &counter{}
	for a, p := range c.parts {
		if x := p.cell; x.top > 0 {
			p.floor = entry{a, true, x.folded, 0, x.top, x.amount}
		}
		if p.floor.folded {
			p.floor.amount = 0
		}
		e.seen = append(e.seen, p.floor.dot())
		out.entries = append(out.entries, p.floor)
	}
	return out
}

// outside keeps all floors: no context tells whether their receiver has them.
func (c *counter) outside(f *fragment) node {
	out := &counter{}
	for _, x := range c.entries {
		if x.floor || x.folded || f.wants(x.dot()) {
			out.entries = append(out.entries, x)
		}
	}
	return out
}

func (c *counter) each(yield func(Dot)) {
	for i := range c.entries {
		yield(c.entries[i].dot())
	}
}

func (c *counter) latest() Timestamp { return 0 }

func (c *counter) value() Value { return Value{Type: Counter, Int: c.sum()} }

func (c *counter) bytes() int {
	n := uvarintLen(uint64(len(c.entries)))
	for i := range c.entries {
		x := &c.entries[i]
		n += 1 + dotLen(x.dot()) + varintLen(x.amount)
		if !x.floor {
			n += uvarintLen(x.top - x.first)
		}
	}
	return n
}

// Flags of an entry on the wire.
const (
	entryFloor = 1 << iota
	entryFolded
)

func (c *counter) appendTo(b []byte, e *encoder) []byte {
	b = appendUvarint(b, uint64(len(c.entries)))
	for i := range c.entries {
		x := &c.entries[i]
		b = append(b, bit(x.floor, entryFloor)|bit(x.folded, entryFolded))
		b = e.appendDot(b, x.dot())
		if !x.floor {
			b = appendUvarint(b, x.top-x.first)
		}
		b = appendVarint(b, x.amount)
	}
	return b
}
