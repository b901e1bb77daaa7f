package main

import (
	"context"
	"os"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/report"
)

// idle is what a group does that is left alone.
type idle struct {
	bytes report.Sample // B/s, by each
	cpu   report.Sample // percent of a core, of all together
}

// watchIdle leaves a group alone, first until it has settled. bytes is what each
// has sent by now.
func watchIdle(ctx context.Context, p sizes, bytes func() float64) (i idle, err error) {
	if err := pause(ctx, p.settle); err != nil {
		return i, err
	}
	start, sent, cpu := time.Now(), bytes(), cpuSeconds()
	if err := pause(ctx, p.idle); err != nil {
		return i, err
	}
	took := time.Since(start).Seconds()
	return idle{
		bytes: report.Sample{Value: (bytes() - sent) / took},
		cpu:   report.Sample{Value: 100 * (cpuSeconds() - cpu) / took},
	}, nil
}

// bareIdle is what the nodes do that have no fabric.
func bareIdle(ctx context.Context, p sizes) (i idle, err error) {
	dir, err := os.MkdirTemp("", "fulcrum-bench-")
	if err != nil {
		return i, err
	}
	defer os.RemoveAll(dir)
	err = withBed(ctx, bed.Options{Nodes: p.fabric, Registry: true, Dir: dir}, func(b *bed.Bed, start time.Time) (err error) {
		if err = mustReach(ctx, reach{start: start, limit: formedLimit, every: 10 * time.Millisecond, n: p.fabric, ok: b.Formed}, "one flock"); err == nil {
			i, err = watchIdle(ctx, p, b.BytesPerNode)
		}
		return err
	})
	return i, err
}

// fabricBytes is what each node's fabric has sent by now.
func fabricBytes(b *bed.Bed) float64 {
	sum := int64(0)
	for _, n := range b.Nodes {
		sum += n.Fabric.Net.Sent()
	}
	return float64(sum) / float64(len(b.Nodes))
}
