package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"fulcrum.example/crux"
	pb "fulcrum.example/protos/galumph"
)

// report is one line of output. Counts are totals since the start.
type report struct {
	Seconds   float64          `json:"s"` // since the start
	Final     bool             `json:"final"`
	Calls     int64            `json:"calls"`
	Failed    int64            `json:"failed"`
	ByInst    map[string]int64 `json:"by_inst"`
	ByNode    map[string]int64 `json:"by_node"`
	Register  method           `json:"register"`
	Table     method           `json:"table"`
	LastInst  string           `json:"last_inst"`            // which version answered last
	SlowestMS float64          `json:"slowest_ms"`           // the slowest call so far
	LastError string           `json:"last_error,omitempty"` // of the last call that failed
}

// method counts the calls of one method.
type method struct {
	Calls  int64 `json:"calls"`
	Failed int64 `json:"failed"`
	// Lost are those of Failed that were in flight to a process that died: kind
	// unavailable.
	Lost int64 `json:"lost"`
}

// counter counts calls. It is safe for any goroutine.
type counter struct {
	start time.Time
	mu    sync.Mutex
	r     report
}

func newCounter() *counter {
	return &counter{start: time.Now(), r: report{ByInst: map[string]int64{}, ByNode: map[string]int64{}}}
}

func (k *counter) report(final bool) report {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.r
	r.ByInst, r.ByNode = maps.Clone(r.ByInst), maps.Clone(r.ByNode)
	r.Final, r.Seconds = final, time.Since(k.start).Seconds()
	return r
}

// answer is what the replies of both methods have in common.
type answer interface {
	GetInst() string
	GetNode() string
}

// call keeps c.workers calling until ctx ends. Calls under way then are
// finished, so that none is counted as failed because the client ended.
func (k *counter) call(ctx context.Context, g pb.GalumphClient, c config) {
	var work sync.WaitGroup
	for w := range c.workers {
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				k.one(context.WithoutCancel(ctx), g, c, c.registerEvery > 0 && (w+i)%c.registerEvery == 0, fmt.Sprintf("worker-%d-%d", w, i))
				rest(ctx, c.pause)
			}
		})
	}
	work.Wait()
}

// one makes one call and counts it.
func (k *counter) one(ctx context.Context, g pb.GalumphClient, c config, register bool, name string) {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	start := time.Now()
	var a answer
	var err error
	if register {
		a, err = g.Register(ctx, &pb.GalumphInstance{Name: name, Place: c.caller})
	} else {
		a, err = g.Table(ctx, &pb.TableReq{Limit: 3})
	}
	took := time.Since(start)

	k.mu.Lock()
	defer k.mu.Unlock()
	m := &k.r.Table
	if register {
		m = &k.r.Register
	}
	k.r.SlowestMS = max(k.r.SlowestMS, took.Seconds()*1000)
	k.r.Calls++
	m.Calls++
	if err != nil {
		k.r.Failed++
		m.Failed++
		if crux.KindOf(err) == crux.Unavailable {
			m.Lost++
		}
		k.r.LastError = err.Error()
		return
	}
	k.r.ByInst[a.GetInst()]++
	k.r.ByNode[a.GetNode()]++
	k.r.LastInst = a.GetInst()
}

// rest waits for d, or less if ctx ends.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
