package steward_test

import (
	"crypto/ed25519"
	"fmt"
	"runtime"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

// aHundredThousand fills a table as the network would: every row with memory of
// its own, 1,000 nodes with 100 rows each, of 100 APIs.
func aHundredThousand() *steward.Table {
	tab := steward.New(t0)
	for n := range 1000 {
		s := newSpeaker(0)
		s.id = crux.NodeID{byte(n >> 8), byte(n)}
		for i := range 100 {
			r := s.put(crux.Inst(fmt.Sprintf("service-%d-1_%d", i, n%3)), 10000+i, crux.Serving)
			r.Key, r.Signature = make([]byte, ed25519.PublicKeySize), make([]byte, ed25519.SignatureSize)
			tab.Apply(t0, r, 0)
			s.rows[r.RowKey()] = r
		}
		tab.Digest(t0, s.digest(), 0)
	}
	tab.Publish()
	return tab
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAHundredThousandRowsFitIn64MB(t *testing.T) { // not parallel: it measures the heap
	before := heap()
	tab := aHundredThousand()
	used := int64(heap()) - int64(before)
	if tab.Len() != 100_000 {
		t.Fatalf("%d rows", tab.Len())
	}
	t.Logf("100,000 rows: %.1f MB", float64(used)/1e6)
	if used > 64e6 {
		t.Errorf("100,000 rows take %.1f MB, more than 64", float64(used)/1e6)
	}
	runtime.KeepAlive(tab)
}

func BenchmarkFind(b *testing.B) {
	tab := aHundredThousand()
	for name, sel := range map[string]crux.Selector{
		"api":  {Horde: crux.DefaultHorde, API: "service-50-1"},
		"inst": {Horde: crux.DefaultHorde, Inst: "service-50-1_1"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(tab.Find(sel)) == 0 {
					b.Fatal("nothing found")
				}
			}
		})
	}
}

func TestFindAllocatesNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	tab, s := steward.New(t0), newSpeaker(1)
	tab.Apply(t0, s.put("galumph2_3", 1, crux.Serving), 0)
	tab.Publish()
	for _, sel := range []crux.Selector{{Horde: crux.DefaultHorde, API: "galumph2"}, {Horde: crux.DefaultHorde, Inst: "galumph2_3"}} {
		if n := testing.AllocsPerRun(100, func() { tab.Find(sel) }); n != 0 {
			t.Errorf("%v: %v allocations a look-up", sel, n)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	for b.Loop() {
		aHundredThousand()
	}
}
