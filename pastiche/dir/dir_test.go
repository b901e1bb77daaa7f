package dir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestArtifactsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b")
	s, other := open(t, path), open(t, path)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := bytes.Repeat([]byte("fulcrum"), 100_000)
	sum := crux.Checksum(sha256.Sum256(b))
	var group sync.WaitGroup
	for range 8 { // several processes may write the same at once
		for _, s := range []*Store{s, other} {
			group.Go(func() {
				if err := s.Put(t.Context(), sum, int64(len(b)), bytes.NewReader(b)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	r, size, err := other.Get(t.Context(), sum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || size != int64(len(b)) || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	n := 0
	err = s.List(t.Context(), func(got crux.Checksum, size int64) error {
		if n++; got != sum || size != int64(len(b)) {
			t.Errorf("listed %s, %d", got, size)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Fatalf("listed %d, %v", n, err)
	}
	stop := errors.New("enough")
	if err := s.List(t.Context(), func(crux.Checksum, int64) error { return stop }); err != stop {
		t.Errorf("list ended with %v", err)
	}
}

func TestWrongBytesNeverBecomeAFile(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	b := []byte("hello")
	sum := crux.Checksum(sha256.Sum256(b))
	for name, r := range map[string]io.Reader{
		"flipped": bytes.NewReader([]byte("hellp")),
		"short":   bytes.NewReader([]byte("hell")),
		"long":    bytes.NewReader([]byte("hello!")),
	} {
		if err := s.Put(t.Context(), sum, 5, r); err == nil || crux.KindOf(err) != crux.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, sum, 5, bytes.NewReader(b)); crux.KindOf(err) != crux.Canceled || err == nil {
		t.Errorf("canceled: %v", err)
	}
	if _, err := s.Stat(t.Context(), sum); crux.KindOf(err) != crux.NotFound || err == nil {
		t.Errorf("stat: %v", err)
	}
	if _, _, err := s.Get(t.Context(), sum); crux.KindOf(err) != crux.NotFound || err == nil {
		t.Errorf("get: %v", err)
	}
	for _, sub := range []string{sums, incoming} {
		if left, _ := os.ReadDir(filepath.Join(s.dir, sub)); len(left) != 0 {
			t.Errorf("%s holds %v", sub, left)
		}
	}
}

func TestLinksOutsideAreNotFollowed(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := crux.Checksum(sha256.Sum256([]byte("secret")))
	if err := os.Symlink(secret, filepath.Join(s.dir, sums, sum.String())); err != nil {
		t.Fatal(err)
	}
	if r, _, err := s.Get(t.Context(), sum); err == nil {
		r.Close()
		t.Fatal("a link led outside")
	}
}

func TestAbandonedFilesAreRemovedAndFreshOnesNot(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	open(t, path)
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": 0} {
		p := filepath.Join(path, incoming, name)
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, path)
	left, err := os.ReadDir(filepath.Join(path, incoming))
	if err != nil || len(left) != 1 || left[0].Name() != "new" {
		t.Fatalf("left %v, %v", left, err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); crux.KindOf(err) != crux.Unavailable || err == nil {
		t.Errorf("the folder is gone: %v", err)
	}
}
