package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
	"fulcrum.example/bench/report"
	"fulcrum.example/crux"
)

var fabric = bench{
	name: "fabric", title: "Event fabric (lashup)", budget: 240 * time.Second, round: fabricRound,
	about: "N nodes in one process, each with flock, keys, registry, and lashup's fabric and store, put together as in the product, but with the store's files in memory. " +
		"Join: all started at once from nothing, until all see all as up in the fabric, flock and registry included; memberlist as under power-on. " +
		"Then, each time after two seconds left alone: idle; updates, 50 a second, each from a random node (ours: a key written to the store, until a watch at each other node has it; " +
		"memberlist: a message of that size in the broadcast queue, passed on by each that hears it, as Serf does); and silence: a plain member hangs (it takes connections, reads " +
		"nothing and says nothing), until the others do not see it as up any more. Ours: once soon, some ten seconds after the join, when the round trips of the join are remembered still; " +
		"then half a minute after the join, the median of several members, one after the other; then one is killed (its sockets are closed). Beside all of them is one member of memberlist " +
		"that hangs. Bytes: datagrams with UDP and IPv4 headers, and what was written to streams, of the fabric alone. CPU: of all nodes together, in percent of one core; " +
		"the fabric's is the difference to the same nodes without fabric and store, in the same round.",
}

// fabricFound is what one group has shown.
type fabricFound struct {
	join               deaths
	soon, hung, killed deaths // soon: it hung soon after the join
	quiet              idle
	told               spreadStats
	wrong              int // living members that were taken for down
}

func fabricRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	var ours, peer fabricFound
	var bare idle
	err := inTurns(round, func() (err error) {
		if bare, err = bareIdle(ctx, p); err != nil {
			return fmt.Errorf("ours, without fabric: %w", err)
		}
		if ours, err = fabricOurs(ctx, p); err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		return nil
	}, func() error {
		return withCluster(p.fabric, func(c *gossip.Cluster, start time.Time) (err error) {
			if peer, err = fabricPeer(ctx, p, c, start); err != nil {
				return fmt.Errorf("memberlist: %w", err)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	addFabric(s, round, p, &ours, &peer, bare)
	return nil
}

// addFabric adds what a round has found to the report.
func addFabric(s *report.Section, round int, p sizes, ours, peer *fabricFound, bare idle) {
	line := func(what, unit string) *report.Line {
		return s.Line(fmt.Sprintf("%d nodes: %s", p.fabric, what), report.Line{Unit: unit, PeerName: lan})
	}
	line("all started at once, nine in ten see all", "s").Add(ours.join.most, peer.join.most)
	line("all started at once, all see all", "s").Add(ours.join.all, peer.join.all)
	line("member hangs soon after the join, known to nine in ten", "s").Add(ours.soon.most, peer.hung.most)
	line("member hangs, known to nine in ten", "s").Add(ours.hung.most, peer.hung.most)
	line("member hangs, known to all", "s").Add(ours.hung.all, peer.hung.all)
	line("member killed, known to nine in ten", "s").Add(ours.killed.most, peer.hung.most)
	line("member killed, known to all", "s").Add(ours.killed.all, peer.hung.all)
	addSpread(line, p, &ours.told, &peer.told)
	line("idle, sent by each", "B/s").Add(ours.quiet.bytes, peer.quiet.bytes)
	alone := ours.quiet.cpu
	alone.Value = max(0, alone.Value-bare.cpu.Value)
	line("idle, CPU", "%").Add(alone, peer.quiet.cpu)
	whole := s.Line(fmt.Sprintf("%d nodes: idle, CPU of flock, registry and fabric", p.fabric), report.Line{Unit: "%"})
	whole.Ours = append(whole.Ours, ours.quiet.cpu)
	if ours.wrong > 0 {
		line("member hangs, known to all", "s").Note += fmt.Sprintf("round %d: %d living members were taken for down by somebody. ", round+1, ours.wrong)
	}
}

// fabricOurs measures a bed.
func fabricOurs(ctx context.Context, p sizes) (f fabricFound, err error) {
	dir, err := os.MkdirTemp("", "fulcrum-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	err = withBed(ctx, bed.Options{Nodes: p.fabric, Registry: true, Fabric: true, Dir: dir}, func(b *bed.Bed, start time.Time) (err error) {
		f.join, err = joined(ctx, p, start, func(i int) bool { return b.Nodes[i].Fabric.Up() == p.fabric })
		if err == nil {
			err = mustReach(ctx, reach{start: start, limit: formedLimit, every: 10 * time.Millisecond, n: p.fabric, ok: b.Formed}, "one flock")
		}
		if err == nil {
			err = f.measure(ctx, p, b)
		}
		return err
	})
	return f, err
}

// measure measures what follows the join.
func (f *fabricFound) measure(ctx context.Context, p sizes, b *bed.Bed) (err error) {
	formed, gone := time.Now(), map[crux.NodeID]bool{}
	if f.quiet, err = watchIdle(ctx, p, func() float64 { return fabricBytes(b) }); err != nil {
		return err
	}
	if f.told, err = updateOurs(ctx, p, b); err != nil {
		return err
	}
	if f.soon, err = lose(ctx, p, b, gone, (*bed.Node).Hang); err != nil {
		return err
	}
	if err := pause(ctx, time.Until(formed.Add(p.calm))); err != nil {
		return err
	}
	var hung []deaths
	for range p.silent {
		d, err := lose(ctx, p, b, gone, (*bed.Node).Hang)
		if err != nil {
			return err
		}
		hung = append(hung, d)
	}
	f.hung = middle(hung)
	f.killed, err = lose(ctx, p, b, gone, (*bed.Node).Cut)
	f.wrong = mistakes(b, gone, formed)
	return err
}

// joined waits until all see all.
func joined(ctx context.Context, p sizes, start time.Time, ok func(i int) bool) (d deaths, err error) {
	d.most, d.all, err = reach{start: start, limit: formedLimit, every: 5 * time.Millisecond, n: p.fabric, ok: ok}.wait(ctx)
	if err == nil && d.all.Over {
		err = fmt.Errorf("%d nodes, %s: %w", p.fabric, formedLimit, errNotFormed)
	}
	return d, err
}

func fabricPeer(ctx context.Context, p sizes, c *gossip.Cluster, start time.Time) (f fabricFound, err error) {
	f.join, err = joined(ctx, p, start, func(i int) bool { return c.Alive(i) == p.fabric })
	if err != nil {
		return f, err
	}
	if f.quiet, err = watchIdle(ctx, p, c.BytesPerNode); err != nil {
		return f, err
	}
	if f.told, err = updatePeer(ctx, p, c); err != nil {
		return f, err
	}
	f.hung, err = losePeer(ctx, p, c)
	return f, err
}
