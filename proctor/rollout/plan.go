package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fulcrum.example/crux"
)

// group is one API in one horde.
type group struct {
	horde crux.Horde
	api   crux.API
}

func (g group) name() string { return crux.IntentName(g.horde, g.api) }

func (g group) compare(o group) int {
	return cmp.Or(cmp.Compare(g.horde, o.horde), cmp.Compare(g.api, o.api))
}

// place is one instance on one node.
type place struct {
	node crux.NodeID
	key  crux.UnitKey
}

// planner is one run of Plan.
type planner struct {
	in      Input
	nodes   map[crux.NodeID]*Node
	next    map[crux.NodeID]map[crux.UnitKey]crux.Unit
	serving map[place]bool // by the rows, wherever the node is
	present map[place]bool // rows of any status
	muster  map[crux.UnitKey]crux.Function
	out     Output
}

// Plan computes what each node should run next, and how far the intents are.
func Plan(in Input) Output {
	p := &planner{
		in:      in,
		nodes:   make(map[crux.NodeID]*Node, len(in.Nodes)),
		next:    make(map[crux.NodeID]map[crux.UnitKey]crux.Unit, len(in.Nodes)),
		serving: make(map[place]bool),
		present: make(map[place]bool),
		muster:  make(map[crux.UnitKey]crux.Function, len(in.Muster)),
	}
	for _, f := range in.Muster {
		p.muster[crux.UnitKey{Horde: f.Horde, Inst: f.Inst}] = f
	}
	for i := range in.Rows {
		r := &in.Rows[i]
		at := place{r.Node, crux.UnitKey{Horde: r.Horde, Inst: r.Inst}}
		p.present[at] = true
		p.serving[at] = p.serving[at] || r.Status == crux.Serving
	}
	intents := slices.Clone(in.Intents)
	slices.SortFunc(intents, func(a, b crux.Intent) int {
		return group{a.Horde, a.API}.compare(group{b.Horde, b.API})
	})
	p.start(intents)
	for _, i := range intents {
		p.conform(i)
	}
	p.out.Assigned = make(map[crux.NodeID][]crux.Unit, len(p.next))
	for id, units := range p.next {
		p.out.Assigned[id] = sorted(units)
	}
	return p.out
}

// start takes over what the nodes that are not gone run now: what they were
// told, or, where that is not known, what of the intended APIs has a row.
func (p *planner) start(intents []crux.Intent) {
	intended := make(map[group]bool, len(intents))
	for _, i := range intents {
		intended[group{i.Horde, i.API}] = true
	}
	for i := range p.in.Nodes {
		n := &p.in.Nodes[i]
		p.nodes[n.ID] = n
		if n.State == Gone {
			continue
		}
		units := make(map[crux.UnitKey]crux.Unit)
		for _, u := range n.Assigned {
			units[u.Key()] = u
		}
		p.next[n.ID] = units
	}
	for at := range p.present {
		n, ok := p.nodes[at.node]
		g := group{at.key.Horde, at.key.Inst.API()}
		if ok && n.State != Gone && !n.Known && intended[g] {
			p.next[at.node][at.key] = p.unit(at.key)
		}
	}
}

// unit is what the muster says of an instance; one that it does not list keeps
// its name alone.
func (p *planner) unit(k crux.UnitKey) crux.Unit {
	f := p.muster[k]
	return crux.Unit{Horde: k.Horde, API: k.Inst.API(), Inst: k.Inst, Kind: f.Kind, Checksum: f.Checksum, Func: f.Func}
}

func sorted(units map[crux.UnitKey]crux.Unit) []crux.Unit {
	return slices.SortedFunc(maps.Values(units), func(a, b crux.Unit) int {
		return cmp.Or(cmp.Compare(a.Horde, b.Horde), a.Inst.Compare(b.Inst))
	})
}

