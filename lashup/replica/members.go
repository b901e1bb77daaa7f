package replica

import (
	"time"

	"fulcrum.example/crux"
)

// Members says who the members are: all of them, those that are absent and those
// that were evicted included, for as long as the driver knows of them. A node that
// is not listed is taken for none.
func (r *Replica) Members(now time.Duration, list []Member) Ready {
	r.begin(now)
	was := r.members
	r.members = make(map[crux.NodeID]Standing, len(list))
	others := 0
	for _, m := range list {
		r.members[m.ID] = m.Standing
		if m.Standing != Evicted && m.ID != r.self {
			others++
		}
		if m.Standing == Evicted && was[m.ID] != Evicted && m.ID != r.self && r.loaded {
			r.evict(m.ID)
		}
	}
	if _, ok := r.members[r.self]; ok && others == 0 {
		r.agreed()
	}
	if r.loaded {
		r.tryEnd()
	}
	return r.end()
}

// evict drops the keys of a node. What it received of their operations stays
// received; when the node comes back, it says them anew.
func (r *Replica) evict(id crux.NodeID) {
	r.drop(namespace(id), func(*record) bool { return true })
}
