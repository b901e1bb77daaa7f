package store

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/vfs"
)

func benchFolder(b *testing.B) *vfs.OS {
	fs, err := vfs.OpenOS(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := fs.Close(); err != nil {
			b.Error(err)
		}
	})
	return fs
}

// BenchmarkAcknowledgedWrites has so many callers write one key each, over and over:
// each write is acknowledged when the machine's disk has it.
func BenchmarkAcknowledgedWrites(b *testing.B) {
	for _, callers := range []int{1, 64, 1024, 8192} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			s, err := Open((&net{}).config(1, 1, benchFolder(b)), nil)
			if err != nil {
				b.Fatal(err)
			}
			var n atomic.Int64
			var group sync.WaitGroup
			b.ResetTimer()
			began := time.Now()
			for i := range callers {
				group.Go(func() {
					for n.Add(1) <= int64(b.N) {
						if _, err := s.Write(context.Background(), put(fmt.Sprint("key ", i), "a value of some thirty bytes..")); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "writes/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// fillKeys writes keys from the first on in batches of 500.
func fillKeys(b *testing.B, s *Store, keys int) {
	b.Helper()
	const batch = 500
	var group sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		group.Go(func() {
			for {
				at := int(next.Add(batch)) - batch
				if at >= keys {
					return
				}
				list := make([]replica.Write, batch)
				for i := range list {
					list[i] = replica.Write{Key: []string{"services", fmt.Sprintf("key-%07d", at+i)}, Op: crdt.Assign(crdt.LastWriter, "a value of some thirty bytes..")}
				}
				if _, err := s.Write(context.Background(), list); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkHandover is for how long nobody takes writes while a store passes to its
// successor, which has read ahead.
func BenchmarkHandover(b *testing.B) {
	for _, keys := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			if keys > 100_000 && testing.Short() {
				b.Skip("large")
			}
			n, fs := &net{}, benchFolder(b)
			s, err := Open(n.config(1, 1, fs), nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Members(b.Context(), []replica.Member{{ID: nodeID(1), Standing: replica.Stable}}); err != nil {
				b.Fatal(err)
			}
			fillKeys(b, s, keys)
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				next, err := Prepare(n.config(1, 1, fs))
				if err != nil {
					b.Fatal(err)
				}
				for range 2 {
					if _, err := next.Follow(); err != nil {
						b.Fatal(err)
					}
				}
				fillKeys(b, s, 500)
				b.StartTimer()
				state, err := s.Freeze(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if s, err = next.Open(state); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			st, err := s.Stats(b.Context())
			if err != nil || st.Keys != keys {
				b.Fatal(st.Keys, err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkMillionKeys writes 10^6 keys in batches, closes the store and opens it.
func BenchmarkMillionKeys(b *testing.B) {
	const keys = 1_000_000
	fs := benchFolder(b)
	s, err := Open((&net{}).config(1, 1, fs), nil)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	fillKeys(b, s, keys)
	b.ReportMetric(keys/time.Since(began).Seconds(), "writes/s")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	s = nil
	before := heap()
	inc := uint64(1)
	b.ResetTimer()
	for range b.N {
		inc++
		s, err := Open((&net{}).config(1, inc, fs), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		st, err := s.Stats(context.Background())
		if err != nil || st.Keys != keys {
			b.Fatal(st.Keys, err)
		}
		b.ReportMetric(float64(heap()-before)/keys, "B/key")
		b.ReportMetric(float64(st.Log.Bytes)/keys, "disk-B/key")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
