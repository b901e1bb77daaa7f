package main

import (
	"context"
	"fmt"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
	"fulcrum.example/bench/report"
)

// joinLimit is when a group that has not formed is given up.
const joinLimit = 20 * time.Second

var join = bench{
	name: "join", title: "Power-on: until all know all", budget: 95 * time.Second, round: joinRound,
	about: "N nodes in one process, each with sockets of its own on loopback, all started at once; the clock starts before the first opens its socket. " +
		"Ours are given no seed: each probes the smallest subnet that holds them all, and counts as ready when it knows all members as alive, one flock " +
		"and one leader; their node ports are open, and the keys with the leader are made anew over them (X25519MLKEM768) as in the product. " +
		"memberlist encrypts with a shared key, is given the first node as seed, and counts as ready when it knows N nodes as alive. " +
		"Bytes: datagrams with UDP and IPv4 headers, and what was written to streams, from the start until all know all.",
}

func joinRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	for _, n := range p.join {
		if err := joinOf(ctx, round, n, s); err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
	}
	return nil
}

// formed is what forming a group took.
type formed struct {
	most, all  report.Sample // s
	bytes, cpu report.Sample // B a node; s
}

func joinOf(ctx context.Context, round, n int, s *report.Section) error {
	var ours, peer formed
	failed := int64(0)
	err := inTurns(round, func() error {
		return withBed(ctx, bed.Options{Nodes: n}, func(b *bed.Bed, start time.Time) (err error) {
			ours, err = watchForm(ctx, n, start, b.Formed, b.BytesPerNode)
			return err
		})
	}, func() error {
		return withCluster(n, func(c *gossip.Cluster, start time.Time) (err error) {
			peer, err = watchForm(ctx, n, start, func(i int) bool { return c.Alive(i) == n }, c.BytesPerNode)
			failed = c.FailedJoins()
			return err
		})
	})
	if err != nil {
		return err
	}
	line := func(what, unit string) *report.Line {
		return s.Line(fmt.Sprintf("%d nodes: %s", n, what), report.Line{Unit: unit, PeerName: lan})
	}
	line("all know all", "s").Add(ours.all, peer.all)
	line("nine in ten know all", "s").Add(ours.most, peer.most)
	line("sent by each", "kB").Add(scale(ours.bytes, 1e-3), scale(peer.bytes, 1e-3))
	line("CPU time of all together", "s").Add(ours.cpu, peer.cpu)
	if failed > 0 {
		line("all know all", "s").Note += fmt.Sprintf("memberlist, round %d: %d nodes could not reach the seed. ", round+1, failed)
	}
	return nil
}

func watchForm(ctx context.Context, n int, start time.Time, ok func(i int) bool, bytes func() float64) (f formed, err error) {
	before := cpuSeconds() // opening n sockets is not forming
	f.most, f.all, err = reach{start: start, limit: joinLimit, every: 5 * time.Millisecond, n: n, ok: ok}.wait(ctx)
	f.cpu = report.Sample{Value: cpuSeconds() - before, Over: f.all.Over}
	f.bytes = report.Sample{Value: bytes(), Over: f.all.Over}
	return f, err
}
