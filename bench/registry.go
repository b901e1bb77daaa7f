package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
	"fulcrum.example/bench/report"
	"fulcrum.example/crux"
)

const (
	rowsPerAPI   = 10
	lookups      = 200_000
	visibleLimit = 10 * time.Second
)

var registry = bench{
	name: "registry", title: "Registry", budget: 45 * time.Second, round: registryRound,
	about: "Registration: an endpoint is registered at one node's reeve, until the reeves of all nodes, in one process, give it to who looks it up; over " +
		"real node ports (gRPC, mutual TLS) through the leader's steward, rows signed and checked. The peer has no registry: there a node changes its own " +
		"metadata, as Serf's tags do, until all others have seen it. Both in a group that was left alone for two seconds; each figure is the median of " +
		"several changes at different nodes. Look-up: Reeve.Lookup of an API with ten rows in one reeve's table, on one goroutine; a peer was not measured.",
}

func registryRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	dir, err := os.MkdirTemp("", "fulcrum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var ours, peer deaths
	err = inTurns(round, func() error {
		return withBed(ctx, bed.Options{Nodes: p.reeves, Registry: true, Dir: dir}, func(b *bed.Bed, start time.Time) (err error) {
			ours, err = spreadOurs(ctx, p, b, start)
			return err
		})
	}, func() error {
		return withCluster(p.reeves, func(c *gossip.Cluster, start time.Time) (err error) {
			peer, err = spreadPeer(ctx, p, c, start)
			return err
		})
	})
	if err != nil {
		return err
	}
	line := func(to string) *report.Line {
		return s.Line(fmt.Sprintf("%d nodes: registration visible to %s", p.reeves, to), report.Line{Unit: "ms", PeerName: lan})
	}
	line("nine in ten").Add(scale(ours.most, 1e3), scale(peer.most, 1e3))
	line("all").Add(scale(ours.all, 1e3), scale(peer.all, 1e3))
	return lookupRound(ctx, p, s)
}

// spread makes changes at different nodes, one after the other, and gives the
// medians of how long they took to be seen.
func spread(ctx context.Context, p sizes, change func(k, at int) (seen func(i int) bool, err error)) (d deaths, err error) {
	var most, all []report.Sample
	for k := range p.updates {
		start := time.Now()
		seen, err := change(k, k*7%p.reeves)
		if err != nil {
			return d, err
		}
		m, a, err := reach{start: start, limit: visibleLimit, every: 500 * time.Microsecond, n: p.reeves, ok: seen}.wait(ctx)
		if err != nil {
			return d, err
		}
		most, all = append(most, m), append(all, a)
	}
	return deaths{report.Median(most), report.Median(all)}, nil
}

func spreadOurs(ctx context.Context, p sizes, b *bed.Bed, start time.Time) (deaths, error) {
	selector := func(at crux.Inst) crux.Selector { return crux.Selector{Horde: crux.DefaultHorde, API: at.API()} }
	err := mustReach(ctx, reach{start: start, limit: formedLimit, every: 10 * time.Millisecond, n: p.reeves, ok: func(i int) bool {
		return b.Formed(i) && b.Nodes[i].Reeve.Lookup(selector(inst)).Whole
	}}, "whole registries")
	if err == nil {
		err = pause(ctx, p.settle)
	}
	if err != nil {
		return deaths{}, err
	}
	return spread(ctx, p, func(k, at int) (func(int) bool, error) {
		instance := crux.Inst(fmt.Sprintf("spread%d_1", k+1))
		n := b.Nodes[at]
		err := n.Put(ctx, crux.Endpoint{Node: n.ID(), Horde: crux.DefaultHorde, Inst: instance, NetID: crux.NetIDOf(n.Net.Addr())})
		return func(i int) bool { return len(b.Nodes[i].Reeve.Lookup(selector(instance)).Rows) == 1 }, err
	})
}

func spreadPeer(ctx context.Context, p sizes, c *gossip.Cluster, start time.Time) (deaths, error) {
	err := mustReach(ctx, reach{start: start, limit: formedLimit, every: 10 * time.Millisecond, n: p.reeves,
		ok: func(i int) bool { return c.Alive(i) == p.reeves }}, "memberlist to form")
	if err == nil {
		err = pause(ctx, p.settle)
	}
	if err != nil {
		return deaths{}, err
	}
	var announcing sync.WaitGroup
	failed := make([]error, p.updates)
	d, err := spread(ctx, p, func(k, at int) (func(int) bool, error) {
		text := fmt.Sprintf("spread%d_1", k+1)
		announcing.Go(func() { failed[k] = c.Announce(at, text) })
		return func(i int) bool { return c.Announced(i, at) == text }, nil
	})
	announcing.Wait()
	return d, errors.Join(err, errors.Join(failed...))
}

// lookupRound measures look-ups in a large table of one node.
func lookupRound(ctx context.Context, p sizes, s *report.Section) error {
	dir, err := os.MkdirTemp("", "fulcrum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return withBed(ctx, bed.Options{Nodes: 1, Registry: true, Dir: dir}, func(b *bed.Bed, _ time.Time) error {
		n := b.Nodes[0]
		key := make([]byte, 32)
		for i := range p.rows {
			in := crux.Inst(fmt.Sprintf("service%d_1", 1+i/rowsPerAPI))
			err := n.Reeve.Put(ctx, crux.Fservice{Horde: crux.DefaultHorde, API: in.API(), Inst: in,
				NetID: crux.NetID(fmt.Sprintf("127.0.0.1:%d", 1024+i)), Status: crux.Serving}, key, 1)
			if err != nil {
				return err
			}
		}
		sels := make([]crux.Selector, p.rows/rowsPerAPI)
		for i := range sels {
			sels[i] = crux.Selector{Horde: crux.DefaultHorde, API: crux.API(fmt.Sprintf("service%d", i+1))}
		}
		if err := pause(ctx, p.settle); err != nil { // what the registrations set going has ended
			return err
		}
		before, start := allocations(), time.Now()
		for i := range lookups {
			if found := n.Reeve.Lookup(sels[i%len(sels)]); len(found.Rows) != rowsPerAPI {
				return fmt.Errorf("%d rows of %s, want %d", len(found.Rows), sels[i%len(sels)].API, rowsPerAPI)
			}
		}
		took, made := time.Since(start), allocations()-before
		ns := s.Line(fmt.Sprintf("look-up among %d rows", p.rows), report.Line{Unit: "ns"})
		ns.Ours = append(ns.Ours, scale(seconds(took), 1e9/lookups))
		allocs := s.Line("allocations a look-up", report.Line{Unit: "", Note: "of the whole node meanwhile"})
		allocs.Ours = append(allocs.Ours, report.Sample{Value: float64(made) / lookups})
		return nil
	})
}
