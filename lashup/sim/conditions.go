package sim

import (
	"slices"
	"strings"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

const stateUp = route.Up

// message is one that was published, and how often whom it reached.
type message struct {
	id  cast.ID
	got map[*Node]int
}

// check is the latest that one node asked after another.
type check struct {
	token uint64
	state string
}

// holds says whether a condition is true, but for its "not".
func (p *play) holds(c *condition) bool {
	who := p.nodes(c.who)
	switch c.what {
	case "up":
		return p.all(c, who, func(nd, o *Node) bool { s, _ := nd.F.State(o.ID); return s == route.Up })
	case "down":
		return p.all(c, who, func(nd, o *Node) bool {
			s, why := nd.F.State(o.ID)
			return s == route.Down && (c.word == "" || why.String() == c.word)
		})
	case "got":
		m := p.messages[c.word]
		return m != nil && p.all(c, nil, func(nd, _ *Node) bool { return m.got[nd] == 1 })
	case "total":
		return p.all(c, nil, func(nd, _ *Node) bool { return nd.total(c.word) == int64(c.n) })
	case "components":
		return p.components() == c.n
	case "overlay":
		return p.connected()
	case "isolated":
		return !slices.ContainsFunc(who, func(nd *Node) bool { return nd.Isolated == c.not }) != c.not
	case "checked":
		return p.pairs(c, func(nd, o *Node) bool {
			k := p.checks[[2]int{nd.Index, o.Index}]
			return k != nil && k.state == c.word
		})
	case "cut":
		return p.pairs(c, func(nd, o *Node) bool { return nd.F != nil && nd.cutOf(o.ID) == c.word })
	}
	return false
}

// all asks the nodes that the condition means about each of who (about nothing, if
// that is nil). It says whether ok holds of every pair; of a condition with a
// "not", whether it holds of any.
func (p *play) all(c *condition, who []*Node, ok func(nd, o *Node) bool) bool {
	asked := p.w.Nodes
	if c.at != nil {
		asked = p.nodes(*c.at)
	}
	if who == nil {
		who = []*Node{nil}
	}
	for _, nd := range asked {
		if !nd.Up() {
			continue
		}
		for _, o := range who {
			if o != nd && ok(nd, o) == c.not {
				return c.not
			}
		}
	}
	return !c.not
}

// pairs is all for conditions about one node's word on another.
func (p *play) pairs(c *condition, ok func(nd, o *Node) bool) bool {
	for _, nd := range p.nodes(c.who) {
		for _, o := range p.nodes(c.whom) {
			if ok(nd, o) == c.not {
				return c.not
			}
		}
	}
	return !c.not
}

// cutOf is the reason why a node has let another go, as it publishes it, or "".
func (nd *Node) cutOf(id crux.NodeID) string {
	if why, ok := nd.F.Own().CutOf(id); ok {
		return why.String()
	}
	return ""
}

// components counts the parts of the bloc: sets of nodes that see one another
// and nobody else. It is 0 while any two of a part do not agree.
func (p *play) components() int {
	parts := map[string]int{} // whom its members see, how many have been there
	for _, nd := range p.w.Nodes {
		if !nd.Up() {
			continue
		}
		var b strings.Builder
		for i, o := range p.w.Nodes {
			if s, _ := nd.F.State(o.ID); s == route.Up || o == nd {
				b.WriteString(p.s.Names[i])
				b.WriteByte(' ')
			}
		}
		parts[b.String()]++
	}
	for seen, n := range parts {
		if strings.Count(seen, " ") != n {
			return 0
		}
	}
	return len(parts)
}

// connected says whether the links of the nodes that run connect them all, and
// each link is known at both ends.
func (p *play) connected() bool {
	var up []*Node
	for _, nd := range p.w.Nodes {
		if nd.Up() {
			up = append(up, nd)
		}
	}
	if len(up) == 0 {
		return false
	}
	seen := map[*Node]bool{up[0]: true}
	for queue := up[:1:1]; len(queue) > 0; queue = queue[1:] {
		for _, id := range queue[0].F.Neighbours() {
			o := p.w.Node(id)
			if !o.Up() || !slices.Contains(o.F.Neighbours(), queue[0].ID) {
				return false
			}
			if !seen[o] {
				seen[o] = true
				queue = append(queue, o)
			}
		}
	}
	return len(seen) == len(up)
}

func (p *play) checked(nd *Node, r *detect.Result) {
	o := p.w.Node(r.Node)
	if o == nil {
		return
	}
	if k := p.checks[[2]int{nd.Index, o.Index}]; k != nil && k.token == r.Token {
		k.state = r.State.String()
	}
}

func (p *play) delivered(nd *Node, d *cast.Delivery) {
	if m := p.messages[d.Topic]; m != nil {
		m.got[nd]++
	}
}
