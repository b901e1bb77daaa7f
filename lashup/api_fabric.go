package lashup

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/route"
	pb "fulcrum.example/protos/lashup"
)

// membersPause is the least time between two messages to one that watches the
// members.
const membersPause = 20 * time.Millisecond

// fabricAPI serves protos/lashup.Fabric.
type fabricAPI struct {
	pb.UnimplementedFabricServer
	*api
}

// Members lists the members.
func (a fabricAPI) Members(ctx context.Context, _ *pb.MembersRequest) (*pb.MembersReply, error) {
	v, err := a.net.View(ctx)
	if err != nil {
		return nil, a.sooner(err)
	}
	return a.viewTo(v, v.Members, nil), nil
}

func (a fabricAPI) viewTo(v *node.View, list []node.Member, forgotten []crux.NodeID) *pb.MembersReply {
	m := &pb.MembersReply{Self: wire.NodeIDTo(a.self), Isolated: v.Isolated, CutFromMasters: v.CutFromMasters, Forgotten: nodesTo(forgotten)}
	for i := range list {
		m.Members = append(m.Members, memberTo(&list[i]))
	}
	return m
}

func memberTo(x *node.Member) *pb.Member {
	m := &pb.Member{
		Node: wire.NodeIDTo(x.ID), State: stateTo(x.State, x.Why), SinceUnixNano: x.Since.UnixNano(),
		RttNano: int64(x.RTT), Distance: int32(x.Distance), SeenBy: nodesTo(x.SeenBy), Master: x.Master, Neighbour: x.Neighbour,
	}
	if x.Addr.IsValid() {
		m.Addr = x.Addr.String()
	}
	return m
}

// stateTo is how a member fares, in one word.
func stateTo(s route.State, why route.Why) pb.State {
	switch {
	case s == route.Unknown:
		return pb.State_STATE_UNKNOWN
	case s == route.Up:
		return pb.State_STATE_UP
	case why == route.Dead:
		return pb.State_STATE_DEAD
	case why == route.Hung:
		return pb.State_STATE_HUNG
	case why == route.Left:
		return pb.State_STATE_LEFT
	}
	return pb.State_STATE_UNREACHABLE
}

func nodesTo(ids []crux.NodeID) [][]byte {
	out := make([][]byte, len(ids))
	for i := range ids {
		out[i] = ids[i][:]
	}
	return out
}

// WatchMembers sends all members, and then what changes.
func (a fabricAPI) WatchMembers(_ *pb.WatchMembersRequest, s grpc.ServerStreamingServer[pb.MembersReply]) error {
	shut, ctx := a.gate.shutting(), s.Context()
	before := &node.View{}
	for first := true; ; first = false {
		changed := a.net.Changed()
		now, err := a.net.View(ctx)
		if err != nil {
			return a.sooner(err)
		}
		list, forgotten := differences(before.Members, now.Members)
		same := len(list) == 0 && len(forgotten) == 0 && before.Isolated == now.Isolated && before.CutFromMasters == now.CutFromMasters
		if first || !same {
			if err := s.Send(a.viewTo(now, list, forgotten)); err != nil {
				return err
			}
		}
		before = now
		select {
		case <-changed:
		case <-shut:
			return errHandover()
		case <-ctx.Done():
			return ctx.Err()
		}
		pause(ctx, membersPause)
	}
}

// differences compares two lists of members, both by node: which are new or have
// changed, and which are gone.
func differences(before, now []node.Member) (list []node.Member, gone []crux.NodeID) {
	i := 0
	for j := range now {
		for i < len(before) && before[i].ID.Compare(now[j].ID) < 0 {
			gone = append(gone, before[i].ID)
			i++
		}
		if i < len(before) && before[i].ID == now[j].ID {
			if !sameMember(&before[i], &now[j]) {
				list = append(list, now[j])
			}
			i++
			continue
		}
		list = append(list, now[j])
	}
	for ; i < len(before); i++ {
		gone = append(gone, before[i].ID)
	}
	return list, gone
}

