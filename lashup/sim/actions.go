package sim

import (
	"strings"
	"time"

	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
)

// do carries an action out.
func (p *play) do(a *action) {
	who := p.nodes(a.who)
	switch a.verb {
	case "cut", "mend":
		p.cut(a)
	case "split":
		for i, g := range a.groups {
			for _, nd := range p.nodes(g) {
				nd.Place.Partition(i)
			}
		}
	case "heal":
		p.w.Net.Heal()
	case "move":
		p.move(who[0], p.nodes(a.whom)[0])
	case "publish":
		for _, nd := range who {
			p.publish(nd, a)
		}
	case "check":
		for _, nd := range who {
			for _, o := range p.nodes(a.whom) {
				p.check(nd, o)
			}
		}
	default:
		for _, nd := range who {
			p.one(nd, a)
		}
	}
}

// one does to a node what concerns one node.
func (p *play) one(nd *Node, a *action) {
	switch a.verb {
	case "start", "restart":
		if nd.F != nil {
			nd.Crash()
		}
		if p.w.gone[nd.ID] {
			p.w.Admit(nd)
		}
		nd.Start()
	case "replace":
		nd.Crash()
		nd.saved, nd.store = nil, store{}
		nd.Start()
	case "kill":
		nd.Kill()
	case "crash":
		nd.Crash()
	case "hang":
		nd.Place.Suspend()
	case "resume":
		nd.Place.Resume()
	case "leave":
		nd.Leave()
	case "evict":
		p.w.Evict(nd)
	case "lossy":
		nd.Place.Lossy(a.part)
	case "incr":
		nd.incr(a.name)
	}
}

func (p *play) cut(a *action) {
	for _, x := range p.nodes(a.who) {
		for _, y := range p.nodes(a.whom) {
			change := func(x, y *Node) {
				if a.verb == "cut" {
					x.Place.Cut(y.Place)
				} else {
					x.Place.Mend(y.Place)
				}
			}
			change(x, y)
			if a.both {
				change(y, x)
			}
		}
	}
}

// move gives a node the address of another, which ends.
func (p *play) move(nd, other *Node) {
	other.Kill()
	nd.Crash()
	nd.addr = other.addr
	nd.Place = p.w.Net.Add(nd.addr, nd)
	nd.Start()
}

func (p *play) publish(nd *Node, a *action) {
	req := cast.Request{Topic: a.name, Payload: []byte(strings.Repeat(a.name+" ", 20))}
	req.Options.Fanout = a.count
	for _, o := range p.nodes(a.whom) {
		req.Options.Only = append(req.Options.Only, o.ID)
	}
	m := &message{got: map[*Node]int{}}
	p.messages[a.name] = m
	if len(req.Options.Only) == 0 {
		m.got[nd] = 1 // its own copy, which is not sent back
	}
	nd.Do(func(now time.Duration, f *fabric.Machine) fabric.Ready {
		id, r, err := f.Publish(now, req)
		if m.id = id; err != nil {
			p.w.fail("%s cannot publish %s: %v", p.name(nd), a.name, err)
		}
		return r
	})
}

func (p *play) check(nd, o *Node) {
	p.tokens++
	p.checks[[2]int{nd.Index, o.Index}] = &check{token: p.tokens}
	nd.Do(func(now time.Duration, f *fabric.Machine) fabric.Ready { return f.Check(now, o.ID, p.tokens) })
}
