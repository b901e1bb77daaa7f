package main

import (
	"context"
	"runtime"
	"syscall"
	"time"

	"fulcrum.example/bench/report"
)

// inTurns measures ours and the peer's; which comes first changes with the
// round.
func inTurns(round int, ours, peer func() error) error {
	first, second := ours, peer
	if round%2 == 1 {
		first, second = peer, ours
	}
	if err := first(); err != nil {
		return err
	}
	runtime.GC()
	return second()
}

// reach is a condition on n nodes, waited for from start on.
type reach struct {
	start time.Time
	limit time.Duration
	every time.Duration // between looks
	n     int
	ok    func(i int) bool
}

// wait gives the seconds from start until nine in ten of the nodes met the
// condition, and until all did at once. What has not come by the limit is a
// sample that says so; the only error is that of ctx.
func (r reach) wait(ctx context.Context) (most, all report.Sample, err error) {
	most = report.Sample{Value: r.limit.Seconds(), Over: true}
	all = most
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		met := 0
		for i := range r.n {
			if r.ok(i) {
				met++
			}
		}
		took := time.Since(r.start)
		now := report.Sample{Value: took.Seconds()}
		if most.Over && 10*met >= 9*r.n {
			most = now
		}
		if met == r.n {
			return most, now, nil
		}
		if took > r.limit {
			return most, all, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return most, all, context.Cause(ctx)
		}
	}
}

// pause lets so much time go by.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cpuSeconds is the processor time that this process has used.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot be: both arguments are right
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// allocations is how many objects this process has allocated.
func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func seconds(d time.Duration) report.Sample { return report.Sample{Value: d.Seconds()} }

// scale changes the unit of a sample.
func scale(s report.Sample, by float64) report.Sample {
	s.Value *= by
	return s
}
