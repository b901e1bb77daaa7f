package pastiche

import "testing"

// BenchmarkHundredMiBToTwentyNodes reports how many copies the artifact store
// sent, beside the time until all of twenty nodes on this machine have an
// artifact that only the store had.
func BenchmarkHundredMiBToTwentyNodes(b *testing.B) {
	bl := newBloc(b, 20, func(_ int, c *Config) { c.MaxBytes = 150 << 20 }, nil)
	b.SetBytes(20 * 100 << 20)
	for b.Loop() {
		b.StopTimer()
		data, sum := bl.stored(100 << 20)
		before := bl.origin.bytes.Load()
		b.StartTimer()
		noErrors(b, fetchAll(b.Context(), bl.nodes, sum))
		b.StopTimer()
		b.ReportMetric(float64(bl.origin.bytes.Load()-before)/float64(len(data)), "copies/op")
		for _, n := range bl.nodes {
			if err := n.store.Remove(sum); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}
