package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
)

// play is a script on its way through a world.
type play struct {
	s      *Script
	w      *World
	seed   uint64
	picks  []int   // who was drawn
	active []*step // conditions whose time is now
	failed *step
	trace  func(format string, args ...any)

	messages map[string]*message
	checks   map[[2]int]*check
	tokens   uint64
}

// Play runs a script. It fails with Conflict when something does not hold that
// must, naming the line, the seed and the state of the nodes; and with Internal
// when the fabric broke a promise. tell, if not nil, is given what happens.
func Play(s *Script, seed uint64, tell func(format string, args ...any)) error {
	p := &play{s: s, seed: seed, trace: tell, messages: map[string]*message{}, checks: map[[2]int]*check{}}
	if tell == nil {
		p.trace = func(string, ...any) {}
	}
	p.w = NewWorld(Setting{
		Nodes: len(s.Names), Seed: seed, Loss: s.Loss, Delay: s.Delay,
		Contacts: s.Contacts.nodes, Masters: s.Masters.nodes, Replicas: s.needsReplicas(), Verify: true,
	})
	p.w.Watch = p.watch
	p.draw(rand.New(rand.NewPCG(seed, 0x7363656e)))
	p.begin()
	for _, at := range p.times() {
		if p.runTo(at); p.over() {
			break
		}
		p.now(at)
	}
	return p.verdict()
}

// draw casts the lots.
func (p *play) draw(rng *rand.Rand) {
	for _, k := range p.s.Picks {
		p.picks = append(p.picks, k.from[rng.IntN(len(k.from))])
	}
}

func (p *play) begin() {
	absent := p.nodes(p.s.Absent)
	if p.s.Formed {
		p.w.Form()
		return
	}
	for _, nd := range p.w.Nodes {
		if !slices.Contains(absent, nd) {
			p.w.startWithin(nd, p.s.Spread)
		}
	}
}

// times are the moments at which lines begin or end.
func (p *play) times() (out []time.Duration) {
	for i := range p.s.Steps {
		st := &p.s.Steps[i]
		out = append(out, st.at)
		if st.until < always {
			out = append(out, st.until)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *play) over() bool { return p.failed != nil || p.w.Err() != nil }

// runTo lets the time go by; watch looks at the conditions meanwhile.
func (p *play) runTo(at time.Duration) {
	p.w.Net.RunWhile(at, func() bool { return !p.over() })
}

// now does what is due at a time: the conditions that end, then the actions, then
// the conditions that begin.
func (p *play) now(at time.Duration) {
	p.look()
	for _, st := range p.active {
		if st.until == at && st.kind == stepBy && p.failed == nil {
			p.failed = st
		}
	}
	p.active = slices.DeleteFunc(p.active, func(st *step) bool { return st.until <= at })
	if p.over() {
		return
	}
	for i := range p.s.Steps {
		if st := &p.s.Steps[i]; st.kind == stepAt && st.at == at {
			p.trace("%v: %s", at, st.text)
			p.do(&st.do)
		}
	}
	for i := range p.s.Steps {
		if st := &p.s.Steps[i]; st.kind != stepAt && st.at == at {
			p.active = append(p.active, st)
		}
	}
	p.look()
}

// look drops the conditions that have come true, and finds one that must hold and
// does not.
func (p *play) look() {
	if p.over() {
		return
	}
	p.active = slices.DeleteFunc(p.active, func(st *step) bool {
		switch ok := p.holds(&st.cond) != st.cond.not; {
		case ok && st.kind == stepBy:
			p.trace("%v: %s: yes", p.w.Net.Now(), st.text)
			return true
		case !ok && st.kind == stepFrom && p.failed == nil:
			p.failed = st
		}
		return false
	})
}

// watch is called after each step of a node.
func (p *play) watch(nd *Node, r *fabric.Ready) {
	for i := range r.Results {
		p.checked(nd, &r.Results[i])
	}
	for i := range r.Delivered {
		p.delivered(nd, &r.Delivered[i])
	}
	if len(r.Events)+len(r.Results)+len(r.Delivered) > 0 || r.NeighboursChanged || r.Isolated != nil || len(r.Updated) > 0 {
		for i := range r.Events {
			e := &r.Events[i]
			p.trace("%v: %s: %s is %v, was %v (%v)", p.w.Net.Now(), p.name(nd), p.nameOf(e.Node), e.To, e.From, e.Why)
		}
		p.look()
	}
}

func (p *play) verdict() error {
	switch {
	case p.w.Err() != nil:
		return crux.Errorf("play scenario", crux.Internal, "seed %d: %w", p.seed, p.w.Err())
	case p.failed != nil:
		return crux.Errorf("play scenario", crux.Conflict, "line %d (%s): seed %d: it does not hold at %v; %s",
			p.failed.line, p.failed.text, p.seed, p.w.Net.Now(), p.describe())
	}
	return nil
}

// nodes are those that a WHO stands for.
func (p *play) nodes(s set) (out []*Node) {
	list := s.nodes
	if s.pick > 0 {
		list = []int{p.picks[s.pick-1]}
	}
	for i, nd := range p.w.Nodes {
		if slices.Contains(list, i) != s.not {
			out = append(out, nd)
		}
	}
	return out
}

func (p *play) name(nd *Node) string { return p.s.Names[nd.Index] }

func (p *play) nameOf(id crux.NodeID) string {
	if nd := p.w.Node(id); nd != nil {
		return p.name(nd)
	}
	return id.String()
}

// describe says, for each node that runs, whom it takes for down, and who its
// neighbours are.
func (p *play) describe() string {
	var b []byte
	for _, nd := range p.w.Nodes {
		if !nd.Up() {
			b = fmt.Appendf(b, "\n  %s is not up", p.name(nd))
			continue
		}
		b = fmt.Appendf(b, "\n  %s:", p.name(nd))
		for _, id := range nd.F.Neighbours() {
			b = fmt.Appendf(b, " %s", p.nameOf(id))
		}
		for _, o := range p.w.Nodes {
			if s, why := nd.F.State(o.ID); s != stateUp {
				b = fmt.Appendf(b, "; %s %v (%v)", p.name(o), s, why)
			}
		}
	}
	return string(b)
}
