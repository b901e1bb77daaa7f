package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fulcrum.example/crux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string, max int64) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, MaxBytes: max})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func artifact(n int, seed byte) ([]byte, crux.Checksum) {
	b := bytes.Repeat([]byte{seed, 1, 2, 3}, (n+3)/4)[:n]
	return b, sha256.Sum256(b)
}

func put(t *testing.T, s *Store, b []byte) crux.Checksum {
	t.Helper()
	sum := crux.Checksum(sha256.Sum256(b))
	if err := s.Put(t.Context(), sum, int64(len(b)), bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return sum
}

// files lists everything in the cache's folder, incoming included.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, filepath.Base(p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestArtifactIsPrivateReadOnlyAndNamedByItsSum(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	s := open(t, dir, 1<<20)
	b, sum := artifact(1000, 1)
	put(t, s, b)
	path, err := s.Path(t.Context(), sum)
	if err != nil || path != filepath.Join(dir, sum.String()) {
		t.Fatalf("path %q, %v", path, err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("read back %d bytes, %v", len(got), err)
	}
	for p, mode := range map[string]os.FileMode{dir: 0o700, path: 0o500} {
		st, err := os.Stat(p)
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", p, st.Mode().Perm(), mode, err)
		}
	}
}

func TestOpenFolderIsMadePrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, dir, 1<<20)
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v", st.Mode().Perm())
	}
}

func TestWrongBytesNeverBecomeAFile(t *testing.T) {
	t.Parallel()
	b, sum := artifact(1000, 1)
	flipped := bytes.Clone(b)
	flipped[999] ^= 1
	readErr := errors.New("cable cut")
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
		kind crux.Kind
	}{
		"flipped bit":  {bytes.NewReader(flipped), 1000, crux.Corrupt},
		"too short":    {bytes.NewReader(b[:999]), 1000, crux.Corrupt},
		"too long":     {bytes.NewReader(append(bytes.Clone(b), 0)), 1000, crux.Corrupt},
		"broken off":   {io.MultiReader(bytes.NewReader(b[:500]), errReader{readErr}), 1000, crux.Internal},
		"wrong length": {bytes.NewReader(b), 999, crux.Corrupt},
		"negative":     {bytes.NewReader(b), -5, crux.Invalid},
		"does not fit": {bytes.NewReader(b), 1 << 40, crux.Exhausted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, 1<<20)
			err := s.Put(t.Context(), sum, c.size, c.r)
			if err == nil || crux.KindOf(err) != c.kind {
				t.Errorf("error %v of kind %v, want %v", err, crux.KindOf(err), c.kind)
			}
			if f := files(t, dir); len(f) != 0 || s.Used() != 0 {
				t.Errorf("left behind: %v, %d bytes", f, s.Used())
			}
			put(t, s, b) // and it is no obstacle
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestOpenRemovesUnfinishedFilesAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	b, sum := artifact(1000, 1)
	put(t, s, b)
	w, err := s.Create(t.Context(), crux.Checksum{9}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if n := len(files(t, dir)); n != 2 {
		t.Fatalf("%d files before the crash", n)
	}
	s.Close()
	s = open(t, dir, 1<<20)
	if f := files(t, dir); len(f) != 1 || f[0] != sum.String() {
		t.Fatalf("after a restart: %v", f)
	}
	if size, ok := s.Has(sum); !ok || size != 1000 || s.Used() != 1000 {
		t.Fatalf("size %d, %v, used %d", size, ok, s.Used())
	}
}

func TestDamageOnDiskIsFoundAtFirstUseAndOnDemandAndByItsSize(t *testing.T) {
	t.Parallel()
	damage := map[string]func(*testing.T, string){
		"flipped": func(t *testing.T, p string) { writeFile(t, p, bytes.Repeat([]byte("x"), 1000)) },
		"cut off": func(t *testing.T, p string) { writeFile(t, p, []byte("x")) },
		"removed": func(t *testing.T, p string) {
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, 1<<20)
			b, sum := artifact(1000, 1)
			put(t, s, b)
			hurt(t, filepath.Join(dir, sum.String()))
			if name == "flipped" { // the size does not tell: only a new look does
				if err := s.Verify(t.Context(), sum); crux.KindOf(err) != crux.Corrupt || err == nil {
					t.Fatalf("verify: %v", err)
				}
			}
			if f, _, err := s.Get(t.Context(), sum); err == nil {
				f.Close()
				t.Fatal("a damaged file was handed out")
			}
			if len(files(t, dir)) != 0 || s.Used() != 0 {
				t.Fatalf("left: %v, %d bytes", files(t, dir), s.Used())
			}
			put(t, s, b)
			hurt(t, filepath.Join(dir, sum.String()))
			s.Close()
			s = open(t, dir, 1<<20)
			if _, err := s.Path(t.Context(), sum); err == nil {
				t.Fatal("a damaged file was handed out after a restart")
			}
		})
	}
}

func writeFile(t *testing.T, p string, b []byte) {
	t.Helper()
	os.Remove(p) // read-only
	if err := os.WriteFile(p, b, 0o500); err != nil {
		t.Fatal(err)
	}
}

