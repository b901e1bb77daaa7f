package crdt

import (
	"iter"
	"math"
	"slices"
	"sort"

	"fulcrum.example/crux"
)

// Span is what one node did after Lo, up to Hi and Hi included. It may reach
// over incarnations: from (1,5) to (3,0) is what incarnation 1 did after its 5th
// dot, and all of incarnation 2.
type Span struct {
	Node   crux.NodeID
	Lo, Hi Mark
}

// Context is a causal context: a set of dots, as sorted spans that do not
// overlap or touch (interval version vectors). The zero Context is empty. A
// Context is owned by one goroutine; copies share memory, so Clone what is to be
// changed.
//
// The context of a key speaks of that key only: it covers numbers that its
// actor used for other keys, whatever has become of those.
type Context struct{ spans []Span }

// search finds the first span that ends at or after (node, m).
func (c Context) search(node crux.NodeID, m Mark) int {
	return sort.Search(len(c.spans), func(i int) bool {
		s := &c.spans[i]
		if n := s.Node.Compare(node); n != 0 {
			return n > 0
		}
		return s.Hi.Compare(m) >= 0
	})
}

// Contains says whether d is in the set.
func (c Context) Contains(d Dot) bool { return c.has(d.Node, d.mark()) }

func (c Context) has(node crux.NodeID, m Mark) bool {
	i := c.search(node, m)
	return i < len(c.spans) && c.spans[i].Node == node && c.spans[i].Lo.Compare(m) < 0
}

// Add puts d into the set.
func (c *Context) Add(d Dot) { c.AddSpan(Span{d.Node, Mark{d.Incarnation, d.Seq - 1}, d.mark()}) }

// AddRange puts the dots of a after lo, up to hi and hi included, into the set.
func (c *Context) AddRange(a Actor, lo, hi uint64) {
	c.AddSpan(Span{a.Node, Mark{a.Incarnation, lo}, Mark{a.Incarnation, hi}})
}

// AddSpan puts all of s into the set.
func (c *Context) AddSpan(s Span) {
	if s.Lo.Compare(s.Hi) >= 0 {
		return
	}
	i := c.search(s.Node, s.Lo)
	j := i
	for j < len(c.spans) && c.spans[j].Node == s.Node && c.spans[j].Lo.Compare(s.Hi) <= 0 {
		if c.spans[j].Lo.Compare(s.Lo) < 0 {
			s.Lo = c.spans[j].Lo
		}
		if c.spans[j].Hi.Compare(s.Hi) > 0 {
			s.Hi = c.spans[j].Hi
		}
		j++
	}
	if j == i+1 {
		c.spans[i] = s
		return
	}
	c.spans = slices.Replace(c.spans, i, j, s)
}

// Union puts all of o into the set. o is not changed, and shares nothing with
// the set afterwards.
func (c *Context) Union(o Context) {
	if len(o.spans) > 4 && len(o.spans)*8 > len(c.spans) {
		c.merge(o)
		return
	}
	for _, s := range o.spans {
		c.AddSpan(s)
	}
}

// merge is Union in one pass over both.
func (c *Context) merge(o Context) {
	out := Context{make([]Span, 0, len(c.spans)+len(o.spans))}
	a, b := c.spans, o.spans
	for len(a)+len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && startsBefore(a[0], b[0]) {
			out.push(a[0])
			a = a[1:]
		} else {
			out.push(b[0])
			b = b[1:]
		}
	}
	c.spans = slices.Clip(out.spans)
}

func startsBefore(a, b Span) bool {
	if n := a.Node.Compare(b.Node); n != 0 {
		return n < 0
	}
	return a.Lo.Compare(b.Lo) <= 0
}

// push adds a span that starts at or after the start of the last one.
func (c *Context) push(s Span) {
	if n := len(c.spans); n > 0 {
		last := &c.spans[n-1]
		if last.Node == s.Node && s.Lo.Compare(last.Hi) <= 0 {
			if s.Hi.Compare(last.Hi) > 0 {
				last.Hi = s.Hi
			}
			return
		}
	}
	c.spans = append(c.spans, s)
}

// Covers says whether all of o is in the set.
func (c Context) Covers(o Context) bool {
	for _, s := range o.spans {
		i := c.search(s.Node, s.Hi)
		if i == len(c.spans) || c.spans[i].Node != s.Node || c.spans[i].Lo.Compare(s.Lo) > 0 {
			return false
		}
	}
	return true
}

// Intersect is what is in both c and o.
func (c Context) Intersect(o Context) Context {
	if len(c.spans) > len(o.spans) {
		c, o = o, c
	}
	var out Context
	for _, s := range c.spans {
		for i := o.search(s.Node, s.Lo); i < len(o.spans) && o.spans[i].Node == s.Node; i++ {
			lo, hi := later(s.Lo, o.spans[i].Lo), earlier(s.Hi, o.spans[i].Hi)
			if o.spans[i].Lo.Compare(s.Hi) >= 0 {
				break
			}
			if lo.Compare(hi) < 0 {
				out.push(Span{s.Node, lo, hi})
			}
		}
	}
	return out
}

// Minus is what is in c but not in o: what a holder of o has yet to see.
func (c Context) Minus(o Context) Context {
	var out Context
	for _, s := range c.spans {
		for i := o.search(s.Node, s.Lo); i < len(o.spans) && o.spans[i].Node == s.Node; i++ {
			if o.spans[i].Lo.Compare(s.Hi) >= 0 {
				break
			}
			if s.Lo.Compare(o.spans[i].Lo) < 0 {
				out.push(Span{s.Node, s.Lo, o.spans[i].Lo})
			}
			s.Lo = o.spans[i].Hi
		}
		if s.Lo.Compare(s.Hi) < 0 {
			out.push(s)
		}
	}
	return out
}

func later(a, b Mark) Mark {
	if a.Compare(b) > 0 {
		return a
	}
	return b
}

func earlier(a, b Mark) Mark {
	if a.Compare(b) < 0 {
		return a
	}
	return b
}

// Top is the highest number of a in the set: 0 for none, the greatest there is
// when the set reaches beyond a's incarnation.
func (c Context) Top(a Actor) uint64 {
	end := Mark{a.Incarnation + 1, 0}
	i := c.search(a.Node, end)
	if i < len(c.spans) && c.spans[i].Node == a.Node && c.spans[i].Lo.Compare(end) < 0 {
		return math.MaxUint64
	}
	if i > 0 && c.spans[i-1].Node == a.Node && c.spans[i-1].Hi.Incarnation == a.Incarnation {
		return c.spans[i-1].Hi.Seq
	}
	return 0
}

// All gives the spans, sorted by node and mark.
func (c Context) All() iter.Seq[Span] {
	return func(yield func(Span) bool) {
		for _, s := range c.spans {
			if !yield(s) {
				return
			}
		}
	}
}

// Len is the number of spans.
func (c Context) Len() int { return len(c.spans) }

// Empty says whether nothing is in the set.
func (c Context) Empty() bool { return len(c.spans) == 0 }

// Equal says whether c and o are the same set.
func (c Context) Equal(o Context) bool { return slices.Equal(c.spans, o.spans) }

// Clone is a copy that shares nothing with c.
func (c Context) Clone() Context { return Context{slices.Clone(c.spans)} }