func sameMember(a, b *node.Member) bool {
	return a.State == b.State && a.Why == b.Why && a.Distance == b.Distance && a.Addr == b.Addr && a.Master == b.Master &&
		a.Neighbour == b.Neighbour && a.Since.Equal(b.Since)
}

// Tree gives the shortest ways from a node to all others.
func (a fabricAPI) Tree(ctx context.Context, m *pb.TreeRequest) (*pb.TreeReply, error) {
	origin, err := wire.NodeIDFrom(m.GetOrigin())
	if err != nil {
		return nil, err
	}
	if origin.IsZero() {
		origin = a.self
	}
	list, err := a.net.Tree(ctx, origin)
	if err != nil {
		return nil, a.sooner(err)
	}
	r := &pb.TreeReply{Origin: wire.NodeIDTo(origin), Nodes: make([]*pb.TreeNode, len(list))}
	for i, n := range list {
		r.Nodes[i] = &pb.TreeNode{Node: wire.NodeIDTo(n.ID), Parent: wire.NodeIDTo(n.Parent), Distance: int32(n.Distance)}
	}
	return r, nil
}

// Path gives a shortest way between two nodes: up the tree of the one from the
// other.
func (a fabricAPI) Path(ctx context.Context, m *pb.PathRequest) (*pb.PathReply, error) {
	from, err := wire.NodeIDFrom(m.GetFrom())
	if err != nil {
		return nil, err
	}
	to, err := wire.NodeIDFrom(m.GetTo())
	if err != nil {
		return nil, err
	}
	list, err := a.net.Tree(ctx, from)
	if err != nil {
		return nil, a.sooner(err)
	}
	nodes := make(map[crux.NodeID]node.Branch, len(list))
	for _, n := range list {
		nodes[n.ID] = n
	}
	at, ok := nodes[to]
	if !ok {
		return nil, crux.Errorf("path", crux.NotFound, "%s is not a member: see 'fulcrum fabric members'", to)
	}
	r := &pb.PathReply{}
	if at.Distance < 0 {
		return r, nil
	}
	for range at.Distance {
		r.Nodes = append(r.Nodes, wire.NodeIDTo(at.ID))
		at = nodes[at.Parent]
	}
	r.Nodes = append(r.Nodes, wire.NodeIDTo(at.ID))
	slices.Reverse(r.Nodes)
	return r, nil
}

// Check finds out whether a node is alive.
func (a fabricAPI) Check(ctx context.Context, m *pb.CheckRequest) (*pb.CheckReply, error) {
	id, err := wire.NodeIDFrom(m.GetNode())
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return nil, crux.Errorf("check", crux.Invalid, "no node is named")
	}
	began := time.Now()
	c, err := a.net.Check(ctx, id)
	if err != nil {
		return nil, a.sooner(err)
	}
	r := &pb.CheckReply{State: foundTo(c.State), RttNano: int64(c.RTT), By: wire.NodeIDTo(c.By), TookNano: int64(time.Since(began))}
	if c.By.IsZero() && c.State == detect.Alive {
		r.By = wire.NodeIDTo(a.self)
	}
	return r, nil
}

// foundTo is what a check has found, in one word.
func foundTo(w detect.Why) pb.State {
	switch w {
	case detect.Alive:
		return pb.State_STATE_UP
	case detect.Dead:
		return pb.State_STATE_DEAD
	case detect.Hung:
		return pb.State_STATE_HUNG
	case detect.Asymmetric:
		return pb.State_STATE_UNREACHABLE
	}
	return pb.State_STATE_UNKNOWN
}

// Stats says how this node's lashup fares.
func (a fabricAPI) Stats(ctx context.Context, _ *pb.StatsRequest) (*pb.StatsReply, error) {
	r := &pb.StatsReply{Inst: string(a.inst), Node: wire.NodeIDTo(a.self), Epoch: a.epoch, SinceUnixNano: a.since.UnixNano(),
		Counts: map[string]int64{"api.listeners": int64(a.hub.len())}}
	for _, counts := range []func(context.Context) (map[string]int64, error){a.net.Counts, a.store.Counts} {
		m, err := counts(ctx)
		if err != nil {
			return nil, a.sooner(err)
		}
		maps.Copy(r.Counts, m)
	}
	return r, nil
}
