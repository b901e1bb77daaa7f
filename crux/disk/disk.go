// Package disk writes small files that survive a power cut: afterwards either
// the old content or the new is there, never a part, and what a function here
// has returned from is on the disk. Files are for their owner only (mode 0600).
//
// Any goroutine may call it. Of writes to one file at the same time, one wins;
// who minds which serialises them.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix begins the names of files that are being written.
const tempPrefix = ".new-"

// Replace makes data the content of the file name in dir, whether there is one
// or not.
func Replace(dir, name string, data []byte) error { return write(dir, name, data, os.Rename) }

// Create makes a file; it fails with fs.ErrExist where there is one.
func Create(dir, name string, data []byte) error { return write(dir, name, data, os.Link) }

// write puts data into a file beside name, which commit makes the one.
func write(dir, name string, data []byte, commit func(from, to string) error) (err error) {
	if name != filepath.Base(name) {
		return &fs.PathError{Op: "write", Path: name, Err: fs.ErrInvalid}
	}
	f, err := os.CreateTemp(dir, tempPrefix+name+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.Remove(f.Name()); !errors.Is(rerr, fs.ErrNotExist) { // as after a rename
			err = errors.Join(err, rerr)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := commit(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir returns once what was created, renamed and removed in dir is on disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sweep removes from dir what writes left that a crash cut short. Nothing may be
// written there meanwhile.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
