package overlay

import (
	"fmt"
	"slices"
)

// Flaw says which promise of the package the machine's state breaks, or "". It is
// for tests and simulators, to be called after every step.
func (m *Machine) Flaw() string {
	switch {
	case len(m.active) > m.p.Active:
		return fmt.Sprintf("%d neighbours", len(m.active))
	case len(m.passive) > m.p.Passive:
		return fmt.Sprintf("%d passive nodes", len(m.passive))
	case slices.Contains(m.active, m.cfg.Self) || m.passiveIndex(m.cfg.Self) >= 0:
		return "it is in its own view"
	case m.count(active) != len(m.active):
		return fmt.Sprintf("%d active links and %d neighbours", m.count(active), len(m.active))
	case m.pending() > 2*maxPending || m.count(incoming) > maxIncoming:
		return fmt.Sprintf("%d links pending, %d incoming", m.pending(), m.count(incoming))
	}
	all := append(m.Passive(), m.active...)
	for i, id := range all {
		if slices.Contains(all[i+1:], id) {
			return fmt.Sprintf("%s is in the views twice", id)
		}
	}
	for i, l := range m.links {
		switch {
		case l.state == active && !slices.Contains(m.active, l.peer):
			return fmt.Sprintf("the link to %s is active, the node not", l.peer)
		case l.state != active && l.until > m.now+dialMax:
			return fmt.Sprintf("the link to %s does not time out", l.peer)
		case slices.ContainsFunc(m.links[i+1:], func(o *link) bool { return o.peer == l.peer }):
			return fmt.Sprintf("there are two links to %s", l.peer)
		}
	}
	return ""
}