func TestLeastRecentlyUsedMakesRoomButNotThePinned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &stepClock{}
	s, err := Open(Config{Dir: dir, MaxBytes: 3000, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var sums []crux.Checksum
	for i := range 3 {
		b, _ := artifact(1000, byte(i))
		sums = append(sums, put(t, s, b))
	}
	s.Pin(sums[0])
	if _, err := s.Path(t.Context(), sums[1]); err != nil { // used later than 2
		t.Fatal(err)
	}
	b, _ := artifact(1000, 7)
	put(t, s, b)
	if _, ok := s.Has(sums[2]); ok {
		t.Error("the least recently used is still there")
	}
	for _, i := range []int{0, 1} {
		if _, ok := s.Has(sums[i]); !ok {
			t.Errorf("artifact %d is gone", i)
		}
	}
	s.Pin(sums[1])
	big, bigSum := artifact(1500, 9)
	err = s.Put(t.Context(), bigSum, 1500, bytes.NewReader(big))
	if crux.KindOf(err) != crux.Exhausted {
		t.Fatalf("pinned files made room: %v", err)
	}
	s.Unpin(sums[1])
	put(t, s, big)
	if s.Used() > 3000 {
		t.Errorf("%d bytes used", s.Used())
	}
	if _, ok := s.Has(sums[0]); !ok {
		t.Error("a pinned file was evicted")
	}
}

// stepClock is a clock that moves two minutes at each look.
type stepClock struct{ n atomic.Int64 }

func (c *stepClock) Now() time.Time                       { return time.Unix(1e9+120*c.n.Add(1), 0) }
func (c *stepClock) After(time.Duration) <-chan time.Time { return nil }

func TestOrderOfUseSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &stepClock{}
	s, err := Open(Config{Dir: dir, MaxBytes: 3000, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	b0, _ := artifact(1000, 0)
	b1, _ := artifact(1000, 1)
	first, second := put(t, s, b0), put(t, s, b1)
	c.n.Store(1e6) // mtimes of Put are the machine's own; a use is later than both
	if _, err := s.Path(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.Chtimes(filepath.Join(dir, second.String()), time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	s, err = Open(Config{Dir: dir, MaxBytes: 1000, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, ok := s.Has(first); !ok {
		t.Error("the one used last was evicted")
	}
	if _, ok := s.Has(second); ok || s.Used() != 1000 {
		t.Errorf("the other is still there; %d bytes used", s.Used())
	}
}

func TestConcurrentPutsAndGetsOfOneSumAreOne(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<24)
	b, sum := artifact(1<<20, 3)
	w, err := s.Create(t.Context(), sum, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, 32)
	for i := range 16 {
		group.Go(func() {
			errs <- s.Put(t.Context(), sum, int64(len(b)), counting{bytes.NewReader(b), &reads})
		})
		group.Go(func() {
			f, size, err := s.Get(t.Context(), sum)
			if err == nil {
				defer f.Close()
				if got, _ := io.ReadAll(f); !bytes.Equal(got, b) || size != int64(len(b)) {
					err = fmt.Errorf("get %d: %d bytes", i, len(got))
				}
			}
			errs <- err
		})
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if reads.Load() != 0 || s.Used() != int64(len(b)) {
		t.Errorf("%d readers were read; %d bytes used", reads.Load(), s.Used())
	}
}

type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(b []byte) (int, error) { c.n.Add(1); return c.r.Read(b) }

func TestNextWriterTriesWhenTheFirstFails(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<20)
	b, sum := artifact(1000, 3)
	w, err := s.Create(t.Context(), sum, 1000)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Put(t.Context(), sum, 1000, bytes.NewReader(b)) }()
	w.Abort()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other, otherSum := artifact(1000, 4)
	if err := s.Put(ctx, otherSum, 1000, bytes.NewReader(other)); crux.KindOf(err) != crux.Canceled && !errors.Is(err, context.Canceled) {
		t.Fatalf("after cancel: %v", err)
	}
}

func TestFullDiskIsSaidAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	b, sum := artifact(1000, 3)
	w, err := s.Create(t.Context(), sum, 1000)
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0) // the kernel's own full disk
	if err != nil {
		t.Skip("this machine has no /dev/full")
	}
	w.f.Close()
	w.f = full
	_, err = w.Write(b)
	if crux.KindOf(err) != crux.Exhausted || err == nil {
		t.Fatalf("write: %v", err)
	}
	w.Abort()
	if f := files(t, dir); len(f) != 0 || s.Used() != 0 {
		t.Errorf("left behind: %v, %d bytes", f, s.Used())
	}
	put(t, s, b)
}

func TestAddNamesWhatItGets(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<22)
	b, want := artifact(3<<20, 5)
	for range 2 { // the second finds it there
		sum, size, err := s.Add(t.Context(), bytes.NewReader(b))
		if err != nil || sum != want || size != int64(len(b)) || s.Used() != size {
			t.Fatalf("%s, %d bytes, used %d, %v", sum, size, s.Used(), err)
		}
		s.Pin(sum)
		s.Unpin(sum)
		if err := s.Remove(sum); err != nil {
			t.Fatal(err)
		}
		put(t, s, b)
	}
	if _, _, err := s.Add(t.Context(), bytes.NewReader(make([]byte, 5<<20))); crux.KindOf(err) != crux.Exhausted {
		t.Fatalf("larger than the cache: %v", err)
	}
}
