package host

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// How memory is looked after. A start takes startedAfter; after that, what is not
// used is looked for every lookEvery, and given back if giveBackEvery has passed, or,
// of a heap up to smallHeap, if it is more than idleMost. Such a heap is collected for
// it: in a larger one the runtime sees to that well enough.
const (
	startedAfter  = 10 * time.Second
	lookEvery     = 10 * time.Second
	giveBackEvery = time.Minute
	smallHeap     = 32 << 20
	idleMost      = 4 << 20
)

// startPercent is by how much a heap may grow between two collections in a start, in
// percent of it.
const startPercent = 400

// EaseStart has the collector run seldom while a process starts, or until its heap
// is no longer small: a start makes most of the garbage of a quiet process, in a heap
// of a few megabytes, and to collect it takes a tenth of its time. It returns when
// the start is over or ctx ends, and leaves the collector as it was.
func EaseStart(ctx context.Context) {
	before := debug.SetGCPercent(startPercent)
	defer debug.SetGCPercent(before)
	look := time.NewTicker(startedAfter / 5)
	defer look.Stop()
	for end := time.Now().Add(startedAfter); time.Now().Before(end); {
		if m := memory(); m.HeapInuse > smallHeap {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func memory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// keepSmall gives memory back now and then, for as long as the process runs.
func keepSmall() {
	EaseStart(context.Background())
	var given time.Time
	for ; ; time.Sleep(lookEvery) {
		m := memory()
		small := m.HeapInuse <= smallHeap
		if !(small && m.HeapIdle-m.HeapReleased >= idleMost) && time.Since(given) < giveBackEvery {
			continue
		}
		given = time.Now()
		if small {
			debug.FreeOSMemory()
		}
		if err := giveBack(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", BuiltinCommand, err)
			return
		}
	}
}
