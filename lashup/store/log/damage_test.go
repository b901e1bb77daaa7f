package log_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

// written is a log that was closed, and every value that each key ever had.
func written(t testing.TB, seed uint64) (m *vfs.Mem, last content, ever map[string]bool) {
	t.Helper()
	var h history
	m = vfs.NewMem()
	if err := h.work(m, rand.New(rand.NewPCG(seed, 5)), 60); err != nil {
		t.Fatal(err)
	}
	ever = map[string]bool{}
	for _, b := range h.batches {
		for _, e := range b {
			ever[string(e.Key)+"\x00"+string(e.Value)] = true
		}
	}
	return m, h.states[len(h.states)-1], ever
}

// genuine checks that nothing is in c that was never written.
func genuine(t testing.TB, c content, ever map[string]bool) {
	t.Helper()
	for k, v := range c {
		if !ever[k+"\x00"+v] {
			t.Errorf("%q has the value %q, which nobody wrote", k, v)
		}
	}
}

// spoilt opens a log that somebody has damaged: without repair it must be whole or
// refused, with repair everything that is served must be genuine, the log must be
// usable, and once cleaned it must be without fault.
func spoilt(t testing.TB, m *vfs.Mem, whole content, ever map[string]bool, what string) (refused bool) {
	t.Helper()
	_, c, err := open(m.Clone(), small(log.Options{}))
	switch {
	case err == nil && !maps.Equal(c, whole):
		t.Errorf("%s: %d of %d keys are served as if nothing had happened", what, len(c), len(whole))
	case err != nil && (crux.KindOf(err) != crux.Corrupt || !strings.Contains(err.Error(), ".log, byte ")):
		t.Errorf("%s: %v", what, err)
	}
	refused = err != nil
	l, c, err := open(m, small(log.Options{Repair: true}))
	if err != nil {
		t.Fatalf("%s: with repair: %v", what, err)
	}
	if refused != (len(l.Damage()) > 0) {
		t.Errorf("%s: refused: %v, damage: %v", what, refused, l.Damage())
	}
	genuine(t, c, ever)
	for l.CleanWanted() {
		if err := errors.Join(l.Clean(1000), l.Sync()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	c = c.with([]log.Entry{entry("new", "value")})
	if err := write(l, entry("new", "value")); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	mustClose(t, l)
	l, again, err := open(m, small(log.Options{}))
	if err != nil || !maps.Equal(again, c) {
		t.Fatalf("%s: after the repair there are %d keys of %d, %v", what, len(again), len(c), err)
	}
	mustClose(t, l)
	return refused
}

// TestEveryFlippedBitIsNoticed flips bits all over a closed log.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	m, whole, ever := written(t, 4)
	list, err := m.List()
	if err != nil {
		t.Fatal(err)
	}
	step := int64(11)
	if testing.Short() {
		step = 211
	}
	flips, refused := 0, 0
	for _, info := range list {
		for bit := int64(0); bit < info.Size*8; bit += step {
			c := m.Clone()
			if err := c.Corrupt(info.Name, bit); err != nil {
				t.Fatal(err)
			}
			flips++
			if spoilt(t, c, whole, ever, fmt.Sprintf("bit %d of %s", bit, info.Name)) {
				refused++
			}
		}
	}
	t.Logf("%d of %d flips were errors; the others were where nothing is", refused, flips)
	if refused < flips*3/4 {
		t.Errorf("%d of %d flips were errors", refused, flips)
	}
}

// TestCutAndMissingFilesAreNoticed cuts every file of a closed log at many lengths
// and takes it away.
func TestCutAndMissingFilesAreNoticed(t *testing.T) {
	m, whole, ever := written(t, 2)
	list, err := m.List()
	if err != nil {
		t.Fatal(err)
	}
	for i, info := range list {
		for size := int64(0); size < info.Size; size += 97 {
			c := m.Clone()
			if err := c.Truncate(info.Name, size); err != nil {
				t.Fatal(err)
			}
			if i == len(list)-1 {
				continue // what is cut off the last file may be a crash's doing
			}
			spoilt(t, c, whole, ever, fmt.Sprintf("%s cut at %d", info.Name, size))
		}
		c := m.Clone()
		if err := c.Remove(info.Name); err != nil {
			t.Fatal(err)
		}
		if i > 0 && i < len(list)-1 && !spoilt(t, c, whole, ever, info.Name+" missing") {
			t.Errorf("nobody misses %s", info.Name)
		}
	}
}

// TestWhatACrashToreIsNoDamage: a hole in the tail with something valid behind it is
// damage only if it was synced.
func TestWhatACrashToreIsNoDamage(t *testing.T) {
	for _, synced := range []bool{false, true} {
		m := vfs.NewMem()
		l, _ := mustOpen(t, m, log.Options{})
		if err := write(l, entry("a", "1")); err != nil {
			t.Fatal(err)
		}
		before := l.Stats().Bytes
		for _, e := range []log.Entry{entry("b", "2"), entry("c", "3"), entry("d", "4")} {
			if err := l.Append([]log.Entry{e}); err != nil {
				t.Fatal(err)
			}
			if synced {
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		m = m.Crash(vfs.Kept, nil)
		if err := m.Corrupt("00000001.log", (before+20)*8); err != nil {
			t.Fatal(err)
		}
		l, c, err := open(m, log.Options{})
		if synced {
			if crux.KindOf(err) != crux.Corrupt || !strings.Contains(err.Error(), fmt.Sprintf("00000001.log, byte %d", before)) {
				t.Errorf("synced: %v, %v", c, err)
			}
			continue
		}
		if err != nil || !maps.Equal(c, content{"a": "1"}) {
			t.Errorf("not synced: %v, %v", c, err)
		}
		mustClose(t, l)
	}
}

// TestADiskRotsWhileTheLogIsInUse: what Clean finds unreadable is reported and given
// up, the damaged file goes out of use, and nothing else is harmed.
func TestADiskRotsWhileTheLogIsInUse(t *testing.T) {
	var warned []string
	o := small(log.Options{Warn: func(err error) { warned = append(warned, err.Error()) }})
	m := vfs.NewMem()
	l, _ := mustOpen(t, m, o)
	want := content{}
	for n := range 40 {
		e := entry(fmt.Sprint("key", n), strings.Repeat("v", 100))
		want = want.with([]log.Entry{e})
		if err := write(l, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Corrupt("00000001.log", 8*300); err != nil {
		t.Fatal(err)
	}
	for round := range 2000 { // one key changes all the time, so there is much to clean
		for l.CleanWanted() {
			if err := errors.Join(l.Clean(300), l.Sync()); err != nil {
				t.Fatal(err)
			}
		}
		e := entry("hot", fmt.Sprint(round))
		want = want.with([]log.Entry{e})
		if err := write(l, e); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, "key2") // it was at byte 300
	if l.Stats().Lost != 1 || len(l.Damage()) != 1 || len(warned) != 2 || !strings.Contains(warned[1], "1 keys of mem:/00000001.log are not on disk any more") {
		t.Errorf("%+v, damage %v, warned of %q", l.Stats(), l.Damage(), warned)
	}
	mustClose(t, l)
	if _, err := m.Open("damaged-00000001.log"); err != nil {
		t.Errorf("the damaged file is not kept: %v", err)
	}
	if _, c := mustOpen(t, m, small(log.Options{})); !maps.Equal(c, want) {
		t.Errorf("%d keys are left of %d", len(c), len(want))
	}
}

// TestFewDamagedFilesAreKept damages every segment.
func TestFewDamagedFilesAreKept(t *testing.T) {
	m, _, ever := written(t, 3)
	list, err := m.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		if err := m.Corrupt(info.Name, info.Size*4); err != nil {
			t.Fatal(err)
		}
	}
	spoilt(t, m, content{"not": "whole"}, ever, "all")
	if list, err = m.List(); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, info := range list {
		if strings.HasPrefix(info.Name, "damaged-") {
			kept++
		}
	}
	if kept == 0 || kept > 4 {
		t.Errorf("%d damaged files are kept: %v", kept, list)
	}
}

func TestAFileOutOfPlaceIsNamed(t *testing.T) {
	for _, repair := range []bool{false, true} {
		m, _, _ := written(t, 1)
		list, err := m.List()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Rename(list[len(list)-1].Name, "fffffff0.log"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := open(m, log.Options{Repair: repair}); crux.KindOf(err) != crux.Corrupt || !strings.Contains(err.Error(), "fffffff0.log is out of place") {
			t.Error(err)
		}
	}
}
