package route

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// BenchmarkDeath is a death as 10,000 tables of one process see it: six
// neighbours drop the node, in an order that differs from table to table.
func BenchmarkDeath(b *testing.B) {
	const n = 10000
	g := randomGraph(rand.New(rand.NewPCG(1, 1)), n, 6)
	first := fill(New(node(0), NewIndex(), NewCache(DefaultCache)), g)
	first.Settle(0)
	first.Settle(time.Second)
	tables := make([]*Table, n)
	tables[0] = first
	for i := 1; i < n; i++ {
		tables[i] = first.Clone(node(i))
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := rand.New(rand.NewPCG(2, 2))
	now, victim := time.Minute, 1
	for b.Loop() {
		var news []*Adjacency
		for e := range g.edges[victim] {
			delete(g.edges[e], victim)
			a := g.next(e)
			a.Cuts = []Cut{{node(victim), Dead}}
			news = append(news, sign(a))
		}
		for i, t := range tables {
			if 0 < i && i <= victim { // it is dead
				continue
			}
			for _, k := range r.Perm(len(news)) {
				if _, err := t.Update(news[k]); err != nil {
					b.Fatal(err)
				}
				t.Settle(now)
			}
			if s, _ := t.State(node(victim)); s != Down {
				b.Fatalf("%d is %v for %d", victim, s, i)
			}
			t.Settle(now + time.Second)
		}
		victim++
		now += time.Minute
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc))/n, "heap-B/table")
	runtime.KeepAlive(tables)
}
