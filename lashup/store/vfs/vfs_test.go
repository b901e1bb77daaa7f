package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fulcrum.example/lashup/store/vfs"
)

// each runs a test with both implementations.
func each(t *testing.T, test func(t *testing.T, fsys vfs.FS)) {
	t.Run("os", func(t *testing.T) {
		o, err := vfs.OpenOS(filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		test(t, o)
	})
	t.Run("mem", func(t *testing.T) { test(t, vfs.NewMem()) })
}

func put(t *testing.T, fsys vfs.FS, name, text string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	return f
}

func read(fsys vfs.FS, name string) string {
	b, err := vfs.ReadAll(fsys, name, 1<<20)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestBothImplementationsDoTheSame(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS) {
		f := put(t, fsys, "a", "one")
		if _, err := fsys.Create("a"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("created twice: %v", err)
		}
		if _, err := f.Write([]byte(" two")); err != nil {
			t.Error(err)
		}
		if n, err := f.Size(); n != 7 || err != nil {
			t.Errorf("size %d, %v", n, err)
		}
		b := make([]byte, 5)
		if n, err := f.ReadAt(b, 4); n != 3 || err != io.EOF || string(b[:n]) != "two" {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if err := errors.Join(f.Sync(), fsys.SyncDir(), f.Close()); err != nil {
			t.Error(err)
		}
		if f.Close() == nil || f.Sync() == nil {
			t.Error("a closed file still works")
		}
		if err := put(t, fsys, "b", "other").Close(); err != nil {
			t.Error(err)
		}
		if err := fsys.Rename("a", "b"); err != nil {
			t.Error(err)
		}
		for _, err := range []error{fsys.Rename("a", "c"), fsys.Remove("a")} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nothing is there: %v", err)
			}
		}
		if got := read(fsys, "b"); got != "one two" {
			t.Errorf("b holds %q", got)
		}
		if _, err := vfs.ReadAll(fsys, "b", 6); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("a file of 7 bytes is no more than 6: %v", err)
		}
		if l, err := fsys.List(); err != nil || len(l) != 1 || l[0] != (vfs.Info{Name: "b", Size: 7}) {
			t.Errorf("%v, %v", l, err)
		}
		r, err := fsys.Open("b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write([]byte("x")); err == nil {
			t.Error("a file that is open for reading was written")
		}
		if err := fsys.Remove("b"); err != nil {
			t.Error(err)
		}
		if n, err := r.ReadAt(b, 0); n != 5 || err != nil {
			t.Errorf("an open file that was removed: %d, %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOneHolderOfALock(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS) {
		l, err := fsys.Lock("lock", "first, process 17")
		if err != nil {
			t.Fatal(err)
		}
		_, err = fsys.Lock("lock", "second")
		var locked *vfs.Locked
		if !errors.As(err, &locked) || locked.Holder != "first, process 17" || !errors.Is(err, fs.ErrExist) {
			t.Errorf("locked twice: %v", err)
		}
		if !strings.Contains(err.Error(), "lock is locked by first") {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		l, err = fsys.Lock("lock", "third")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestReplaceIsWholeOrNot(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS) {
		for _, text := range []string{"one", "two"} {
			if err := put(t, fsys, "temp", "left over").Close(); err != nil {
				t.Fatal(err)
			}
			if err := vfs.Replace(fsys, "f", "temp", []byte(text)); err != nil || read(fsys, "f") != text {
				t.Errorf("%q, %v", read(fsys, "f"), err)
			}
			if l, err := fsys.List(); len(l) != 1 {
				t.Errorf("%v, %v", l, err)
			}
		}
	})
}

func TestReplaceUnderEveryFault(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, cause := range []error{syscall.EIO, vfs.ErrKilled} {
		for _, fate := range []vfs.Fate{vfs.Kept, vfs.Dropped, vfs.Torn, vfs.Mixed} {
			for n := 1; ; n++ {
				m := vfs.NewMem()
				if err := vfs.Replace(m, "f", "temp", []byte("old")); err != nil {
					t.Fatal(err)
				}
				m.Break(vfs.FailAt(n, cause))
				err := vfs.Replace(m, "f", "temp", []byte("new and longer"))
				if err != nil && !errors.Is(err, cause) {
					t.Fatalf("call %d: %v", n, err)
				}
				got := read(m.Crash(fate, rnd), "f")
				if got != "new and longer" && (err == nil || got != "old") {
					t.Errorf("call %d, %v: %v; after the crash there is %q", n, fate, err, got)
				}
				if err == nil {
					break
				}
			}
		}
	}
}

func TestNamesOutsideAreRefused(t *testing.T) {
	dir := t.TempDir()
	o, err := vfs.OpenOS(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "outside"), o.Path("link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../outside", "", ".", "..", "a/b", "link"} {
		if _, err := o.Open(name); err == nil {
			t.Errorf("%q was opened", name)
		}
		if name == "link" {
			continue
		}
		_, lerr := o.Lock(name, "me")
		for _, err := range []error{o.Remove(name), o.Rename(name, "x"), o.Rename("x", name), lerr} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	if _, err := vfs.OpenOS(filepath.Join(dir, "none", "s")); err == nil {
		t.Error("a folder was made in no folder")
	}
}

func TestWhatWasNotSyncedIsLost(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	m := vfs.NewMem()
	f := put(t, m, "f", "synced")
	if err := errors.Join(f.Sync(), m.SyncDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(" and not")); err != nil {
		t.Fatal(err)
	}
	g := put(t, m, "g", "no name")
	if err := g.Sync(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 200 {
		for _, fate := range []vfs.Fate{vfs.Kept, vfs.Dropped, vfs.Torn, vfs.Mixed} {
			c := m.Clone().Crash(fate, rnd)
			text := read(c, "f")
			if !strings.HasPrefix(text, "synced") || len(text) > 14 {
				t.Fatalf("a synced file is %q", text)
			}
			seen[fmt.Sprint(fate, " ", len(text), strings.HasSuffix(text, "not"))] = true
			l, err := c.List()
			if err != nil {
				t.Fatal(err)
			}
			seen[fmt.Sprint(fate, " files ", len(l))] = true
		}
	}
	for _, want := range []string{"0 14 true", "0 files 2", "1 6 false", "1 files 1", "2 14 true", "2 14 false", "2 9 false",
		"2 files 1", "2 files 2", "3 14 true", "3 14 false", "3 11 false", "3 files 1", "3 files 2"} {
		if !seen[want] {
			t.Errorf("never seen: %s", want)
		}
	}
	if _, err := f.Write([]byte("x")); err != nil {
		t.Errorf("the original of a clone is dead: %v", err)
	}
	m.Crash(vfs.Kept, rnd)
	if _, err := f.Write([]byte("x")); !errors.Is(err, vfs.ErrKilled) {
		t.Errorf("after the crash: %v", err)
	}
}

func TestAFailedSyncLosesTheBytes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	m := vfs.NewMem()
	f := put(t, m, "f", "one ")
	if err := errors.Join(f.Sync(), m.SyncDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("two ")); err != nil {
		t.Fatal(err)
	}
	m.Break(vfs.FailAt(1, syscall.EIO))
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if got := read(m, "f"); got != "one two " {
		t.Errorf("before the crash %q", got)
	}
	if got := read(m.Clone().Crash(vfs.Dropped, rnd), "f"); got != "one " {
		t.Errorf("after a crash %q", got)
	}
	if _, err := f.Write([]byte("three")); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := read(m.Crash(vfs.Dropped, rnd), "f"); got != "one \x00\x00\x00\x00three" {
		t.Errorf("after another sync and a crash %q", got)
	}
}

func TestTheDiskIsFull(t *testing.T) {
	m := vfs.NewMem()
	f := put(t, m, "f", "1234567890")
	m.Limit(5)
	n, err := f.Write([]byte("abcdefgh"))
	if n != 5 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d, %v", n, err)
	}
	if err := m.Remove("f"); err != nil {
		t.Error(err)
	}
	if err := put(t, m, "g", strings.Repeat("x", 15)).Sync(); err != nil {
		t.Errorf("there is room for 15 bytes: %v", err)
	}
	m.Break(vfs.FailFrom(1, syscall.ENOSPC))
	if _, err := m.Create("h"); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := m.SyncDir(); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := m.Remove("g"); err != nil {
		t.Error(err)
	}
	if m.Calls() != 3 {
		t.Errorf("%d calls", m.Calls())
	}
}

func TestADiskRots(t *testing.T) {
	m := vfs.NewMem()
	put(t, m, "f", "abc")
	if err := errors.Join(m.Corrupt("f", 8), m.Truncate("f", 2)); err != nil {
		t.Error(err)
	}
	if got, err := vfs.ReadAll(m, "f", 9); !bytes.Equal(got, []byte("ac")) {
		t.Errorf("%q, %v", got, err)
	}
	if m.Corrupt("f", 99) == nil || m.Corrupt("g", 0) == nil || m.Truncate("f", 3) == nil {
		t.Error("what is not there was spoiled")
	}
}
