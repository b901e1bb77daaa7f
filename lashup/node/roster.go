package node

import (
	"crypto/ed25519"
	"maps"
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
)

const (
	// absentMost is how long a member is kept that is in no flock that this node
	// has been in since.
	absentMost = 24 * time.Hour
	// missingMost is how long a member is kept that is missing from a whole list of
	// its flock and was not evicted. It may have left, but where flocks split and
	// merge live nodes are missing for seconds, too, and to forget one cuts its
	// links. The flock itself waits for a silent node that long before it takes it
	// off its list; who lives is for the fabric to say.
	missingMost = time.Minute
)

// people are those that this node speaks to. It is immutable.
type people struct {
	keys map[crux.NodeID]ed25519.PublicKey // this node's own, too
	// rows are where instances of the API listen, by the registry: those that
	// serve first, and of these the greatest version.
	rows    map[crux.NodeID][]netip.AddrPort
	masters map[crux.NodeID]bool
	list    *fabric.Members
	evicted []crux.NodeID // ascending; none of them has a key here
}

// roster turns the flock's views and the registry's rows into people. One
// goroutine owns it.
type roster struct {
	self   crux.NodeID
	master func(*crux.View, crux.NodeID) bool
	held   map[crux.NodeID]*held
	rows   map[crux.NodeID][]netip.AddrPort
	last   []fabric.Member
	out    []crux.NodeID // who was evicted
	due    time.Duration // when update has somebody to drop that is missing; 0: nobody is
}

// held is a member, and when and where it was listed last.
type held struct {
	key   ed25519.PublicKey
	flock crux.FlockID
	at    time.Duration
	until time.Duration // when it is dropped for missing from that flock's list; 0: it is not
}

func newRoster(self crux.NodeID, master func(*crux.View, crux.NodeID) bool) *roster {
	return &roster{self: self, master: master, held: make(map[crux.NodeID]*held)}
}

// update takes in what the flock and the registry say now. gone are those that
// are members no longer; same says that the list and who was evicted are as they
// were, though rows may have changed.
func (r *roster) update(now time.Duration, v *crux.View, s crux.Snapshot) (p *people, gone []crux.NodeID, same bool) {
	listed := make(map[crux.NodeID]bool, len(v.Members))
	for i := range v.Members {
		m := &v.Members[i]
		listed[m.ID] = true
		r.held[m.ID] = &held{key: m.Key, flock: v.Flock, at: now}
	}
	evicted := slices.DeleteFunc(slices.Clone(v.Evicted), func(id crux.NodeID) bool { return listed[id] || id == r.self })
	r.due = 0
	for id, h := range r.held {
		if listed[id] || id == r.self {
			continue
		}
		_, out := slices.BinarySearchFunc(evicted, id, crux.NodeID.Compare)
		switch {
		case out || h.over(now, v):
			delete(r.held, id)
			gone = append(gone, id)
		case v.Synced && h.until > 0 && (r.due == 0 || h.until < r.due):
			r.due = h.until
		}
	}
	slices.SortFunc(gone, crux.NodeID.Compare)
	r.register(s)
	p = r.people(v)
	list := r.list(p)
	same = slices.Equal(list, r.last) && slices.Equal(evicted, r.out)
	r.last, r.out, p.evicted = list, evicted, evicted
	p.list = fabric.NewMembers(slices.Clone(list))
	return p, gone, same
}

// over says whether a node that is not listed has been away for too long to be a
// member. What a list that is not whole lacks says nothing, nor what another flock's
// does: if this node comes back to its flock, its time begins anew.
func (h *held) over(now time.Duration, v *crux.View) bool {
	switch {
	case now-h.at > absentMost:
		return true
	case h.flock != v.Flock:
		h.until = 0
	case v.Synced && h.until == 0:
		h.until = now + missingMost
	case v.Synced:
		return now >= h.until
	}
	return false
}

// next is how long after now there is to be an update where nothing changes, at
// most most. While the list is not whole nobody is due: the view that makes it whole
// is a change.
func (r *roster) next(now, most time.Duration) time.Duration {
	if r.due == 0 {
		return most
	}
	return min(most, max(0, r.due-now))
}

// register takes in the registry's rows. An answer that may lack rows drops none.
func (r *roster) register(s crux.Snapshot) {
	rows := make(map[crux.NodeID][]netip.AddrPort)
	for _, serving := range []bool{true, false} {
		for i := range s.Rows {
			row := &s.Rows[i]
			addr, err := row.NetID.AddrPort()
			if err == nil && row.Node != r.self && (row.Status == crux.Serving) == serving {
				rows[row.Node] = append(rows[row.Node], addr)
			}
		}
	}
	if !s.Whole {
		for id, list := range r.rows {
			if rows[id] == nil {
				rows[id] = list
			}
		}
	}
	r.rows = rows
}

func (r *roster) people(v *crux.View) *people {
	p := &people{
		keys: make(map[crux.NodeID]ed25519.PublicKey, len(r.held)), rows: r.rows, masters: make(map[crux.NodeID]bool),
	}
	for id, h := range r.held {
		p.keys[id] = h.key
		if r.master(v, id) {
			p.masters[id] = true
		}
	}
	return p
}

func (r *roster) list(p *people) []fabric.Member {
	ids := slices.SortedFunc(maps.Keys(r.held), crux.NodeID.Compare)
	list := make([]fabric.Member, len(ids))
	for i, id := range ids {
		list[i] = fabric.Member{ID: id, Master: p.masters[id], Contact: len(r.rows[id]) > 0}
	}
	return list
}
