package log_test

import (
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

// segment gives the bytes of a small log's first segment.
func segment(tb testing.TB) []byte {
	tb.Helper()
	m := vfs.NewMem()
	l, _ := mustOpen(tb, m, log.Options{})
	for _, batch := range [][]log.Entry{{entry("a", "1"), removal("b")}, {entry("c", "a longer value")}, {removal("a")}} {
		if err := write(l, batch...); err != nil {
			tb.Fatal(err)
		}
	}
	mustClose(tb, l)
	b, err := vfs.ReadAll(m, "00000001.log", 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// FuzzOpen opens logs whose files hold anything: the error is one of those promised,
// and with repair the log is usable.
func FuzzOpen(f *testing.F) {
	seg := segment(f)
	f.Add(seg, []byte{}, uint16(0), byte(0))
	f.Add(seg, seg, uint16(50), byte(1))
	f.Add(seg[:len(seg)-5], []byte("lashlog1"), uint16(70), byte(255))
	f.Add([]byte{}, []byte{}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, one, two []byte, at uint16, mask byte) {
		if len(one) > 0 {
			one = append([]byte(nil), one...)
			one[int(at)%len(one)] ^= mask
		}
		m := vfs.NewMem()
		for name, b := range map[string][]byte{"00000001.log": one, "00000002.log": two} {
			if len(b) == 0 {
				continue
			}
			if err := vfs.Replace(m, name, "temp", b); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := open(m.Clone(), log.Options{}); err != nil && crux.KindOf(err) != crux.Corrupt {
			t.Errorf("%v", err)
		}
		l, c, err := open(m, log.Options{Repair: true})
		if err != nil {
			t.Fatalf("with repair: %v", err)
		}
		if err := write(l, entry("new", "value")); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		l, again := mustOpen(t, m, log.Options{Repair: true})
		if len(again) != len(c.with([]log.Entry{entry("new", "value")})) {
			t.Errorf("%d keys, then %d", len(c), len(again))
		}
		mustClose(t, l)
	})
}
