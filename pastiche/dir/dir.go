package dir

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"fulcrum.example/crux"
)

const (
	sums     = "sha256"
	incoming = "incoming"
	// abandoned is the age from which an unfinished file belongs to nobody.
	abandoned = time.Hour
)

// Store is an artifact store in a folder.
type Store struct {
	dir  string
	root *os.Root
}

// Open opens a folder as an artifact store and makes it where it is not there.
func Open(path string) (*Store, error) {
	const op = "open artifact store"
	dir, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "the folder %s cannot be made: %w", path, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "the folder %s cannot be opened: %w", dir, err)
	}
	s := &Store{dir: dir, root: root}
	err = errors.Join(root.MkdirAll(sums, 0o755), root.MkdirAll(incoming, 0o700))
	if err == nil {
		err = s.clean()
	}
	if err != nil {
		root.Close()
		return nil, crux.Errorf(op, crux.Unavailable, "the folder %s cannot be used: %w", dir, err)
	}
	return s, nil
}

// clean removes what writers that died left.
func (s *Store) clean() error {
	files, err := fs.ReadDir(s.root.FS(), incoming)
	if err != nil {
		return err
	}
	for _, f := range files {
		st, err := f.Info()
		if err == nil && time.Since(st.ModTime()) > abandoned {
			err = s.root.Remove(incoming + "/" + f.Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// String names the store for people.
func (s *Store) String() string { return "dir:" + s.dir }

// Close closes the folder.
func (s *Store) Close() error { return s.root.Close() }

func name(sum crux.Checksum) string { return sums + "/" + sum.String() }

// Check says whether the folder is still there and can be written.
func (s *Store) Check(context.Context) error {
	const op = "check artifact store"
	if _, err := os.Stat(filepath.Join(s.dir, sums)); err != nil {
		return crux.Errorf(op, crux.Unavailable, "the folder of %s is gone: %w", s, err)
	}
	tmp := incoming + "/" + rand.Text()
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), s.root.Remove(tmp))
	}
	return s.explain(op, err)
}

// Put writes an artifact beside the others and renames it into place.
func (s *Store) Put(ctx context.Context, sum crux.Checksum, size int64, r io.Reader) (err error) {
	const op = "store artifact"
	tmp := incoming + "/" + rand.Text()
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return s.explain(op, err)
	}
	defer func() {
		f.Close() // closed already when all went well
		if err != nil {
			s.root.Remove(tmp) // else the next Open does
		}
	}()
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(f, h), io.LimitReader(ctxReader{ctx, r}, size+1), make([]byte, 256<<10))
	if err != nil {
		return s.explain(op, err)
	}
	var got crux.Checksum
	if h.Sum(got[:0]); n != size || got != sum {
		return crux.Errorf(op, crux.Corrupt, "the bytes do not match: want %s (%d bytes), got %s (%d bytes or more)", sum, size, got, n)
	}
	if err := errors.Join(f.Chmod(0o444), f.Sync(), f.Close()); err != nil {
		return s.explain(op, err)
	}
	return s.explain(op, s.rename(tmp, sum))
}

func (s *Store) rename(tmp string, sum crux.Checksum) error {
	if err := s.root.Rename(tmp, name(sum)); err != nil {
		return err
	}
	d, err := s.root.Open(sums)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get reads an artifact, unverified.
func (s *Store) Get(_ context.Context, sum crux.Checksum) (io.ReadCloser, int64, error) {
	const op = "read artifact store"
	f, err := s.root.Open(name(sum))
	if err != nil {
		return nil, 0, s.explain(op, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = crux.Errorf("", crux.Corrupt, "%s is not a regular file", sum)
	}
	if err != nil {
		f.Close()
		return nil, 0, s.explain(op, err)
	}
	return f, st.Size(), nil
}

// Stat gives the size of an artifact.
func (s *Store) Stat(_ context.Context, sum crux.Checksum) (int64, error) {
	st, err := s.root.Stat(name(sum))
	if err != nil {
		return 0, s.explain("look up artifact", err)
	}
	return st.Size(), nil
}

// List calls visit for each artifact until visit returns an error.
func (s *Store) List(ctx context.Context, visit func(sum crux.Checksum, size int64) error) error {
	const op = "list artifact store"
	files, err := fs.ReadDir(s.root.FS(), sums)
	if err != nil {
		return s.explain(op, err)
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return crux.Wrap(op, err)
		}
		sum, err := crux.ParseChecksum(f.Name())
		if err != nil {
			continue // a stranger
		}
		st, err := f.Info()
		if err != nil {
			return s.explain(op, err)
		}
		if err := visit(sum, st.Size()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) explain(op string, err error) error {
	var ours *crux.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return crux.Wrap(op, ours)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return crux.Wrap(op, err)
	case errors.Is(err, fs.ErrNotExist):
		return crux.Errorf(op, crux.NotFound, "%s holds no such artifact: publish it first", s)
	case errors.Is(err, fs.ErrPermission):
		return crux.Errorf(op, crux.Denied, "this user may not use %s: %w", s, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return crux.Errorf(op, crux.Exhausted, "no space left in %s: free some (%w)", s, err)
	}
	return crux.Errorf(op, crux.Unavailable, "%s: %w", s, err)
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
