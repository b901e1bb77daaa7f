package node

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkIdle says what a node costs that has nothing to do: forty of them in
// one process.
func BenchmarkIdle(b *testing.B) {
	const nodes = 40
	w := form(b, nodes)
	wait(10 * time.Second) // the overlay comes to rest
	sent := func() (n uint64) {
		for _, h := range w.all {
			n += h.stats.bytesOut.Load()
		}
		return n
	}
	before, bytes := cpu(b), sent()
	began := time.Now()
	for b.Loop() {
		wait(5 * time.Second)
	}
	took := time.Since(began).Seconds()
	b.ReportMetric((cpu(b)-before)/took/nodes*100, "%cpu/node")
	b.ReportMetric(float64(sent()-bytes)/took/nodes, "B/s/node")
	b.ReportMetric(0, "ns/op")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/nodes/1024, "heap-KiB/node")
	b.ReportMetric(float64(m.StackInuse)/nodes/1024, "stack-KiB/node")
	b.ReportMetric(float64(runtime.NumGoroutine())/nodes, "goroutines/node")
}

func wait(d time.Duration) { <-time.After(d) }

// cpu is the processor time of this process, in seconds.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
