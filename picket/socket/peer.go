package socket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/sock"
)

// ownUser is the transport credential of a unix socket: the bytes are between
// two processes and the kernel, and the kernel says whose the other is.
type ownUser struct {
	// refuses says why a process of our own user may not talk here; nil: all may.
	refuses func(pid int) error
}

func (ownUser) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, crux.Errorf("connect", crux.NotSupported, "these credentials are a server's")
}

// ServerHandshake refuses peers that are not our own user's. Why one of our own
// is refused it notes for the interceptors, whose answer the peer can read.
func (o ownUser) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	who, err := peerOf(c)
	if err == nil && who.uid != os.Geteuid() {
		err = crux.Errorf("accept", crux.Denied, "user %d may not talk to this node", who.uid)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	info := localPeer{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	if o.refuses != nil {
		info.refused = o.refuses(who.pid)
		if info.refused == nil && !who.alive() {
			// What was found out may be about another process with its number.
			info.refused = crux.Errorf("accept", crux.Denied, "process %d, which connected, has ended", who.pid)
		}
	}
	who.close()
	return sock.Stream(c), info, nil
}

func (ownUser) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "own user"}
}
func (o ownUser) Clone() credentials.TransportCredentials { return o }
func (ownUser) OverrideServerName(string) error           { return nil }

// localPeer is what is known of a peer: that it is our own user.
type localPeer struct {
	credentials.CommonAuthInfo
	refused error // why it may not call all the same
}

func (localPeer) AuthType() string { return "own user" }

// admitted returns the error that a call's peer gets, whatever it calls.
func admitted(ctx context.Context) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return crux.Errorf("accept", crux.Unknown, "the call comes from nowhere")
	}
	local, ok := p.AuthInfo.(localPeer)
	if !ok {
		return crux.Errorf("accept", crux.Unknown, "the call did not come through a unix socket")
	}
	return local.refused
}

// process is the kernel's word on who connected.
type process struct {
	uid, pid int
	pidfd    int // -1 on kernels before 6.5
}

// alive says whether the process had not ended yet; true if nobody can tell.
func (p process) alive() bool {
	if p.pidfd < 0 {
		return true
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n == 0
}

func (p process) close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd) // nothing was written to it
	}
}

// peerOf asks the kernel who is at the other end.
func peerOf(c net.Conn) (process, error) {
	const op = "identify peer"
	u, ok := c.(*net.UnixConn)
	if !ok {
		return process{}, crux.Errorf(op, crux.Denied, "the connection is not a unix socket's")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return process{}, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	var who process
	var failed error
	err = raw.Control(func(fd uintptr) { who, failed = credentialsOf(int(fd)) })
	if err = errors.Join(err, failed); err != nil {
		return process{}, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	return who, nil
}

func credentialsOf(fd int) (process, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return process{}, err
	}
	who := process{uid: int(cred.Uid), pid: int(cred.Pid), pidfd: -1}
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case err == nil:
		who.pidfd = pidfd
	case errors.Is(err, unix.ENOPROTOOPT), who.pid == 0:
	default:
		return process{}, fmt.Errorf("process %d has ended: %w", who.pid, err)
	}
	return who, nil
}

// maxAncestors bounds how far up a process's parents are followed.
const maxAncestors = 64

// services finds out whether a process is a service of this node.
type services struct {
	pids func() []int // of the processes that picket started; nil: not known
	// marked: no_new_privs tells services from others, because fulcrum itself
	// runs without it.
	marked bool
}

// refuse says why a process may not talk to the node's own socket; nil: it may.
// A service has a socket of its own, and no business on the operator's. It would
// be kept away by Landlock where the kernel is new enough (ABI 9).
//
// Services carry a mark that neither they nor what they start can lose,
// no_new_privs. Parents and sessions are looked at too, for a fulcrum that has
// the mark itself: those a process can shed.
func (s services) refuse(pid int) error {
	const op = "accept"
	if pid == 0 { // outside of our PID namespace, where no service can get
		return nil
	}
	at, err := statusOf(pid)
	if err != nil {
		return crux.Errorf(op, crux.Denied, "process %d, which connected, cannot be looked at: %w", pid, err)
	}
	if s.marked && at.noNewPrivs {
		return crux.Errorf(op, crux.Denied, "process %d may gain no privileges (no_new_privs), as this node's services may not: services use the socket that they were given; an operator's process must run without that restriction", pid)
	}
	if s.pids == nil {
		return nil
	}
	all := s.pids()
	for p, n := pid, 0; p > 1 && n < maxAncestors; n++ {
		sid, err := unix.Getsid(p)
		if slices.Contains(all, p) || err == nil && slices.Contains(all, sid) {
			return crux.Errorf(op, crux.Denied, "process %d is or was started by a service of this node: services use the socket that they were given", pid)
		}
		if at, err = statusOf(p); err != nil {
			return nil // a parent that has just ended: the next one is init
		}
		p = at.parent
	}
	return nil
}

// status is what we need of /proc/PID/status.
type status struct {
	parent     int
	noNewPrivs bool
}

func statusOf(pid int) (status, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return status{}, err
	}
	return parseStatus(b)
}

// parseStatus reads the text of /proc/PID/status (proc(5)). A line break in the
// process's name, which it chooses itself, is shown as \n there.
func parseStatus(b []byte) (s status, err error) {
	found := 0
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "PPid":
			s.parent, err = strconv.Atoi(value)
			found++
		case "NoNewPrivs":
			s.noNewPrivs = value != "0"
			found++
		}
	}
	if err != nil || found != 2 {
		return status{}, crux.Errorf("read process status", crux.Internal, "it is not what /proc/PID/status holds (%v)", err)
	}
	return s, nil
}
