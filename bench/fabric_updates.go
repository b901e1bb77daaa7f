package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
	"fulcrum.example/bench/report"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/replica"
)

const (
	updateGap   = 20 * time.Millisecond
	updateLimit = 5 * time.Second // after the last
	updateBytes = 32
)

// spreadStats are how updates got about, in ms and percent.
type spreadStats struct {
	most, all, slowest, late, delivered report.Sample
}

func addSpread(line func(what, unit string) *report.Line, p sizes, ours, peer *spreadStats) {
	line("update known to nine in ten, median", "ms").Add(ours.most, peer.most)
	line("update known to all, median", "ms").Add(ours.all, peer.all)
	line(fmt.Sprintf("update known to all, slowest of %d", p.told), "ms").Add(ours.slowest, peer.slowest)
	line("update known to a node, 99 of 100", "ms").Add(ours.late, peer.late)
	more := line("updates that arrived", "%")
	more.More = true
	more.Add(ours.delivered, peer.delivered)
}

// updateOurs has random nodes write keys.
func updateOurs(ctx context.Context, p sizes, b *bed.Bed) (s spreadStats, err error) {
	a := newArrivals(p.told, p.fabric)
	for i, n := range b.Nodes {
		stop, err := n.Fabric.Watch(ctx, []string{"bench", "*"}, func(key []string) { a.come(i, key[1]) })
		if err != nil {
			return s, err
		}
		defer stop()
	}
	var writes sync.WaitGroup
	failed := make([]error, p.told)
	err = a.spread(ctx, func(k, from int, text string) {
		w := []replica.Write{{Key: []string{"bench", text}, Op: crdt.Assign(crdt.LastWriter, strings.Repeat("x", updateBytes))}}
		writes.Go(func() { _, failed[k] = b.Nodes[from].Fabric.Store.Write(ctx, w) })
	})
	writes.Wait()
	return a.stats(), errors.Join(err, errors.Join(failed...))
}

// updatePeer has random members broadcast as much.
func updatePeer(ctx context.Context, p sizes, c *gossip.Cluster) (spreadStats, error) {
	a := newArrivals(p.told, p.fabric)
	for i := range p.fabric {
		c.Listen(i, func(text string) { a.come(i, strings.TrimRight(text, "x")) })
	}
	err := a.spread(ctx, func(_, from int, text string) { c.Broadcast(from, text+strings.Repeat("x", updateBytes)) })
	return a.stats(), err
}

// arrivals are when updates, named by their numbers, came to nodes.
type arrivals struct {
	nodes int
	start time.Time
	from  []int
	sent  []atomic.Int64 // since start
	came  []atomic.Int64 // by update and node: since it was sent, or zero
	left  atomic.Int64
	done  chan struct{} // closed when nothing is left to come
}

func newArrivals(updates, nodes int) *arrivals {
	a := &arrivals{
		nodes: nodes, start: time.Now(), from: make([]int, updates),
		sent: make([]atomic.Int64, updates), came: make([]atomic.Int64, updates*nodes), done: make(chan struct{}),
	}
	a.left.Store(int64(updates * nodes))
	return a
}

// come notes that a node has an update. Any goroutine may call it; the origin is
// one of the nodes.
func (a *arrivals) come(node int, text string) {
	k, err := strconv.Atoi(text)
	if err != nil || k < 0 || k >= len(a.sent) {
		return // nobody sends that
	}
	took := max(1, int64(time.Since(a.start))-a.sent[k].Load())
	if a.came[k*a.nodes+node].CompareAndSwap(0, took) && a.left.Add(-1) == 0 {
		close(a.done)
	}
}

// spread sends the updates, and waits until all nodes have them, or for as long as
// is worth waiting. send does not wait.
func (a *arrivals) spread(ctx context.Context, send func(k, from int, text string)) error {
	tick := time.NewTicker(updateGap)
	defer tick.Stop()
	for k := range a.from {
		a.from[k] = mathrand.IntN(a.nodes)
		a.sent[k].Store(int64(time.Since(a.start)))
		send(k, a.from[k], strconv.Itoa(k))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	t := time.NewTimer(updateLimit)
	defer t.Stop()
	select {
	case <-a.done:
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// stats are about all nodes but the origins.
func (a *arrivals) stats() (s spreadStats) {
	var most, all, each []report.Sample
	lost := 0
	for k, from := range a.from {
		var here []report.Sample
		for i := range a.nodes {
			if i == from {
				continue
			}
			took := time.Duration(a.came[k*a.nodes+i].Load())
			x := scale(seconds(took), 1e3)
			if took == 0 {
				x = scale(report.Sample{Value: updateLimit.Seconds(), Over: true}, 1e3)
				lost++
			}
			here = append(here, x)
		}
		most, all, each = append(most, least(here, 0.9)), append(all, least(here, 1)), append(each, here...)
	}
	return spreadStats{
		most: report.Median(most), all: report.Median(all), slowest: least(all, 1), late: least(each, 0.99),
		delivered: report.Sample{Value: 100 * float64(len(each)-lost) / float64(len(each))},
	}
}

// least is the smallest of the samples that so large a part of them do not exceed;
// it sorts them. There must be at least one.
func least(samples []report.Sample, part float64) report.Sample {
	slices.SortFunc(samples, func(a, b report.Sample) int { return cmp.Compare(a.Value, b.Value) })
	return samples[max(0, int(math.Ceil(part*float64(len(samples))))-1)]
}
