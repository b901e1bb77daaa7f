package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// OS is a folder of the machine. Nothing outside the folder can be reached through
// it, by links neither. Files are for their owner only (mode 0600).
type OS struct {
	root *os.Root
	dir  string
}

// OpenOS opens the folder dir and makes it if need be; its parent must be there.
// The caller closes it.
func OpenOS(dir string) (*OS, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	if err := firstOf(parent.Sync(), parent.Close()); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &OS{root: root, dir: dir}, nil
}

// Close ends the use of the folder; files that are open stay so.
func (o *OS) Close() error { return o.root.Close() }

// Path is the path of the file.
func (o *OS) Path(name string) string { return filepath.Join(o.dir, name) }

// Create makes a file.
func (o *OS) Create(name string) (File, error) {
	return o.open(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND)
}

// Open opens a file for reading.
func (o *OS) Open(name string) (File, error) { return o.open(name, os.O_RDONLY) }

func (o *OS) open(name string, flag int) (File, error) {
	if err := valid("open", name); err != nil {
		return nil, err
	}
	f, err := o.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename renames a file.
func (o *OS) Rename(from, to string) error {
	if err := firstOf(valid("rename", from), valid("rename", to)); err != nil {
		return err
	}
	return o.root.Rename(from, to)
}

// Remove removes a file.
func (o *OS) Remove(name string) error {
	if err := valid("remove", name); err != nil {
		return err
	}
	return o.root.Remove(name)
}

// List lists the regular files.
func (o *OS) List() ([]Info, error) {
	d, err := o.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, e := range entries {
		st, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return nil, err
		case st.Mode().IsRegular():
			out = append(out, Info{e.Name(), st.Size()})
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// SyncDir syncs the folder.
func (o *OS) SyncDir() error {
	d, err := o.root.Open(".")
	if err != nil {
		return err
	}
	return firstOf(d.Sync(), d.Close())
}

// maxHolder bounds what is read of a lock's file.
const maxHolder = 256

// Lock takes an flock, which the system gives up for a process that ends. A file that
// is there without a lock means nothing: its holder died.
func (o *OS) Lock(name, holder string) (io.Closer, error) {
	if err := valid("lock", name); err != nil {
		return nil, err
	}
	f, err := o.root.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := flock(f); {
	case errors.Is(err, unix.EWOULDBLOCK):
		text := make([]byte, maxHolder)
		n, _ := f.ReadAt(text, 0) // the lock is taken, whether its holder can be read or not
		return nil, firstOf(&Locked{o.Path(name), strings.TrimSpace(string(text[:n]))}, f.Close())
	case err != nil:
		return nil, firstOf(&fs.PathError{Op: "lock", Path: o.Path(name), Err: err}, f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, holder)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // on a full disk the holder stays without a name
		return nil, firstOf(err, f.Close())
	}
	return f, nil
}

func flock(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	return firstOf(err, failed)
}

type osFile struct{ *os.File }

// Size is the length of the file.
func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Sync is fdatasync: the bytes, and what is needed to read them, as the length; not
// the times, which would cost another write.
func (f osFile) Sync() error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			failed = unix.Fdatasync(int(fd))
		}
	})
	if err = firstOf(err, failed); err != nil {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}

// valid refuses names that are not those of a file in the folder.
func valid(op, name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return nil
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// firstOf is the first error, with the other beside it.
func firstOf(err, other error) error {
	switch {
	case err == nil:
		return other
	case other == nil:
		return err
	}
	return errors.Join(err, other)
}
