package crdt

import (
	"slices"

	"fulcrum.example/crux"
)

// fold closes the incarnations of node before this one.
type fold struct {
	node   crux.NodeID
	before uint64
}

// Fold closes all incarnations of node before the given one: what the state has
// seen of them becomes one span, and what they have counted becomes one entry. It
// says whether s, which must be the whole state of its key, changed. The value
// does not. doc.go says when a replica may fold and why it may do so at another
// time than the others.
func (s *State) Fold(node crux.NodeID, before uint64) bool {
	ctx := s.context()
	i := ctx.search(node, Mark{})
	if i == len(ctx.spans) || ctx.spans[i].Node != node || ctx.spans[i].Lo.Incarnation >= before {
		return false // nothing of it was ever seen here
	}
	changed := s.root != nil && s.root.fold(&fold{node, before})
	s.tidy()
	closed := Context{[]Span{{node, Mark{}, Mark{before, 0}}}}
	if !ctx.Covers(closed) {
		ctx.Union(closed)
		s.setContext(ctx)
		changed = true
	}
	return changed
}

// fold makes one entry of all that closed incarnations hold: the sum of what no
// reset has taken back, under the actor of the last one that has any left. If
// that is one cell of which nothing was taken back, it stays what it is.
func (c *counter) fold(f *fold) bool {
	i, _ := c.span(Actor{f.node, 0})
	k, _ := c.span(Actor{f.node, f.before})
	sum, last, whole := int64(0), entry{}, true
	for _, p := range (&counter{c.entries[i:k]}).parts {
		if p.cell.top > 0 {
			whole = last.top == 0 && p.floor.top == 0
			sum += p.net()
			last = p.cell
		}
	}
	last.amount, last.folded = sum, last.folded || !whole
	switch {
	case last.top == 0:
		c.entries = slices.Delete(c.entries, i, k)
		return i < k
	case k-i == 1 && c.entries[i] == last:
		return false
	}
	c.entries = slices.Replace(c.entries, i, k, last)
	return true
}
