package run

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// openArtifact opens the artifact's file, which must be a regular one.
func openArtifact(path string) (*os.File, error) {
	const op = "open artifact"
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, crux.Errorf(op, crux.NotFound, "there is no file %s", path)
	}
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = crux.Errorf("", crux.Invalid, "%s is not a regular file", path)
	}
	if err != nil {
		return nil, crux.Wrap(op, errors.Join(err, f.Close()))
	}
	return f, nil
}

// compare hashes what f holds, from its beginning.
func compare(f *os.File, want crux.Checksum, of string) error {
	st, err := f.Stat()
	if err != nil {
		return crux.Wrap("verify artifact", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, st.Size())); err != nil {
		return crux.Wrap("verify artifact", err)
	}
	if got := crux.Checksum(h.Sum(nil)); got != want {
		return crux.Errorf("verify artifact", crux.Corrupt, "%s is %s, not %s as was published; it was not started: fetch it again", of, got, want)
	}
	return nil
}

// sealed copies the artifact into memory that nobody can change any more, and
// then compares its checksum: what was compared is what will run.
func sealed(path string, want crux.Checksum, name string) (_ *os.File, err error) {
	const op = "seal artifact"
	src, err := openArtifact(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3: executable without saying so
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		return nil, crux.Errorf(op, crux.NotSupported, "this system allows no executable memfd (%w): set sysctl vm.memfd_noexec to 0 or 1", err)
	}
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	mem := os.NewFile(uintptr(fd), name)
	defer func() {
		if err != nil {
			err = errors.Join(err, mem.Close())
		}
	}()
	if _, err := io.Copy(mem, src); err != nil {
		return nil, crux.Wrap(op, err)
	}
	if _, err := unix.FcntlInt(mem.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, crux.Wrap(op, err)
	}
	if err := compare(mem, want, path); err != nil {
		return nil, err
	}
	return mem, nil
}

// privateLife is how long a plugin's private copy outlives its last start. A
// process that has loaded it keeps the bytes whatever happens to the name.
const privateLife = time.Hour

// private puts a verified, read-only copy of a plugin into a 0700 folder beside
// dir, named by its checksum, and returns its path. A copy that is there
// already serves again, if it still is what its name says.
func private(path string, want crux.Checksum, dir string) (string, error) {
	const op = "copy plugin"
	parent := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".plugins")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", crux.Wrap(op, err)
	}
	if err := os.Chmod(parent, 0o700); err != nil {
		return "", crux.Wrap(op, err)
	}
	root, err := os.OpenRoot(parent)
	if err != nil {
		return "", crux.Wrap(op, err)
	}
	defer root.Close()
	name := want.String() + ".so"
	full := filepath.Join(parent, name)
	if now := time.Now(); verifyIn(root, name, want) == nil && root.Chtimes(name, now, now) == nil {
		return full, sweep(root, name, now.Add(-privateLife))
	}
	if err := copyIn(root, path, name, want); err != nil {
		return "", crux.Wrap(op, err)
	}
	return full, sweep(root, name, time.Now().Add(-privateLife))
}

func verifyIn(root *os.Root, name string, want crux.Checksum) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return compare(f, want, name)
}

// copyIn makes the file appear whole and verified, or not at all.
func copyIn(root *os.Root, path, name string, want crux.Checksum) (err error) {
	src, err := openArtifact(path)
	if err != nil {
		return err
	}
	defer src.Close()
	part := name + "." + time.Now().UTC().Format("150405.000000000")
	dst, err := root.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, dst.Close())
		if err != nil {
			err = errors.Join(err, root.Remove(part))
		}
	}()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if err := compare(dst, want, path); err != nil {
		return err
	}
	return root.Rename(part, name)
}

// sweep removes what nobody has started since before, except keep.
func sweep(root *os.Root, keep string, before time.Time) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return crux.Wrap("sweep plugins", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || e.Name() == keep || err == nil && info.ModTime().After(before) {
			continue
		}
		if err == nil {
			err = root.Remove(e.Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return crux.Wrap("sweep plugins", err)
		}
	}
	return nil
}
