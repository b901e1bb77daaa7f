package main

import (
	"context"
	mathrand "math/rand/v2"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
	"fulcrum.example/bench/report"
	"fulcrum.example/crux"
)

// How often they look after one another: what happens to a member happens at any
// time in between.
const (
	pingEvery  = 400 * time.Millisecond
	probeEvery = time.Second // memberlist
)

// lose takes a plain member that is left from the bed, at a time of no pattern,
// and waits until the others miss it.
func lose(ctx context.Context, p sizes, b *bed.Bed, gone map[crux.NodeID]bool, how func(*bed.Node)) (d deaths, err error) {
	if err := pause(ctx, p.settle+mathrand.N(pingEvery)); err != nil {
		return d, err
	}
	var victim *bed.Node
	for victim == nil || gone[victim.ID()] || victim.Flock.View().Leader == victim.ID() {
		victim = b.Nodes[mathrand.IntN(len(b.Nodes))]
	}
	gone[victim.ID()] = true
	start := time.Now()
	how(victim)
	d.most, d.all, err = reach{start: start, limit: deathLimit, every: 2 * time.Millisecond, n: p.fabric, ok: func(i int) bool {
		n := b.Nodes[i]
		return gone[n.ID()] || !n.Fabric.Sees(victim.ID())
	}}.wait(ctx)
	return d, err
}

// middle gives the medians.
func middle(list []deaths) deaths {
	var most, all []report.Sample
	for _, d := range list {
		most, all = append(most, d.most), append(all, d.all)
	}
	return deaths{report.Median(most), report.Median(all)}
}

// mistakes counts the living members that a living one has taken for down.
func mistakes(b *bed.Bed, gone map[crux.NodeID]bool, since time.Time) int {
	wrong := map[crux.NodeID]bool{}
	for _, n := range b.Nodes {
		if gone[n.ID()] {
			continue
		}
		for _, id := range n.Fabric.Fell(since) {
			if !gone[id] {
				wrong[id] = true
			}
		}
	}
	return len(wrong)
}

// losePeer has a member of the cluster hang.
func losePeer(ctx context.Context, p sizes, c *gossip.Cluster) (d deaths, err error) {
	if err := pause(ctx, p.settle+mathrand.N(probeEvery)); err != nil {
		return d, err
	}
	victim := 1 + mathrand.IntN(p.fabric-1) // not the seed
	start := time.Now()
	c.Hang(victim)
	d.most, d.all, err = reach{start: start, limit: deathLimit, every: 5 * time.Millisecond, n: p.fabric,
		ok: func(i int) bool { return i == victim || !c.Knows(i, victim) }}.wait(ctx)
	return d, err
}