// conform moves one intent's API a step nearer to what should be.
func (p *planner) conform(i crux.Intent) {
	g, key := group{i.Horde, i.API}, crux.UnitKey{Horde: i.Horde, Inst: i.Inst}
	pr := Progress{Horde: i.Horde, API: i.API, Inst: i.Inst, Wanted: i.Count}
	_, listed := p.muster[key]
	switch why, held := p.in.Hold[g.name()]; {
	case held:
		pr.Note = why
	case !listed && i.Count > 0:
		pr.Note = fmt.Sprintf("%s is not in the muster: publish it first", i.Inst)
	default:
		p.trim(key, i.Count)
		p.fill(g, key, i.Count)
		p.renew(key)
		p.withdraw(g, key, i.Count)
	}
	p.report(g, key, pr)
}

// holders are the nodes that are to run an instance, sorted.
func (p *planner) holders(key crux.UnitKey) []crux.NodeID {
	var ids []crux.NodeID
	for id, units := range p.next {
		if _, ok := units[key]; ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, crux.NodeID.Compare)
	return ids
}

// olds are the nodes that are to run another instance of the API.
func (p *planner) olds(g group, key crux.UnitKey) map[crux.NodeID][]crux.UnitKey {
	olds := make(map[crux.NodeID][]crux.UnitKey)
	for id, units := range p.next {
		for k, u := range units {
			if k.Horde == g.horde && u.API == g.api && k != key {
				olds[id] = append(olds[id], k)
			}
		}
	}
	return olds
}

// trim takes replicas away where there are more than wanted: from nodes that
// are away first, then from those that were replaced while they were gone, from
// those where it does not serve, then the most loaded.
func (p *planner) trim(key crux.UnitKey, count int) {
	ids := p.holders(key)
	if len(ids) <= count {
		return
	}
	slices.SortStableFunc(ids, func(a, b crux.NodeID) int {
		return cmp.Or(
			-cmpBool(p.nodes[a].State == Away, p.nodes[b].State == Away),
			-cmpBool(p.nodes[a].Returned, p.nodes[b].Returned),
			cmpBool(p.serving[place{a, key}], p.serving[place{b, key}]),
			cmpBool(a == p.in.Leader, b == p.in.Leader),
			-cmp.Compare(len(p.next[a]), len(p.next[b])),
		)
	})
	for _, id := range ids[:len(ids)-count] {
		delete(p.next[id], key)
	}
}

// fill places replicas on nodes that have none until there are as many as
// wanted, or no more nodes.
func (p *planner) fill(g group, key crux.UnitKey, count int) {
	missing := count - len(p.holders(key))
	if missing <= 0 {
		return
	}
	olds := p.olds(g, key)
	var free []crux.NodeID
	for _, n := range p.in.Nodes {
		if _, has := p.next[n.ID][key]; n.State == Ready && !has {
			free = append(free, n.ID)
		}
	}
	slices.SortStableFunc(free, func(a, b crux.NodeID) int {
		return cmp.Or(
			-cmpBool(len(olds[a]) > 0, len(olds[b]) > 0),
			cmp.Compare(p.load(a), p.load(b)),
			-cmpBool(a == p.in.Leader, b == p.in.Leader),
			cmp.Compare(rank(g, a), rank(g, b)),
		)
	})
	for _, id := range free[:min(missing, len(free))] {
		p.next[id][key] = p.unit(key)
	}
}

// load counts the APIs on a node: an old version beside its new one is no more
// load than it will be.
func (p *planner) load(id crux.NodeID) int {
	apis := make(map[group]bool)
	for _, u := range p.next[id] {
		apis[group{u.Horde, u.API}] = true
	}
	return len(apis)
}

// rank spreads groups over equal nodes: FNV-1a over the names.
func rank(g group, id crux.NodeID) uint64 {
	h := uint64(14695981039346656037)
	add := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for _, b := range id {
		add(b)
	}
	for _, b := range []byte(g.name()) {
		add(b)
	}
	return h
}

