package crdt

import (
	"fmt"
	"runtime"
	"testing"
)

// bigSet is a set of n elements by a few writers, and the next of them.
func bigSet(b testing.TB, t Type, n int) (*State, *writer) {
	s := &State{}
	var ws []*writer
	for i := range 4 {
		ws = append(ws, newWriter(b, byte(i+1)))
	}
	const step = 100
	for i := 0; i < n; i += step {
		var list []string
		for k := range min(step, n-i) {
			list = append(list, fmt.Sprintf("10.%d.%d.%d:8080", i/step/256, i/step%256, k))
		}
		ws[i/step%4].do(s, Add(t, list...))
	}
	return s, ws[0]
}

// An element comes and goes in a set of some size: two joins. It should cost the
// same in all.
func BenchmarkJoinIntoSet(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, w := bigSet(b, AddWinsSet, n)
			at := s.Clone()
			var deltas []*State
			for i := range 512 {
				x := fmt.Sprint("element ", i)
				deltas = append(deltas, w.do(at, Add(AddWinsSet, x)), w.do(at, Remove(AddWinsSet, x)))
			}
			s.Join(deltas[0])
			s.Join(deltas[1]) // makes the index
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				s.Join(deltas[2*i%len(deltas)])
				s.Join(deltas[(2*i+1)%len(deltas)])
			}
		})
	}
}

// The same by operations.
func BenchmarkApplyToSet(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, w := bigSet(b, AddWinsSet, n)
			b.ReportAllocs()
			for b.Loop() {
				w.do(s, Add(AddWinsSet, "x"))
				w.do(s, Remove(AddWinsSet, "x"))
			}
		})
	}
}

// A counter that a thousand nodes have incremented.
func BenchmarkSharedCounter(b *testing.B) {
	s := &State{}
	for i := range 1000 {
		w := newWriter(b, 0)
		w.Node = [8]byte{byte(i), byte(i >> 8), 1}
		w.do(s, Incr(1))
	}
	w := newWriter(b, 9)
	b.Run("apply", func(b *testing.B) {
		for b.Loop() {
			w.do(s, Incr(1))
		}
	})
	d := w.do(s, Incr(1))
	b.Run("join", func(b *testing.B) {
		for b.Loop() {
			s.Join(d)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	s, _ := bigSet(b, AddWinsSet, 10_000)
	buf := s.Append(nil)
	b.Run("append", func(b *testing.B) {
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			buf = s.Append(buf[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode-register", func(b *testing.B) {
		key := smallKey(b, Assign(LastWriter, value))(1).Append(nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
			s.Size()
		}
	})
}

// weigh says how many bytes of heap each of n things takes that make gives.
func weigh[T any](n int, each func(i int) T) float64 {
	keep := make([]T, n)
	var a, b runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&a)
	for i := range keep {
		keep[i] = each(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&b)
	runtime.KeepAlive(keep)
	return (float64(b.HeapAlloc) - float64(a.HeapAlloc)) / float64(n)
}

// value is 16 bytes, which a key's figures include.
const value = "sixteen bytes .."

func smallKey(t testing.TB, op Op) func(int) *State {
	return func(i int) *State {
		w := newWriter(t, byte(i))
		w.seq = uint64(i)
		s := &State{}
		s.Join(w.do(&State{}, op))
		return s
	}
}

// A million small keys are to fit into one process.
func TestSmallKeysAreSmall(t *testing.T) {
	for name, op := range map[string]Op{
		"counter": Incr(1), "register": Assign(LastWriter, value), "flag": Enable(EnableWinsFlag),
	} {
		if got := weigh(20_000, smallKey(t, op)); got > 150+16 {
			t.Errorf("a key with a %s takes %.0f bytes", name, got)
		}
	}
}

// Bytes of memory of a small key, of an element of a large set and of a field of
// a large map.
func BenchmarkMemory(b *testing.B) {
	for name, f := range map[string]func() float64{
		"key-counter":  func() float64 { return weigh(100_000, smallKey(b, Incr(1))) },
		"key-register": func() float64 { return weigh(100_000, smallKey(b, Assign(LastWriter, value))) },
		"key-flag":     func() float64 { return weigh(100_000, smallKey(b, Enable(EnableWinsFlag))) },
		"key-set-of-one": func() float64 {
			return weigh(100_000, smallKey(b, Add(AddWinsSet, "x")))
		},
		"set-element": func() float64 {
			return weigh(4, func(int) *State { s, _ := bigSet(b, AddWinsSet, 50_000); return s }) / 50_000
		},
		"remove-wins-element": func() float64 {
			return weigh(4, func(int) *State { s, _ := bigSet(b, RemoveWinsSet, 50_000); return s }) / 50_000
		},
		"set-element-with-index": func() float64 {
			return weigh(4, func(int) *State {
				s, w := bigSet(b, AddWinsSet, 50_000)
				w.do(s, Remove(AddWinsSet, "10.0.0.1:8080"))
				return s
			}) / 50_000
		},
		"map-field-register": func() float64 {
			return weigh(4, func(int) *State {
				w, s := newWriter(b, 1), &State{}
				for i := range 10_000 {
					w.do(s, Update(Field(fmt.Sprint("field ", i), Assign(LastWriter, value))))
				}
				return s
			}) / 10_000
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(f(), "B/each")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
