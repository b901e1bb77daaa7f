package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

// folder is one on the disk.
func folder(t *testing.T) *vfs.OS {
	t.Helper()
	fs, err := vfs.OpenOS(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return fs
}

func TestTwoProcessesNeverHaveOneFolder(t *testing.T) {
	fs := folder(t)
	n := &net{}
	s := n.open(t, 1, 1, fs)
	_, err := Open(n.config(1, 2, fs), nil)
	if crux.KindOf(err) != crux.Unavailable || !strings.Contains(err.Error(), "is locked by process") {
		t.Errorf("opened twice: %v", err)
	}
	mustWrite(t, s, put("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v := read(t, n.open(t, 1, 2, fs), "a"); v.Text[0] != "1" {
		t.Errorf("a is %v", v)
	}
}

// Who has patience gets the folder when the other lets go of it.
func TestAFolderIsWaitedFor(t *testing.T) {
	fs := folder(t)
	n := &net{}
	s := n.open(t, 1, 1, fs)
	mustWrite(t, s, put("a", "1"))
	cfg := n.config(1, 2, fs)
	cfg.Patience = time.Minute
	closed := make(chan error, 1)
	time.AfterFunc(100*time.Millisecond, func() { closed <- s.Close() })
	next, err := Open(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if v := read(t, next, "a"); v.Text[0] != "1" {
		t.Errorf("a is %v", v)
	}
}

func TestAnIncarnationIsUsedOnce(t *testing.T) {
	fs := vfs.NewMem()
	n := &net{}
	s := n.open(t, 1, 5, fs)
	mustWrite(t, s, put("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, inc := range []uint64{4, 5} {
		if _, err := Open(n.config(1, inc, fs), nil); crux.KindOf(err) != crux.Conflict || !strings.Contains(err.Error(), "used with 5") {
			t.Errorf("incarnation %d after 5: %v", inc, err)
		}
	}
	n.open(t, 1, 6, fs)
}

// TestWhatWasDeletedMeanwhileIsGone: lines that a successor has read vanish before it
// takes over.
func TestWhatWasDeletedMeanwhileIsGone(t *testing.T) {
	for _, again := range []bool{false, true} { // whether it follows once more, or only opens
		fs := vfs.NewMem()
		n := &net{}
		s := n.open(t, 1, 7, fs)
		mustWrite(t, s, put("a", "1"))
		mustWrite(t, s, put("b", "2"))
		mustWrite(t, s, put("c", "3")) // so that what is before it is known to be synced
		next, err := Prepare(n.config(1, 7, fs))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next.Follow(); err != nil {
			t.Fatal(err)
		}
		state, err := s.Freeze(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		forget(t, fs, "ka\x00")
		if again {
			if _, err := next.Follow(); err != nil {
				t.Fatal(err)
			}
		}
		heir, err := next.Open(state)
		if err != nil {
			t.Fatal(err)
		}
		n.add(t, 1, heir)
		if v := read(t, heir, "a"); v.Type != 0 {
			t.Errorf("a is %v", v.Text)
		}
		if v := read(t, heir, "b"); v.Text[0] != "2" {
			t.Errorf("b is %v", v.Text)
		}
	}
}

// forget deletes a line of a log.
func forget(t *testing.T, fs vfs.FS, line string) {
	t.Helper()
	l, err := log.NewReader(fs, log.Options{}).Open(func(_, _ []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Append([]log.Entry{{Key: []byte(line)}, {Key: []byte(line)}}), l.Sync(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestAHandoverWaitsForTheDisk: while the disk fails there is no handover; it is made
// when the disk works again, or given up.
func TestAHandoverWaitsForTheDisk(t *testing.T) { synctest.Test(t, handOverWithAFullDisk) }

func handOverWithAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	n := &net{}
	s := n.open(t, 1, 7, fs)
	mustWrite(t, s, put("a", "1"))
	fs.Break(vfs.FailFrom(1, syscall.ENOSPC))
	if _, err := s.Write(t.Context(), put("b", "2")); err == nil {
		t.Fatal("a full disk took a write")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Freeze(ctx); crux.KindOf(err) != crux.Timeout {
		t.Fatalf("handed over with a disk that fails: %v", err)
	}
	s.Thaw()
	if v := read(t, s, "b"); v.Text[0] != "2" {
		t.Errorf("the store reads %v after a handover that was given up", v)
	}
	fs.Break(nil)
	state, err := s.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	heir, err := Open(n.config(1, 7, fs), state)
	if err != nil {
		t.Fatal(err)
	}
	n.add(t, 1, heir)
	if v := read(t, heir, "b"); v.Text[0] != "2" {
		t.Errorf("b is %v after the handover", v.Text)
	}
}

func TestALogIsCleanedWhileNothingIsWritten(t *testing.T) {
	fs := vfs.NewMem()
	s := (&net{}).open(t, 1, 1, fs)
	big := strings.Repeat("v", 100_000)
	for range 200 {
		mustWrite(t, s, put("a", big))
	}
	until(t, "the log is small", func() bool {
		st, err := s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Log.Bytes < 6<<20
	})
}
