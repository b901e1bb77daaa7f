package main

import (
	"context"
	"fmt"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
	"fulcrum.example/bench/report"
	"fulcrum.example/crux"
)

const (
	deathLimit  = 30 * time.Second
	formedLimit = 45 * time.Second // memberlist's next full exchange is after 30
)

var death = bench{
	name: "death", title: "Death of a node", budget: 75 * time.Second, round: deathRound,
	about: "In a group that has formed and been left alone for two seconds, one node's sockets are closed without a word. " +
		"Ours: the leader's, until all others know one new leader that acts; then, in the same flock, a plain member's, until all others know it " +
		"as lost. memberlist, which has no leader: a member's, until the others know it as dead. The same deaths of memberlist are beside both.",
}

// deaths are the seconds until nine in ten, and all, of the others knew.
type deaths struct{ most, all report.Sample }

func deathRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	var leader, member, peer deaths
	err := inTurns(round, func() error {
		return withBed(ctx, bed.Options{Nodes: p.death}, func(b *bed.Bed, start time.Time) (err error) {
			if err := formAndSettle(ctx, p, start, b.Formed); err != nil {
				return fmt.Errorf("ours: %w", err)
			}
			leader, member, err = killOurs(ctx, p, b)
			return err
		})
	}, func() error {
		return withCluster(p.death, func(c *gossip.Cluster, start time.Time) (err error) {
			if err := formAndSettle(ctx, p, start, func(i int) bool { return c.Alive(i) == p.death }); err != nil {
				return fmt.Errorf("memberlist: %w", err)
			}
			const victim = 1 // not the seed
			dead := time.Now()
			if err := c.Kill(victim); err != nil {
				return err
			}
			peer.most, peer.all, err = reach{start: dead, limit: deathLimit, every: 5 * time.Millisecond, n: p.death,
				ok: func(i int) bool { return i == victim || !c.Knows(i, victim) }}.wait(ctx)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, l := range []struct {
		what string
		d    deaths
	}{{"leader dead, new leader known", leader}, {"member dead, known as lost", member}} {
		line := func(to string) *report.Line {
			return s.Line(fmt.Sprintf("%d nodes: %s to %s", p.death, l.what, to), report.Line{Unit: "s", PeerName: lan})
		}
		line("nine in ten").Add(l.d.most, peer.most)
		line("all").Add(l.d.all, peer.all)
	}
	return nil
}

// formAndSettle waits until the group has formed, and a moment more.
func formAndSettle(ctx context.Context, p sizes, start time.Time, ok func(i int) bool) error {
	_, all, err := reach{start: start, limit: formedLimit, every: 10 * time.Millisecond, n: p.death, ok: ok}.wait(ctx)
	if err == nil && all.Over {
		err = fmt.Errorf("%d nodes, %s: %w", p.death, formedLimit, errNotFormed)
	}
	if err != nil {
		return err
	}
	return pause(ctx, p.settle)
}

// killOurs cuts off the leader, and, when there is a new one, a plain member.
func killOurs(ctx context.Context, p sizes, b *bed.Bed) (leader, member deaths, err error) {
	first := b.Leader()
	if first < 0 {
		return leader, member, fmt.Errorf("the flock has no leader after %s", p.settle)
	}
	start := time.Now()
	b.Nodes[first].Net.Cut()
	leader.most, leader.all, err = reach{start: start, limit: deathLimit, every: 2 * time.Millisecond, n: p.death,
		ok: func(i int) bool { return i == first || knowsNewLeader(b, i, first) }}.wait(ctx)
	if err == nil && leader.all.Over {
		err = fmt.Errorf("no new leader within %s", deathLimit)
	}
	if err == nil {
		err = pause(ctx, p.settle)
	}
	if err != nil {
		return leader, member, err
	}
	second := 0
	for i := range b.Nodes {
		if v := b.Nodes[i].Flock.View(); i != first && v.Leader != v.Self {
			second = i
			break
		}
	}
	lost := b.Nodes[second].ID()
	start = time.Now()
	b.Nodes[second].Net.Cut()
	member.most, member.all, err = reach{start: start, limit: deathLimit, every: 2 * time.Millisecond, n: p.death,
		ok: func(i int) bool { return i == first || i == second || knowsLost(b, i, lost) }}.wait(ctx)
	return leader, member, err
}

// knowsNewLeader says whether node i follows a leader that is not the old one,
// and that takes itself for the acting leader of the same epoch.
func knowsNewLeader(b *bed.Bed, i, old int) bool {
	v := b.Nodes[i].Flock.View()
	if v.Leader.IsZero() || v.Leader == b.Nodes[old].ID() {
		return false
	}
	for _, n := range b.Nodes {
		if n.ID() == v.Leader {
			l := n.Flock.View()
			return l.Acting && l.Flock == v.Flock && l.Epoch == v.Epoch
		}
	}
	return false
}

// knowsLost says whether node i no longer counts the member.
func knowsLost(b *bed.Bed, i int, id crux.NodeID) bool {
	m, ok := b.Nodes[i].Flock.View().Member(id)
	return !ok || m.State == crux.Lost
}
