package codec

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"fulcrum.example/crux"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	ids := []crux.NodeID{{1}, {2, 3}}
	b := AppendFlag(AppendFlag([]byte{7}, true), false)
	b = binary.BigEndian.AppendUint32(b, 1<<31)
	b = binary.BigEndian.AppendUint64(b, 1<<63)
	b = binary.AppendUvarint(binary.AppendUvarint(b, 300), 1<<32-1)
	b = AppendNodes(binary.AppendUvarint(b, 2), ids)
	b = append(b, "rest"...)
	r := NewReader(b)
	if r.Byte() != 7 || !r.Flag() || r.Flag() || r.Uint32() != 1<<31 || r.Uint64() != 1<<63 || r.Uvarint() != 300 || r.Uvarint32() != 1<<32-1 {
		t.Error("numbers differ")
	}
	if got := r.Nodes(r.Count(2, 8)); !slices.Equal(got, ids) {
		t.Errorf("%v", got)
	}
	if r.Done() || r.Len() != 4 {
		t.Errorf("%d bytes are left", r.Len())
	}
	if got := r.Take(4); string(got) != "rest" || !r.Done() || cap(got) != 4 {
		t.Errorf("%q, done: %v", got, r.Done())
	}
}

func TestFaultsAreKept(t *testing.T) {
	wide := bytes.Repeat([]byte{0xff}, 10)
	for name, c := range map[string]struct {
		b    []byte
		read func(*Reader)
	}{
		"short bytes":           {[]byte{1, 2}, func(r *Reader) { r.Take(3) }},
		"short number":          {[]byte{1, 2, 3}, func(r *Reader) { r.Uint32() }},
		"short long number":     {[]byte{1, 2, 3}, func(r *Reader) { r.Uint64() }},
		"not a flag":            {[]byte{2}, func(r *Reader) { r.Flag() }},
		"too much":              {[]byte{9}, func(r *Reader) { r.UpTo(8) }},
		"short varint":          {[]byte{0x80}, func(r *Reader) { r.Uvarint() }},
		"long form":             {[]byte{0x80, 0}, func(r *Reader) { r.Uvarint() }},
		"too large a varint":    {append(wide, 1), func(r *Reader) { r.Uvarint() }},
		"not of 32 bits":        {binary.AppendUvarint(nil, 1<<32), func(r *Reader) { r.Uvarint32() }},
		"a long list":           {append([]byte{3}, make([]byte, 24)...), func(r *Reader) { r.Count(2, 8) }},
		"a list of nothing":     {append([]byte{3}, make([]byte, 23)...), func(r *Reader) { r.Count(9, 8) }},
		"half a node":           {make([]byte, 7), func(r *Reader) { r.Node() }},
		"nodes that are absent": {make([]byte, 15), func(r *Reader) { r.Nodes(2) }},
		"a check":               {nil, func(r *Reader) { r.Check(false) }},
	} {
		r := NewReader(append(slices.Clone(c.b), 0, 0)[:len(c.b)])
		c.read(&r)
		if !r.Bad() || r.Done() {
			t.Errorf("%s: it is no fault", name)
		}
		if r.Check(true); r.Byte() != 0 || r.Uvarint() != 0 || r.Uvarint32() != 0 || r.Count(9, 1) != 0 || r.Nodes(1) != nil || !r.Node().IsZero() || !r.Bad() {
			t.Errorf("%s: more is read after it", name)
		}
	}
}

func TestUvarintSize(t *testing.T) {
	for k := range 64 {
		for _, x := range []uint64{1<<k - 1, 1 << k} {
			if got, want := UvarintSize(x), len(binary.AppendUvarint(nil, x)); got != want {
				t.Errorf("%d: %d, not %d", x, got, want)
			}
		}
	}
}

// Every number has one form: what is read is written the same.
func FuzzUvarint(f *testing.F) {
	f.Add([]byte{0x80, 1})
	f.Add([]byte{0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		x := r.Uvarint()
		if n := len(b) - r.Len(); !r.Bad() && !bytes.Equal(binary.AppendUvarint(nil, x), b[:n]) {
			t.Fatalf("% x is read as %d", b[:n], x)
		}
	})
}
