package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"fulcrum.example/crux"
)

// maxPath is the longest path that a unix socket's address holds, with its
// final zero byte.
const maxPath = 107

// Listen opens the unix socket at path, mode 0600, in its folder, which is made
// (or set to) mode 0700. A socket file that an earlier process left is replaced;
// anything else at path is an error. The file goes when the listener is closed.
func Listen(path string) (net.Listener, error) {
	const op = "listen on socket"
	if len(path) > maxPath {
		return nil, crux.Errorf(op, crux.Invalid, "the path %s has %d bytes, a socket's has %d at most: use a data folder with a shorter path", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	case st.Mode()&fs.ModeSocket == 0:
		return nil, crux.Errorf(op, crux.Conflict, "there is something at %s that is not a socket: move it away", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	return l, nil
}
