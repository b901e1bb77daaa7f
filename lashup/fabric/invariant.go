package fabric

import (
	"fmt"
	"slices"
)

// Flaw says which of its promises the machine has broken, or "": for tests and
// simulators, after each step.
func (m *Machine) Flaw() string {
	if f := m.overlay.Flaw(); f != "" {
		return "overlay: " + f
	}
	if m.own.Clock > 0 && m.table.Get(m.id) != m.own {
		return "the table has another row of this node than it published"
	}
	if m.own.Lists(m.id) || slices.Contains(m.edges, m.id) {
		return "it is its own neighbour"
	}
	for _, c := range m.own.Cuts {
		if m.own.Lists(c.Node) {
			return fmt.Sprintf("it has cut off %s, which is its neighbour", c.Node)
		}
	}
	active := m.overlay.Active()
	for _, id := range m.peers {
		if l := m.links[id]; l == nil || !l.up || !slices.Contains(active, id) {
			return fmt.Sprintf("its neighbour %s has no link, or is not active", id)
		}
	}
	if slices.ContainsFunc(m.edges, m.stranger) {
		return "a neighbour is no member"
	}
	return ""
}
