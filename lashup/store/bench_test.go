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

// BenchmarkMillionKeys writes 10^6 keys in batches, closes the store and opens it.
func BenchmarkMillionKeys(b *testing.B) {
	const keys, batch = 1_000_000, 500
	fs := benchFolder(b)
	s, err := Open((&net{}).config(1, 1, fs), nil)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
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
