package route

import (
	"math/rand/v2"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// Times of probes.
const (
	probeFirst   = 500 * time.Millisecond // after a loss
	probeNew     = 2 * time.Second        // after contacts were named: they may come by themselves
	probeAlone   = 5 * time.Second        // the longest gap while no contact node is up
	probeContact = 30 * time.Second       // the longest gap while some are
	probeLeast   = 30 * time.Second       // the longest gap to the others, at least
	probePerNode = 300 * time.Millisecond // and so much for each node that is up: a lost one gets some three probes a second in all
	probeMost    = 10 * time.Minute
)

// Healer says which nodes to probe so that what was cut off is found again:
// contact nodes that are not up, and nodes that became unreachable. A probe is
// an attempt to reach the node; if it answers, the overlay may link to it. The
// rate falls by half with each probe and rises again after a new loss; it is
// bounded however many nodes are unreachable. One goroutine owns it, with its
// Table.
type Healer struct {
	t        *Table
	rand     *rand.Rand
	contacts []crux.NodeID
	lost     schedule
	contact  schedule
}

// schedule is a series of probes with growing gaps.
type schedule struct {
	at  time.Duration
	gap time.Duration
}

// NewHealer makes the healer of a table.
func NewHealer(t *Table, r *rand.Rand, now time.Duration) *Healer {
	h := &Healer{t: t, rand: r}
	h.lost.at = never
	h.restart(&h.contact, now, probeNew)
	return h
}

// Contacts sets the contact nodes: those that a new node begins with.
func (h *Healer) Contacts(now time.Duration, ids []crux.NodeID) {
	h.contacts = slices.DeleteFunc(slices.Clone(ids), func(id crux.NodeID) bool { return id == h.t.self })
	h.restart(&h.contact, now, probeNew)
}

// Lost tells of nodes that became unreachable: probes begin again at the first
// rate.
func (h *Healer) Lost(now time.Duration) {
	h.restart(&h.lost, now, probeFirst)
	h.restart(&h.contact, now, probeFirst)
}

// NextTick is when the next probe is due.
func (h *Healer) NextTick() time.Duration { return min(h.lost.at, h.contact.at) }

// Tick gives the nodes to probe now, at most two.
func (h *Healer) Tick(now time.Duration) (probe []crux.NodeID) {
	if now >= h.contact.at {
		down := h.contactsDown()
		if len(down) > 0 {
			probe = append(probe, down[h.rand.IntN(len(down))])
		}
		most := probeContact
		if len(down) == len(h.contacts) {
			most = probeAlone
		}
		h.later(&h.contact, now, most, len(down) == 0)
	}
	if now >= h.lost.at {
		id, ok := h.anyLost()
		if ok && !slices.Contains(probe, id) {
			probe = append(probe, id)
		}
		most := min(probeMost, max(probeLeast, time.Duration(h.t.Reachable())*probePerNode))
		h.later(&h.lost, now, most, !ok)
	}
	return probe
}

func (h *Healer) contactsDown() (down []crux.NodeID) {
	for _, id := range h.contacts {
		if s, _ := h.t.State(id); s != Up {
			down = append(down, id)
		}
	}
	return down
}

// anyLost chooses an unreachable node: the first from a random place.
func (h *Healer) anyLost() (id crux.NodeID, ok bool) {
	n := h.t.ix.Len()
	start := h.rand.IntN(n)
	for k := range n {
		i := uint32((start + k) % n)
		if a := h.t.row(i); a != nil && !a.Leaving && h.t.state(i) == Down {
			return a.Node, true
		}
	}
	return id, false
}

// restart begins a series of probes, the first of them after a time.
func (h *Healer) restart(s *schedule, now, first time.Duration) {
	s.gap = probeFirst
	if at := now + h.jitter(first); s.at <= now || s.at > at {
		s.at = at
	}
}

// later sets the time of the next probe. While nobody is missing there is none.
func (h *Healer) later(s *schedule, now time.Duration, most time.Duration, idle bool) {
	if s.at = never; !idle {
		s.gap = min(2*s.gap, most)
		s.at = now + h.jitter(s.gap)
	}
}

// jitter is a random time between 3d/4 and 5d/4.
func (h *Healer) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(h.rand.Int64N(int64(d)/2+1))
}
