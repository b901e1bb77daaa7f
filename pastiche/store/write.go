package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"

	"fulcrum.example/crux"
)

// unknown is the size of what is still to be measured.
const unknown = -1

// Put stores size bytes of r under sum and returns nil once they are synced.
// An artifact that is here already, or is being written and succeeds, is not
// read again. Errors: Corrupt when bytes or size do not match; Exhausted when
// there is no room; whatever r returned. None leaves anything behind.
func (s *Store) Put(ctx context.Context, sum crux.Checksum, size int64, r io.Reader) error {
	w, err := s.Create(ctx, sum, size)
	if crux.KindOf(err) == crux.Exists {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.CopyBuffer(w, ctxReader{ctx, r}, make([]byte, 256<<10)); err != nil {
		return err
	}
	return w.Commit()
}

// Add stores all of r under the sum that it turns out to have.
func (s *Store) Add(ctx context.Context, r io.Reader) (crux.Checksum, int64, error) {
	w, err := s.open(crux.Checksum{}, unknown, nil)
	if err != nil {
		return crux.Checksum{}, 0, err
	}
	defer w.Abort()
	if _, err := io.CopyBuffer(w, ctxReader{ctx, r}, make([]byte, 256<<10)); err != nil {
		return crux.Checksum{}, 0, err
	}
	w.hash.Sum(w.sum[:0])
	w.size = w.n
	return w.sum, w.size, w.Commit()
}

// Create begins to write an artifact of a known sum and size. It waits while
// another writes the same; Exists: it is here (and was verified). The caller
// ends the Writer with Commit or Abort.
func (s *Store) Create(ctx context.Context, sum crux.Checksum, size int64) (*Writer, error) {
	if size < 0 {
		return nil, crux.Errorf("store artifact", crux.Invalid, "a size of %d bytes", size)
	}
	for {
		err := s.settle(ctx, sum)
		if err == nil {
			return nil, crux.Errorf("store artifact", crux.Exists, "%s is in the cache already", sum)
		}
		if k := crux.KindOf(err); k != crux.NotFound && k != crux.Corrupt {
			return nil, err
		}
		done := make(chan struct{})
		s.mu.Lock()
		_, busy := s.writing[sum]
		_, here := s.entries[sum]
		if busy || here {
			s.mu.Unlock()
			continue
		}
		s.writing[sum] = done
		s.mu.Unlock()
		w, err := s.open(sum, size, done)
		if err != nil {
			s.endWriting(sum, done)
			return nil, err
		}
		return w, nil
	}
}

func (s *Store) endWriting(sum crux.Checksum, done chan struct{}) {
	if done == nil {
		return
	}
	s.mu.Lock()
	delete(s.writing, sum)
	s.mu.Unlock()
	close(done)
}

// reserve takes n bytes of the cache for a writer.
func (s *Store) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(n); err != nil {
		return err
	}
	s.used += n
	return nil
}

func (s *Store) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

func (s *Store) open(sum crux.Checksum, size int64, done chan struct{}) (*Writer, error) {
	reserved := max(size, 0)
	if err := s.reserve(reserved); err != nil {
		return nil, crux.Wrap("store artifact", err)
	}
	name := incoming + "/" + rand.Text()
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		s.release(reserved)
		return nil, diskError("store artifact", s.dir, err)
	}
	return &Writer{s: s, sum: sum, size: size, reserved: reserved, name: name, f: f, hash: sha256.New(), done: done}, nil
}

// Writer writes one artifact. One goroutine uses it.
type Writer struct {
	s        *Store
	sum      crux.Checksum
	size     int64
	reserved int64
	name     string
	f        *os.File
	hash     hash.Hash
	n        int64
	done     chan struct{}
	ended    bool
}

// Offset is how many bytes were written.
func (w *Writer) Offset() int64 { return w.n }

// Write hashes and writes. More bytes than announced are Corrupt.
func (w *Writer) Write(b []byte) (int, error) {
	next := w.n + int64(len(b))
	if w.size != unknown && next > w.size {
		return 0, crux.Errorf("store artifact", crux.Corrupt, "%s has more than the %d bytes announced", w.sum, w.size)
	}
	if w.size == unknown && next > w.reserved {
		// Reserve ahead, so that the cache is not asked for each write.
		more := max(next-w.reserved, min(w.reserved, 64<<20))
		if err := w.s.reserve(more); err != nil {
			more = next - w.reserved
			if err := w.s.reserve(more); err != nil {
				return 0, crux.Wrap("store artifact", err)
			}
		}
		w.reserved += more
	}
	n, err := w.f.Write(b)
	w.hash.Write(b[:n])
	w.n += int64(n)
	if err != nil {
		return n, diskError("store artifact", w.s.dir, err)
	}
	return n, nil
}

// Commit makes the file an artifact if its bytes are the right ones, and ends
// the Writer either way.
func (w *Writer) Commit() error {
	if w.ended {
		return crux.Errorf("store artifact", crux.Internal, "the write of %s has ended", w.sum)
	}
	defer w.Abort()
	var got crux.Checksum
	w.hash.Sum(got[:0])
	if w.n != w.size || got != w.sum {
		return crux.Errorf("store artifact", crux.Corrupt,
			"the bytes do not match: want %s (%d bytes), got %s (%d bytes)", w.sum, w.size, got, w.n)
	}
	if err := errors.Join(w.f.Chmod(0o500), w.f.Sync(), w.f.Close()); err != nil {
		return diskError("store artifact", w.s.dir, err)
	}
	if err := w.s.admit(w); err != nil {
		return diskError("store artifact", w.s.dir, err)
	}
	return nil
}

// admit renames a finished file to its checksum and takes it into account.
func (s *Store) admit(w *Writer) error {
	if err := s.index(w); err != nil {
		return err
	}
	d, err := s.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) index(w *Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.root.Rename(w.name, w.sum.String()); err != nil {
		return err
	}
	s.forgetLocked(w.sum)
	now := s.cfg.Clock.Now()
	s.entries[w.sum] = &entry{size: w.n, last: now, touched: now, checked: true}
	s.used += w.n - w.reserved
	w.reserved = 0
	return nil
}

// Abort removes what was written; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.f.Close() // closed already after a Commit
	if err := w.s.root.Remove(w.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.s.log.Warn("an unfinished artifact could not be removed; the next start does", "dir", w.s.dir, "err", err)
	}
	w.s.release(w.reserved)
	w.s.endWriting(w.sum, w.done)
}
