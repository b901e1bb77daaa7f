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

// absentMost is how long a member is kept that is in no flock that this node has
// been in since.
const absentMost = 24 * time.Hour

// people are those that this node speaks to. It is immutable.
type people struct {
	keys map[crux.NodeID]ed25519.PublicKey // this node's own, too
	// rows are where instances of the API listen, by the registry: those that
	// serve first, and of these the greatest version.
	rows    map[crux.NodeID][]netip.AddrPort
	masters map[crux.NodeID]bool
	list    *fabric.Members
}

// roster turns the flock's views and the registry's rows into people. One
// goroutine owns it.
type roster struct {
	self   crux.NodeID
	master func(*crux.View, crux.NodeID) bool
	held   map[crux.NodeID]*held
	rows   map[crux.NodeID][]netip.AddrPort
	last   []fabric.Member
}

// held is a member, and when and where it was listed last.
type held struct {
	key   ed25519.PublicKey
	flock crux.FlockID
	at    time.Duration
}

func newRoster(self crux.NodeID, master func(*crux.View, crux.NodeID) bool) *roster {
	return &roster{self: self, master: master, held: make(map[crux.NodeID]*held)}
}

// update takes in what the flock and the registry say now. gone are those that
// are members no longer; same says that the list is as it was, though rows may
// have changed.
func (r *roster) update(now time.Duration, v *crux.View, s crux.Snapshot) (p *people, gone []crux.NodeID, same bool) {
	listed := make(map[crux.NodeID]bool, len(v.Members))
	for i := range v.Members {
		m := &v.Members[i]
		listed[m.ID] = true
		r.held[m.ID] = &held{m.Key, v.Flock, now}
	}
	for id, h := range r.held {
		if listed[id] || id == r.self {
			continue
		}
		// In the flock that it was in, only its end as a member takes it off a
		// whole list.
		if v.Synced && h.flock == v.Flock || now-h.at > absentMost {
			delete(r.held, id)
			gone = append(gone, id)
		}
	}
	slices.SortFunc(gone, crux.NodeID.Compare)
	r.register(s)
	p = r.people(v)
	list := r.list(p)
	same = slices.Equal(list, r.last)
	r.last = list
	p.list = fabric.NewMembers(slices.Clone(list))
	return p, gone, same
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
