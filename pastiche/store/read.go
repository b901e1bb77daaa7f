package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fulcrum.example/crux"
)

// Get opens an artifact and says its size; the caller closes it. A Put of the
// same artifact that is under way is waited for. The file stays readable when
// it is evicted meanwhile. Errors: NotFound; Corrupt when the bytes on the disk
// were wrong (the file is removed then).
func (s *Store) Get(ctx context.Context, sum crux.Checksum) (*os.File, int64, error) {
	for {
		if err := s.settle(ctx, sum); err != nil {
			return nil, 0, err
		}
		f, err := s.root.Open(sum.String())
		if errors.Is(err, fs.ErrNotExist) {
			s.forget(sum)
			return nil, 0, notFound(sum)
		}
		if err != nil {
			return nil, 0, diskError("open artifact", s.dir, err)
		}
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, 0, diskError("open artifact", s.dir, err)
		}
		if s.noteUse(sum, st.Size()) {
			return f, st.Size(), nil
		}
		f.Close() // its size changed: settle hashes it again
	}
}

// Path makes sure, as Get does, that an artifact is here and right, and gives
// its absolute path. Pin it first: the path of an unpinned artifact may vanish.
func (s *Store) Path(ctx context.Context, sum crux.Checksum) (string, error) {
	f, _, err := s.Get(ctx, sum)
	if err != nil {
		return "", err
	}
	f.Close()
	return filepath.Join(s.dir, sum.String()), nil
}

// Verify hashes an artifact again. Errors as of Get.
func (s *Store) Verify(ctx context.Context, sum crux.Checksum) error {
	s.mu.Lock()
	if e, ok := s.entries[sum]; ok {
		e.checked = false
	}
	s.mu.Unlock()
	return s.settle(ctx, sum)
}

// noteUse notes a use; false when the size is not what was hashed.
func (s *Store) noteUse(sum crux.Checksum, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[sum]
	if !ok {
		return true // evicted this moment; what was opened is what was hashed
	}
	if e.size != size {
		e.checked = false
		return false
	}
	e.last = s.cfg.Clock.Now()
	if e.last.Sub(e.touched) >= touchEvery {
		e.touched = e.last
		if err := s.root.Chtimes(sum.String(), time.Time{}, e.last); err != nil {
			s.log.Debug("a use of an artifact was not noted on disk", "sum", sum, "err", err)
		}
	}
	return true
}

// settle returns nil once the artifact is here, not being written, and hashed
// by this process.
func (s *Store) settle(ctx context.Context, sum crux.Checksum) error {
	for {
		s.mu.Lock()
		if w, ok := s.writing[sum]; ok {
			s.mu.Unlock()
			if err := wait(ctx, w); err != nil {
				return err
			}
			continue
		}
		e, ok := s.entries[sum]
		switch {
		case !ok:
			s.mu.Unlock()
			return notFound(sum)
		case e.checked:
			s.mu.Unlock()
			return nil
		case e.checking != nil:
			c := e.checking
			s.mu.Unlock()
			if err := wait(ctx, c); err != nil {
				return err
			}
		default:
			e.checking = make(chan struct{})
			s.mu.Unlock()
			if err := s.check(ctx, sum, e); err != nil {
				return err
			}
		}
	}
}

// check hashes one file and removes it if it is wrong.
func (s *Store) check(ctx context.Context, sum crux.Checksum, e *entry) error {
	got, size, err := s.hash(ctx, sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(e.checking)
	e.checking = nil
	switch {
	case s.entries[sum] != e:
		return nil // written anew meanwhile: settle looks again
	case errors.Is(err, fs.ErrNotExist):
		s.forgetLocked(sum)
		return notFound(sum)
	case err != nil && ctx.Err() != nil:
		return crux.Wrap("verify artifact", ctx.Err())
	case err != nil:
		return diskError("verify artifact", s.dir, err)
	case got != sum:
		if err := s.drop(sum); err != nil {
			return err
		}
		s.log.Error("an artifact in the cache was damaged and is removed", "sum", sum, "dir", s.dir)
		return crux.Errorf("verify artifact", crux.Corrupt,
			"the file %s in %s was damaged on disk; it is removed and will be fetched again", sum, s.dir)
	}
	s.used += size - e.size
	e.size, e.checked = size, true
	return nil
}

func (s *Store) hash(ctx context.Context, sum crux.Checksum) (got crux.Checksum, size int64, err error) {
	f, err := s.root.Open(sum.String())
	if err != nil {
		return got, 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.CopyBuffer(h, ctxReader{ctx, f}, make([]byte, 256<<10))
	h.Sum(got[:0])
	return got, size, err
}

// ctxReader reads until its context ends.
type ctxReader struct {
	ctx context.Context // of one call, on its stack
	r   io.Reader
}

func (r ctxReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// forget drops an entry whose file somebody removed.
func (s *Store) forget(sum crux.Checksum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(sum)
}

func (s *Store) forgetLocked(sum crux.Checksum) {
	if e, ok := s.entries[sum]; ok {
		s.used -= e.size
		delete(s.entries, sum)
	}
}

func notFound(sum crux.Checksum) error {
	return crux.Errorf("open artifact", crux.NotFound, "%s is not in the cache", sum)
}
