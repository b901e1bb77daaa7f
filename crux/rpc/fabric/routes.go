package fabric

import (
	"context"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/lashup"
)

// TreeNode is one node of a tree of shortest ways.
type TreeNode struct {
	Node     crux.NodeID `json:"node"`
	Parent   crux.NodeID `json:"parent,omitzero"` // zero for the origin and for what is out of reach
	Distance int         `json:"distance"`        // hops; Infinity
}

// Tree gives the shortest ways from origin to all members, by distance and then
// by node, those out of reach last. The zero origin is this node.
func (c *Client) Tree(ctx context.Context, origin crux.NodeID) ([]TreeNode, error) {
	r, err := ask(ctx, func() (*pb.TreeReply, error) {
		return c.fabric.Tree(ctx, &pb.TreeRequest{Origin: wire.NodeIDTo(origin)})
	})
	if err != nil {
		return nil, err
	}
	out := make([]TreeNode, len(r.GetNodes()))
	for i, n := range r.GetNodes() {
		out[i].Distance = int(n.GetDistance())
		if out[i].Node, err = wire.NodeIDFrom(n.GetNode()); err != nil {
			return nil, err
		}
		if out[i].Parent, err = wire.NodeIDFrom(n.GetParent()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Path gives one shortest way between two members, with both; nil if there is
// none.
func (c *Client) Path(ctx context.Context, from, to crux.NodeID) ([]crux.NodeID, error) {
	r, err := ask(ctx, func() (*pb.PathReply, error) {
		return c.fabric.Path(ctx, &pb.PathRequest{From: wire.NodeIDTo(from), To: wire.NodeIDTo(to)})
	})
	if err != nil || len(r.GetNodes()) == 0 {
		return nil, err
	}
	return nodesFrom(r.GetNodes())
}

// Checked is the outcome of a check.
type Checked struct {
	Node  crux.NodeID   `json:"node"`
	State State         `json:"state"`
	RTT   time.Duration `json:"rtt_ns"`      // of its answer, if there was one
	By    crux.NodeID   `json:"by,omitzero"` // who had its answer
	Took  time.Duration `json:"took_ns"`     // the whole check
}

// Check has this node ask another whether it is alive, and where it does not
// answer, has others ask it. It takes half a second at most. NotFound: the node
// is no member.
func (c *Client) Check(ctx context.Context, node crux.NodeID) (Checked, error) {
	r, err := ask(ctx, func() (*pb.CheckReply, error) {
		return c.fabric.Check(ctx, &pb.CheckRequest{Node: wire.NodeIDTo(node)})
	})
	if err != nil {
		return Checked{}, err
	}
	by, err := wire.NodeIDFrom(r.GetBy())
	return Checked{node, State(r.GetState()), time.Duration(r.GetRttNano()), by, time.Duration(r.GetTookNano())}, err
}

// Stats is how one node's lashup fares.
type Stats struct {
	Node  crux.NodeID `json:"node"`
	Inst  crux.Inst   `json:"inst"`
	Epoch uint64      `json:"epoch"` // a new one at each start, not at a handover
	// Since is when the process that answers took over.
	Since  time.Time        `json:"since"`
	Counts map[string]int64 `json:"counts"` // as "store.keys"
}

// Stats says how this node's lashup fares.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	r, err := ask(ctx, func() (*pb.StatsReply, error) { return c.fabric.Stats(ctx, &pb.StatsRequest{}) })
	if err != nil {
		return Stats{}, err
	}
	id, err := wire.NodeIDFrom(r.GetNode())
	return Stats{id, crux.Inst(r.GetInst()), r.GetEpoch(), time.Unix(0, r.GetSinceUnixNano()), r.GetCounts()}, err
}
