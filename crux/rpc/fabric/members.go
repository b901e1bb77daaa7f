package fabric

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/lashup"
)

// State says how a member fares, as one node sees it.
type State uint8

// The states. Of a Hung member the host answers and the process does not, of a
// Dead one neither; one that Left said so; an Unreachable one cannot be reached
// from this node, and may be from others; an Unknown one has not been heard of yet.
const (
	Unknown State = iota
	Up
	Hung
	Dead
	Left
	Unreachable
)

var stateNames = [...]string{"unknown", "up", "hung", "dead", "left", "unreachable"}

// String gives the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[0]
}

// MarshalText makes the state readable in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Infinity is the distance of a node to which there is no way.
const Infinity = -1

// Member is one member of the fabric, as one node sees it.
type Member struct {
	Node      crux.NodeID    `json:"node"`
	State     State          `json:"state"`
	Since     time.Time      `json:"since"`    // when that node saw it take this state
	RTT       time.Duration  `json:"rtt_ns"`   // of its neighbours, 0 for others
	Distance  int            `json:"distance"` // hops; Infinity
	Addr      netip.AddrPort `json:"addr"`     // where its datagrams arrive; invalid: not known
	SeenBy    []crux.NodeID  `json:"seen_by"`  // whose word the state is
	Master    bool           `json:"master"`
	Neighbour bool           `json:"neighbour"`
}

// Members is what one node knows of all members.
type Members struct {
	Self crux.NodeID `json:"self"`
	// Isolated: the node reaches nobody, and what it says of others is old.
	Isolated bool `json:"isolated"`
	// CutFromMasters: there are masters, and the node reaches none.
	CutFromMasters bool     `json:"cut_from_masters"`
	List           []Member `json:"members"` // by node
}

// Members lists the members, as this node sees them.
func (c *Client) Members(ctx context.Context) (Members, error) {
	r, err := ask(ctx, func() (*pb.MembersReply, error) { return c.fabric.Members(ctx, &pb.MembersRequest{}) })
	if err != nil {
		return Members{}, err
	}
	return membersFrom(r)
}

// MembersEvent is what has changed among the members.
type MembersEvent struct {
	Members                 // List has those that changed; in the first event, all
	Forgotten []crux.NodeID // members no more
}

// WatchMembers gives all members and then those that change their state, their
// distance or their address. It goes on by itself when lashup is replaced or
// restarted; it ends with ctx, or when the loop is left.
func (c *Client) WatchMembers(ctx context.Context) iter.Seq2[MembersEvent, error] {
	return func(yield func(MembersEvent, error) bool) {
		known := map[crux.NodeID]Member{}
		err := c.keep(ctx, func(ctx context.Context, opened func()) error {
			s, err := c.fabric.WatchMembers(ctx, &pb.WatchMembersRequest{})
			for whole := true; err == nil; whole = false {
				var m *pb.MembersReply
				if m, err = s.Recv(); err != nil {
					break
				}
				opened()
				var e MembersEvent
				if e, err = changes(known, m, whole); err == nil && !yield(e, nil) {
					err = errEnough
				}
			}
			return err
		})
		if err != nil {
			yield(MembersEvent{}, err)
		}
	}
}

// changes takes a message in and gives what it changes; whole says that it has
// all members.
func changes(known map[crux.NodeID]Member, m *pb.MembersReply, whole bool) (MembersEvent, error) {
	all, err := membersFrom(m)
	if err != nil {
		return MembersEvent{}, err
	}
	e := MembersEvent{Members: all}
	e.List = nil
	there := make(map[crux.NodeID]bool, len(all.List))
	for _, x := range all.List {
		there[x.Node] = true
		old, ok := known[x.Node]
		known[x.Node] = x
		if !ok || !same(&old, &x) {
			e.List = append(e.List, x)
		}
	}
	for _, b := range m.GetForgotten() {
		id, err := wire.NodeIDFrom(b)
		if err != nil {
			return MembersEvent{}, err
		}
		if _, ok := known[id]; ok {
			e.Forgotten = append(e.Forgotten, id)
		}
	}
	if whole {
		for id := range known {
			if !there[id] {
				e.Forgotten = append(e.Forgotten, id)
			}
		}
	}
	for _, id := range e.Forgotten {
		delete(known, id)
	}
	slices.SortFunc(e.Forgotten, crux.NodeID.Compare)
	return e, nil
}

// same says whether two words on a member tell a watcher the same.
func same(a, b *Member) bool {
	return a.State == b.State && a.Distance == b.Distance && a.Addr == b.Addr && a.Master == b.Master && a.Neighbour == b.Neighbour
}

func membersFrom(r *pb.MembersReply) (Members, error) {
	self, err := wire.NodeIDFrom(r.GetSelf())
	out := Members{Self: self, Isolated: r.GetIsolated(), CutFromMasters: r.GetCutFromMasters(), List: make([]Member, 0, len(r.GetMembers()))}
	if err != nil {
		return out, err
	}
	for _, m := range r.GetMembers() {
		x, err := memberFrom(m)
		if err != nil {
			return out, err
		}
		out.List = append(out.List, x)
	}
	return out, nil
}

func memberFrom(m *pb.Member) (Member, error) {
	id, err := wire.NodeIDFrom(m.GetNode())
	if err != nil {
		return Member{}, err
	}
	x := Member{Node: id, State: State(m.GetState()), Since: time.Unix(0, m.GetSinceUnixNano()), RTT: time.Duration(m.GetRttNano()),
		Distance: int(m.GetDistance()), Master: m.GetMaster(), Neighbour: m.GetNeighbour()}
	if a := m.GetAddr(); a != "" {
		if x.Addr, err = crux.NetID(a).AddrPort(); err != nil {
			return Member{}, err
		}
	}
	x.SeenBy, err = nodesFrom(m.GetSeenBy())
	return x, err
}

func nodesFrom(list [][]byte) ([]crux.NodeID, error) {
	out := make([]crux.NodeID, len(list))
	for i, b := range list {
		var err error
		if out[i], err = wire.NodeIDFrom(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}