// renew gives an instance that was published anew under the same name to one
// node at a time, and to the next when all serve again; to nodes where it does
// not serve at once, for there is nothing to lose.
func (p *planner) renew(key crux.UnitKey) {
	want := p.unit(key)
	calm := p.allRenewed(key)
	for _, id := range p.holders(key) {
		if p.next[id][key] == want || p.nodes[id].State != Ready {
			continue
		}
		if serves := p.serving[place{id, key}]; !serves || calm {
			p.next[id][key] = want
			calm = calm && !serves
		}
	}
}

// allRenewed says whether every ready holder serves what it was told to run.
func (p *planner) allRenewed(key crux.UnitKey) bool {
	for _, id := range p.holders(key) {
		if p.nodes[id].State != Ready {
			continue
		}
		s, ok := p.status(id, key)
		if !ok || s.Unit != p.next[id][key] || s.State != "serving" || !p.serving[place{id, key}] {
			return false
		}
	}
	return true
}

func (p *planner) status(id crux.NodeID, key crux.UnitKey) (crux.UnitStatus, bool) {
	for _, s := range p.nodes[id].Units {
		if s.Key() == key {
			return s, true
		}
	}
	return crux.UnitStatus{}, false
}

// withdraw takes old versions away once the new one carries as much.
func (p *planner) withdraw(g group, key crux.UnitKey, count int) {
	olds := p.olds(g, key)
	if p.servingReplicas(key) < min(count, len(olds)) {
		return
	}
	for id, keys := range olds {
		for _, k := range keys {
			delete(p.next[id], k)
		}
	}
}

// servingReplicas counts the holders where an instance serves; a node that is
// away does not count: its row may be what it left behind.
func (p *planner) servingReplicas(key crux.UnitKey) int {
	n := 0
	for _, id := range p.holders(key) {
		if p.nodes[id].State == Ready && p.serving[place{id, key}] {
			n++
		}
	}
	return n
}

// cmpBool orders false before true.
func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// report fills in how far an intent is.
func (p *planner) report(g group, key crux.UnitKey, pr Progress) {
	holders := p.holders(key)
	pr.Placed = len(holders)
	for _, id := range holders {
		n := p.nodes[id]
		if p.serving[place{id, key}] && n.State != Gone {
			pr.Serving++
			continue
		}
		pr.Waiting = append(pr.Waiting, Waiting{id, p.why(id, key)})
	}
	old := make(map[crux.NodeID]bool)
	for id := range p.olds(g, key) {
		old[id] = true
	}
	for id, n := range p.nodes {
		for _, u := range n.Units {
			if n.State == Ready && u.Horde == g.horde && u.API == g.api && u.Key() != key {
				old[id] = true // told to stop it, and not done yet
			}
		}
	}
	pr.Old = len(old)
	if pr.Note == "" && pr.Placed < pr.Wanted {
		pr.Note = fmt.Sprintf("only %d nodes can run it, one replica each", pr.Placed)
	}
	pr.Done = pr.Note == "" && pr.Serving >= pr.Wanted && pr.Old == 0 && len(pr.Waiting) == 0
	p.out.Progress = append(p.out.Progress, pr)
}

// why says what one replica waits for.
func (p *planner) why(id crux.NodeID, key crux.UnitKey) string {
	if p.nodes[id].State == Away {
		return "the node does not answer"
	}
	s, ok := p.status(id, key)
	switch {
	case !ok:
		return "it has not reported yet"
	case s.Error != "":
		return s.State + ": " + s.Error
	}
	return s.State
}

// Text says it in one sentence, as "2 of 3 serving; waiting for node X: its
// error".
func (pr *Progress) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d serving", pr.Inst, pr.Serving, pr.Wanted)
	if pr.Old > 0 {
		fmt.Fprintf(&b, "; another version still on %d", pr.Old)
	}
	for i, w := range pr.Waiting {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(pr.Waiting)-i)
			break
		}
		fmt.Fprintf(&b, "; waiting for node %s: %s", w.Node, w.Why)
	}
	if pr.Note != "" {
		b.WriteString("; " + pr.Note)
	}
	return b.String()
}
