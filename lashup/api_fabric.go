package lashup

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
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
func (a fabricAPI) Members(context.Context, *pb.MembersRequest) (*pb.MembersReply, error) {
	r := a.net.members()
	return a.rosterTo(r, r.list, nil), nil
}

func (a fabricAPI) rosterTo(r roster, list []member, forgotten []crux.NodeID) *pb.MembersReply {
	m := &pb.MembersReply{Self: wire.NodeIDTo(a.net.self()), Isolated: r.isolated, CutFromMasters: r.cutFromMasters}
	for i := range list {
		m.Members = append(m.Members, memberTo(&list[i]))
	}
	m.Forgotten = nodesTo(forgotten)
	return m
}

func memberTo(x *member) *pb.Member {
	m := &pb.Member{
		Node: wire.NodeIDTo(x.id), State: x.state, SinceUnixNano: x.since.UnixNano(), RttNano: int64(x.rtt),
		Distance: int32(x.distance), SeenBy: nodesTo(x.seenBy), Master: x.master, Neighbour: x.neighbour,
	}
	if x.addr.IsValid() {
		m.Addr = x.addr.String()
	}
	return m
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
	changed, now := a.net.changed(), a.net.members()
	if err := s.Send(a.rosterTo(now, now.list, nil)); err != nil {
		return err
	}
	for {
		select {
		case <-changed:
		case <-a.gate.shutting():
			return errHandover()
		case <-s.Context().Done():
			return s.Context().Err()
		}
		pause(s.Context(), membersPause)
		before := now
		changed, now = a.net.changed(), a.net.members()
		list, forgotten := differences(before.list, now.list)
		if len(list) == 0 && len(forgotten) == 0 && before.isolated == now.isolated && before.cutFromMasters == now.cutFromMasters {
			continue
		}
		if err := s.Send(a.rosterTo(now, list, forgotten)); err != nil {
			return err
		}
	}
}

// differences compares two lists of members, both by node: which are new or have
// changed, but for round trips, and which are gone.
func differences(before, now []member) (list []member, gone []crux.NodeID) {
	i := 0
	for j := range now {
		for i < len(before) && before[i].id.Compare(now[j].id) < 0 {
			gone = append(gone, before[i].id)
			i++
		}
		if i < len(before) && before[i].id == now[j].id {
			if !sameMember(&before[i], &now[j]) {
				list = append(list, now[j])
			}
			i++
			continue
		}
		list = append(list, now[j])
	}
	for ; i < len(before); i++ {
		gone = append(gone, before[i].id)
	}
	return list, gone
}

func sameMember(a, b *member) bool {
	return a.state == b.state && a.distance == b.distance && a.addr == b.addr && a.master == b.master &&
		a.neighbour == b.neighbour && a.since.Equal(b.since)
}

// Tree gives the shortest ways from a node to all others.
func (a fabricAPI) Tree(ctx context.Context, m *pb.TreeRequest) (*pb.TreeReply, error) {
	origin, err := wire.NodeIDFrom(m.GetOrigin())
	if err != nil {
		return nil, err
	}
	if origin.IsZero() {
		origin = a.net.self()
	}
	list, err := a.net.tree(ctx, origin)
	if err != nil {
		return nil, err
	}
	r := &pb.TreeReply{Origin: wire.NodeIDTo(origin), Nodes: make([]*pb.TreeNode, len(list))}
	for i, n := range list {
		r.Nodes[i] = &pb.TreeNode{Node: wire.NodeIDTo(n.id), Parent: wire.NodeIDTo(n.parent), Distance: int32(n.distance)}
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
	list, err := a.net.tree(ctx, from)
	if err != nil {
		return nil, err
	}
	nodes := make(map[crux.NodeID]branch, len(list))
	for _, n := range list {
		nodes[n.id] = n
	}
	at, ok := nodes[to]
	if !ok {
		return nil, crux.Errorf("path", crux.NotFound, "%s is not a member: see 'fulcrum fabric members'", to)
	}
	r := &pb.PathReply{}
	if at.distance < 0 {
		return r, nil
	}
	for range at.distance {
		r.Nodes = append(r.Nodes, wire.NodeIDTo(at.id))
		at = nodes[at.parent]
	}
	r.Nodes = append(r.Nodes, wire.NodeIDTo(at.id))
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
	c, err := a.net.check(ctx, id)
	if err != nil {
		return nil, err
	}
	return &pb.CheckReply{State: c.state, RttNano: int64(c.rtt), By: wire.NodeIDTo(c.by), TookNano: int64(time.Since(began))}, nil
}

// Stats says how this node's lashup fares.
func (a fabricAPI) Stats(context.Context, *pb.StatsRequest) (*pb.StatsReply, error) {
	r := &pb.StatsReply{Inst: string(a.inst), Node: wire.NodeIDTo(a.net.self()), Epoch: a.epoch,
		SinceUnixNano: a.since.UnixNano(), Counts: map[string]int64{"api.listeners": int64(a.hub.len())}}
	for _, counts := range []map[string]int64{a.net.counts(), a.store.counts()} {
		for k, n := range counts {
			r.Counts[k] = n
		}
	}
	return r, nil
}
