package fabric

import (
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/route"
)

// ours marks the tokens of this machine's own checks.
const ours = 1 << 63

// Check asks after any node. The answer is among the Results of this call or of
// a later one, within some half a second. token is the caller's, below 2^63.
func (m *Machine) Check(now time.Duration, id crux.NodeID, token uint64) Ready {
	m.begin(now)
	m.detected(m.detect.Check(m.now, id, token&^ours))
	return m.end()
}

// wonder checks a node that could not be dialled though others reach it: if it
// is out of reach from here only, this node says so.
func (m *Machine) wonder(id crux.NodeID) {
	if s, _ := m.table.State(id); s == route.Up {
		m.inquire(id)
	}
}

// inquire begins a check of this machine's own.
func (m *Machine) inquire(id crux.NodeID) {
	if len(m.asked) >= maxAsked {
		return
	}
	for _, o := range m.asked {
		if o == id {
			return
		}
	}
	m.token++
	m.asked[m.token|ours] = id
	m.detected(m.detect.Check(m.now, id, m.token|ours))
}

// answered takes in a check's result.
func (m *Machine) answered(r *detect.Result) {
	if r.Token&ours == 0 {
		m.out.Results = append(m.out.Results, *r)
	} else {
		delete(m.asked, r.Token)
	}
	switch r.State {
	case detect.Alive:
		m.clearCut(r.Node)
		m.again(r.Node)
	case detect.Asymmetric:
		// Of a neighbour the detector gives a verdict.
		if s, _ := m.table.State(r.Node); s == route.Up && !slices.Contains(m.edges, r.Node) {
			m.setCut(r.Node, route.Asymmetric)
		}
	}
}

// ask checks the nodes again that this one has cut off and others reach.
func (m *Machine) ask() {
	m.askAt = never
	if len(m.cuts) == 0 {
		return
	}
	m.askAt = m.now + m.jitter(askEvery)
	for _, c := range m.cuts[:len(m.cuts):len(m.cuts)] {
		if s, _ := m.table.State(c.node); s == route.Up {
			m.inquire(c.node)
		}
	}
}
