package socket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"

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

// ownUser is the transport credential of a unix socket: the bytes are between
// two processes and the kernel, and the kernel says whose the other is.
type ownUser struct{}

func (ownUser) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, crux.Errorf("connect", crux.NotSupported, "these credentials are a server's")
}

// ServerHandshake refuses peers that are not our own user's.
func (ownUser) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	uid, err := peerUser(c)
	if err == nil && uid != os.Geteuid() {
		err = crux.Errorf("accept", crux.Denied, "user %d may not talk to this node", uid)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, localPeer{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (ownUser) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "own user"}
}
func (ownUser) Clone() credentials.TransportCredentials { return ownUser{} }
func (ownUser) OverrideServerName(string) error         { return nil }

// localPeer is what is known of a peer: that it is our own user.
type localPeer struct{ credentials.CommonAuthInfo }

func (localPeer) AuthType() string { return "own user" }

// peerUser is the kernel's word on who is at the other end.
func peerUser(c net.Conn) (int, error) {
	const op = "identify peer"
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, crux.Errorf(op, crux.Denied, "the connection is not a unix socket's")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return 0, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	return int(cred.Uid), nil
}
