package sim

import (
	"testing"
	"time"
)

// BenchmarkThousandNodesAtRest reports how many times faster than real time a
// formed bloc of 1,000 nodes runs.
func BenchmarkThousandNodesAtRest(b *testing.B) {
	w := NewWorld(Setting{Nodes: 1000, Seed: 1, Loss: figureLoss, Delay: figureDelay})
	w.Form()
	w.Net.RunUntil(5 * time.Second)
	b.ResetTimer()
	for range b.N { // one virtual second each
		w.Net.RunUntil(w.Net.Now() + time.Second)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
	b.ReportMetric(0, "ns/op")
}
