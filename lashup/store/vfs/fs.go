package vfs

import (
	"io"
	"io/fs"
)

// FS is one folder of a disk. Names are those of files in it, without slashes.
// Errors are those of package os: errors.Is finds fs.ErrNotExist, fs.ErrExist,
// syscall.ENOSPC and the like in them.
type FS interface {
	// Create makes a file that is not there yet (else fs.ErrExist), for writing and
	// reading. Its name is on disk after the next SyncDir.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Rename gives a file another name, in place of the file that had it.
	Rename(from, to string) error
	Remove(name string) error
	// List gives the files of the folder, by name.
	List() ([]Info, error)
	// SyncDir returns once what was created, renamed and removed is on disk.
	SyncDir() error
	// Lock makes the caller the only one in the folder until it closes what it gets
	// or its process ends, however that may be. The file name is for that, and says
	// who it is; a Locked error gives what the present holder has written there.
	Lock(name, holder string) (io.Closer, error)
	// Path is the name of a file as an operator knows it, for messages.
	Path(name string) string
}

// File is an open file.
type File interface {
	io.ReaderAt
	// Write appends. After an error a part may have been written.
	io.Writer
	// Sync returns once all that was written is on disk. After an error what was
	// written since the last good Sync is as good as lost, even if a later Sync
	// succeeds.
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
	io.Closer
}

// Info is a line of a listing.
type Info struct {
	Name string
	Size int64
}

// Locked says that somebody else is in the folder.
type Locked struct {
	Path   string // of the lock's file
	Holder string // what the holder wrote there; may be empty
}

// Error names the holder.
func (l *Locked) Error() string {
	who := l.Holder
	if who == "" {
		who = "a process that has not said its name"
	}
	return l.Path + " is locked by " + who
}

// Is makes a Locked an fs.ErrExist: the thing is there already.
func (l *Locked) Is(target error) bool { return target == fs.ErrExist }

// ReadAll reads a small file whole; one longer than most bytes is refused with
// fs.ErrInvalid.
func ReadAll(fsys FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, &fs.PathError{Op: "read", Path: fsys.Path(name), Err: fs.ErrInvalid}
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, n), b); err != nil {
		return nil, &fs.PathError{Op: "read", Path: fsys.Path(name), Err: err}
	}
	return b, nil
}

// Replace makes data the content of the file name, or leaves it as it was. When it
// returns without error, that is on disk. The file temp is used on the way, and may
// be left over after a crash.
func Replace(fsys FS, name, temp string, data []byte) error {
	if err := fsys.Remove(temp); err != nil && !notExist(err) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	if err := fill(f, data); err != nil {
		return firstOf(err, fsys.Remove(temp))
	}
	if err := fsys.Rename(temp, name); err != nil {
		return firstOf(err, fsys.Remove(temp))
	}
	return fsys.SyncDir()
}

// fill writes all of a file, syncs and closes it.
func fill(f File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return firstOf(err, f.Close())
}
