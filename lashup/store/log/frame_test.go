package log

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/vfs"
)

// FuzzDecodeEntry: what is read as an entry, written again, is read as the same.
func FuzzDecodeEntry(f *testing.F) {
	for _, e := range []Entry{{[]byte("key"), []byte("value")}, {[]byte("key"), nil}, {nil, []byte{}}} {
		f.Add(e.append(nil))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n := parseEntry(b)
		if n == 0 {
			return
		}
		again := e.append(nil)
		if len(again) != e.size() || len(again) > n {
			t.Fatalf("%d bytes of %d were read, %d are written, %d were announced", n, len(b), len(again), e.size())
		}
		e2, n2 := parseEntry(again)
		if n2 != len(again) || !bytes.Equal(e.Key, e2.Key) || !bytes.Equal(e.Value, e2.Value) || (e.Value == nil) != (e2.Value == nil) {
			t.Errorf("%q became %q", e, e2)
		}
	})
}

// FuzzDecodeFrame puts a head with the right checksum before anything.
func FuzzDecodeFrame(f *testing.F) {
	f.Add(endFrame(beginFrame(nil), 0, 1, headerLen, headerLen, kindSeal), uint32(3))
	f.Add(endFrame(append(beginFrame(nil), 1, 2, 'k', 'v'), 0, 1, headerLen, 0, kindBatch), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, k uint32) {
		if len(b) >= frameHead {
			le.PutUint32(b[12:], k)
			le.PutUint32(b, headSum(1, headerLen, b[4:frameHead]))
		}
		m := vfs.NewMem()
		if err := vfs.Replace(m, "f", "temp", append(make([]byte, headerLen), b...)); err != nil {
			t.Fatal(err)
		}
		file, err := m.Open("f")
		if err != nil {
			t.Fatal(err)
		}
		sc := scanner{f: file, salt: 1, off: headerLen, limit: uint32(headerLen + len(b))}
		for {
			f, err := sc.next()
			if err != nil {
				var bad *invalid
				if !errors.Is(err, io.EOF) && !errors.As(err, &bad) {
					t.Error(err)
				}
				return
			}
			if f.end > sc.limit || f.durable > f.off {
				t.Errorf("%+v", f)
			}
			if err := f.entries(func(uint32, int, Entry) error { return nil }); err != nil && err.Error() == "" {
				t.Error("an error without a text")
			}
		}
	})
}

// TestABatchOfNonsenseIsCorrupt writes a batch whose checksum is right and whose
// entries are not.
func TestABatchOfNonsenseIsCorrupt(t *testing.T) {
	m := vfs.NewMem()
	none := func(_, _ []byte) error { return nil }
	l, err := NewReader(m, Options{}).Open(none)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.write(kindBatch, func(b []byte, _ uint32) []byte { return append(b, 200, 200) }); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(m, Options{}).Open(none); crux.KindOf(err) != crux.Corrupt {
		t.Error(err)
	}
}

func TestTooMuchBetweenSyncsIsRefused(t *testing.T) {
	m := vfs.NewMem()
	l, err := NewReader(m, Options{}).Open(func(_, _ []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	end := l.active().end
	l.active().end = maxEnd - 30
	if err := l.Append([]Entry{{Key: []byte("key"), Value: []byte("value")}}); crux.KindOf(err) != crux.Exhausted || len(l.pending) > 0 {
		t.Errorf("%v, %d pending", err, len(l.pending))
	}
	l.active().end = end
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
