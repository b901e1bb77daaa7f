package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
)

// incoming is the folder of files that are being written.
const incoming = "incoming"

// touchEvery bounds how often a use is written to disk (as the file's
// modification time, which is the order of use after the next Open).
const touchEvery = time.Minute

// Config says where the cache is and how large it may grow.
type Config struct {
	Dir      string
	MaxBytes int64 // > 0
	Clock    crux.Clock
	Log      *slog.Logger
}

// Entry is one file of the cache.
type Entry struct {
	Sum    crux.Checksum
	Size   int64
	Pinned bool
}

// Store is an open cache.
type Store struct {
	cfg  Config
	log  *slog.Logger
	dir  string // absolute
	root *os.Root

	mu      sync.Mutex
	entries map[crux.Checksum]*entry
	pins    map[crux.Checksum]int
	writing map[crux.Checksum]chan struct{} // closed when the Writer ends
	used    int64                           // bytes of entries and reserved by writers
}

type entry struct {
	size     int64
	last     time.Time // last use
	touched  time.Time // last use that the disk knows
	checked  bool      // hashed by this process
	checking chan struct{}
}

// Open opens the cache in cfg.Dir, makes it where it is not there, and removes
// what an interrupted write left.
func Open(cfg Config) (*Store, error) {
	if cfg.MaxBytes <= 0 {
		return nil, crux.Errorf("open cache", crux.Invalid, "a cache of %d bytes holds nothing: give it a size above 0", cfg.MaxBytes)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err == nil {
		err = makePrivate(dir)
	}
	if err != nil {
		return nil, crux.Errorf("open cache", crux.Unavailable, "cannot make the private folder %s: %w", cfg.Dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, crux.Errorf("open cache", crux.Unavailable, "%w", err)
	}
	s := &Store{
		cfg: cfg, log: cfg.Log, dir: dir, root: root,
		entries: make(map[crux.Checksum]*entry),
		pins:    make(map[crux.Checksum]int),
		writing: make(map[crux.Checksum]chan struct{}),
	}
	if err := s.scan(); err != nil {
		root.Close()
		return nil, crux.Errorf("open cache", crux.Unavailable, "cannot read %s: %w", dir, err)
	}
	return s, nil
}

func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() == 0o700 {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// scan removes unfinished files and takes stock of the others.
func (s *Store) scan() error {
	if err := s.root.RemoveAll(incoming); err != nil {
		return err
	}
	if err := s.root.Mkdir(incoming, 0o700); err != nil {
		return err
	}
	files, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, f := range files {
		sum, err := crux.ParseChecksum(f.Name())
		if err != nil || f.Name() != sum.String() || !f.Type().IsRegular() {
			if f.Name() != incoming {
				s.log.Warn("a stranger in the artifact cache is left alone", "dir", s.dir, "name", f.Name())
			}
			continue
		}
		st, err := f.Info()
		if err != nil {
			return err
		}
		s.entries[sum] = &entry{size: st.Size(), last: st.ModTime(), touched: st.ModTime()}
		s.used += st.Size()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(0); err != nil {
		s.log.Warn("the artifact cache is larger than it may be", "dir", s.dir, "err", err)
	}
	return nil
}

// Close closes the folder. Files that were handed out stay readable; a Writer
// that is still open fails.
func (s *Store) Close() error { return s.root.Close() }

// Dir is the cache's folder, an absolute path.
func (s *Store) Dir() string { return s.dir }

// Has says whether the cache has an artifact, and its size, without touching
// the disk.
func (s *Store) Has(sum crux.Checksum) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[sum]
	if !ok {
		return 0, false
	}
	return e.size, true
}

// List lists what is in the cache, sorted by sum.
func (s *Store) List() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Entry, 0, len(s.entries))
	for sum, e := range s.entries {
		list = append(list, Entry{Sum: sum, Size: e.size, Pinned: s.pins[sum] > 0})
	}
	slices.SortFunc(list, func(a, b Entry) int { return slices.Compare(a.Sum[:], b.Sum[:]) })
	return list
}

// Used is how many bytes the cache holds, those being written included.
func (s *Store) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Pin keeps an artifact, present or to come, until as many Unpins.
func (s *Store) Pin(sum crux.Checksum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[sum]++
}

// Unpin takes one Pin back; one too many does nothing.
func (s *Store) Unpin(sum crux.Checksum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins[sum]--; s.pins[sum] <= 0 {
		delete(s.pins, sum)
	}
}

// Remove drops an artifact, pinned or not. Removing what is not there is no
// error.
func (s *Store) Remove(sum crux.Checksum) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop(sum)
}

func (s *Store) drop(sum crux.Checksum) error {
	e, ok := s.entries[sum]
	if !ok {
		return nil
	}
	if err := s.root.Remove(sum.String()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("remove artifact", s.dir, err)
	}
	delete(s.entries, sum)
	s.used -= e.size
	return nil
}

// makeRoom evicts least recently used files until n more bytes fit.
func (s *Store) makeRoom(n int64) error {
	if s.used+n <= s.cfg.MaxBytes {
		return nil
	}
	var free []crux.Checksum
	var freeable int64
	for sum, e := range s.entries {
		if s.pins[sum] == 0 && e.checking == nil {
			free = append(free, sum)
			freeable += e.size
		}
	}
	if s.used-freeable+n > s.cfg.MaxBytes {
		return crux.Errorf("make room", crux.Exhausted,
			"%d bytes more do not fit the cache in %s: %d of %d bytes are pinned or being written; give it more",
			n, s.dir, s.used-freeable, s.cfg.MaxBytes)
	}
	slices.SortFunc(free, func(a, b crux.Checksum) int {
		return cmp.Or(s.entries[a].last.Compare(s.entries[b].last), slices.Compare(a[:], b[:]))
	})
	for _, sum := range free {
		if s.used+n <= s.cfg.MaxBytes {
			break
		}
		if err := s.drop(sum); err != nil {
			return err
		}
	}
	return nil
}

// diskError says what the disk refused, and what to do.
func diskError(op, dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return crux.Errorf(op, crux.Exhausted, "no space left on the disk of %s: free some, or move the cache (%w)", dir, err)
	}
	return crux.Errorf(op, crux.Unavailable, "the cache in %s cannot be written or read: %w", dir, err)
}

// wait waits for a channel to be closed.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return crux.Wrap("wait for artifact", ctx.Err())
	}
}
