package local

import (
	"context"
	"fmt"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

// pollEvery is how often a condition is looked at that a node does not push.
const pollEvery = 50 * time.Millisecond

// Poll calls f until it returns an empty string, and says what it was waiting
// for when ctx ends first.
func Poll(ctx context.Context, f func(context.Context) (waitingFor string)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		why := f(ctx)
		if why == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return crux.Errorf("wait", crux.Timeout, "gave up waiting: %s", why)
		case <-t.C:
		}
	}
}

// State is what the running nodes agree on.
type State struct {
	Leader  *Node
	Flock   string
	Epoch   uint64
	Members int
}

// AwaitReady waits until all running nodes are one flock with one leader, and
// each knows a whole registry: reeve and picket of every running node, and one
// steward, on the leader. It fails at once when a node ends by itself.
func (b *Bloc) AwaitReady(ctx context.Context) (State, error) {
	var s State
	var failed error
	err := Poll(ctx, func(ctx context.Context) string {
		for _, n := range b.Nodes {
			if failed = n.failed(); failed != nil {
				return ""
			}
		}
		var why string
		s, why = b.ready(ctx)
		return why
	})
	if failed != nil {
		err = failed
	}
	return s, err
}

// ready looks once, and says what is still missing.
func (b *Bloc) ready(ctx context.Context) (State, string) {
	var s State
	var leader crux.NodeID
	running := 0
	for _, n := range b.Nodes {
		if n.Running() {
			running++
		}
	}
	for i, n := range b.Nodes {
		if !n.Running() {
			continue
		}
		st, err := look(ctx, n, (*operator.Client).Status)
		switch {
		case err != nil:
			return s, fmt.Sprintf("%s: %v", n.Name, err)
		case st.Leader == nil:
			return s, n.Name + " has no leader"
		case s.Flock == "":
			s.Flock, s.Epoch, s.Members, leader = st.Flock, st.Epoch, st.Members, *st.Leader
		case st.Flock != s.Flock || *st.Leader != leader:
			return s, fmt.Sprintf("%s and %s are of two minds about flock and leader", b.Nodes[0].Name, b.Nodes[i].Name)
		}
		if st.Members < running {
			return s, fmt.Sprintf("%s knows %d of %d members", n.Name, st.Members, running)
		}
		if !st.Whole || st.Steward == nil || *st.Steward != leader {
			return s, n.Name + "'s registry is still filling"
		}
		if why := b.basics(ctx, n, leader); why != "" {
			return s, why
		}
	}
	for _, n := range b.Nodes {
		if n.ID == leader {
			s.Leader = n
		}
	}
	if s.Leader == nil || !s.Leader.Running() {
		return s, "the leader is not one of the running nodes"
	}
	return s, ""
}

// basics checks that a node's registry has reeve and picket of every running
// node and one steward, the leader's.
func (b *Bloc) basics(ctx context.Context, n *Node, leader crux.NodeID) string {
	rows, err := look(ctx, n, func(c *operator.Client, ctx context.Context) ([]operator.Service, error) {
		return c.Services(ctx, crux.Selector{})
	})
	if err != nil {
		return fmt.Sprintf("%s: %v", n.Name, err)
	}
	have := map[crux.API]map[crux.NodeID]bool{}
	for _, r := range rows {
		if have[r.API] == nil {
			have[r.API] = map[crux.NodeID]bool{}
		}
		have[r.API][r.Node] = r.Status == "serving"
	}
	for _, m := range b.Nodes {
		for _, api := range []crux.API{"reeve1", "picket1"} {
			if m.Running() && !have[api][m.ID] {
				return fmt.Sprintf("%s does not know %s of %s", n.Name, api, m.Name)
			}
		}
	}
	if !have["steward1"][leader] {
		return n.Name + " does not know the leader's steward"
	}
	return ""
}

// look asks a node one thing.
func look[T any](ctx context.Context, n *Node, ask func(*operator.Client, context.Context) (T, error)) (T, error) {
	var zero T
	c, err := n.Client()
	if err != nil {
		return zero, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return ask(c, ctx)
}
