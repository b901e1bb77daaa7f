package lashup

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
	"fulcrum.example/crux/disk"
)

// The files in the service's folder by which its processes meet.
const (
	lockName   = "lock"
	doorName   = "handover.sock"
	tokenName  = "handover.token"
	tokenBytes = 32
)

// lock is the right to the node's fabric: an flock, which goes over with its
// descriptor and ends with the last process that has it.
type lock struct{ f *os.File }

// tryLock takes the lock if nobody has it; nil: somebody has.
func tryLock(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, crux.Errorf("take lock", crux.Denied, "%w", err)
	}
	var failed error
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { failed = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	}
	switch err = errors.Join(err, failed); {
	case err == nil:
		return &lock{f}, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		f.Close()
		return nil, nil
	}
	f.Close()
	return nil, crux.Errorf("take lock", crux.Unavailable, "%w", err)
}

// file gives a second descriptor of the lock, which is the caller's.
func (l *lock) file() (f *os.File, err error) {
	raw, err := l.f.SyscallConn()
	if err != nil {
		return nil, crux.Errorf("hand over lock", crux.Internal, "%w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var dup int
		if dup, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); failed == nil {
			f = os.NewFile(uintptr(dup), lockName)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, crux.Errorf("hand over lock", crux.Unavailable, "%w", err)
	}
	return f, nil
}

// release gives up this process's share of the lock.
func (l *lock) release() { l.f.Close() }

// tokenOf reads the token that only processes of this service can, and makes it
// where there is none.
func tokenOf(dir string) ([]byte, error) {
	token := make([]byte, tokenBytes)
	if _, err := rand.Read(token); err != nil {
		return nil, crux.Errorf("make token", crux.Internal, "%w", err)
	}
	if err := disk.Create(dir, tokenName, token); err == nil {
		return token, nil
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, crux.Errorf("make token", crux.Unavailable, "%w", err)
	}
	token, err := os.ReadFile(filepath.Join(dir, tokenName))
	if err != nil || len(token) != tokenBytes {
		return nil, crux.Errorf("read token", crux.Corrupt, "%s is not a token: remove it while no lashup runs (%v)", filepath.Join(dir, tokenName), err)
	}
	return token, nil
}

// caller is one that wants the fabric and may have it.
type caller struct {
	*channel
	hello hello
}

// door is where takers call: a unix socket of mode 0600, whose callers are of
// this process's user and know the token.
type door struct {
	l       *net.UnixListener
	token   []byte
	log     *slog.Logger
	callers chan caller
	stop    chan struct{}
	group   sync.WaitGroup
}

// openDoor opens the door of the folder's owner.
func openDoor(dir string, token []byte, log *slog.Logger) (*door, error) {
	path := filepath.Join(dir, doorName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, crux.Errorf("open handover socket", crux.Unavailable, "%w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, crux.Errorf("open handover socket", crux.Unavailable, "%w", err)
	}
	// By the time it is closed, the file may be the successor's.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, crux.Errorf("open handover socket", crux.Unavailable, "%w", err)
	}
	d := &door{l: l, token: token, log: log, callers: make(chan caller), stop: make(chan struct{})}
	d.group.Go(d.accept)
	return d, nil
}

// close lets nobody in any more, and waits.
func (d *door) close() {
	close(d.stop)
	d.l.Close()
	d.group.Wait()
}

func (d *door) accept() {
	slots := make(chan struct{}, 8) // strangers are few
	for {
		conn, err := d.l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files: it may pass
			d.log.Warn("cannot accept at the handover socket", "why", err)
			d.rest(100 * time.Millisecond)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-d.stop:
			conn.Close()
			return
		}
		d.group.Go(func() {
			defer func() { <-slots }()
			d.welcome(&channel{conn})
		})
	}
}

func (d *door) rest(pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.stop:
	}
}

// welcome hands a caller on, once it is known.
func (d *door) welcome(c *channel) {
	h, err := d.identify(c)
	if err != nil {
		d.log.Warn("refused at the handover socket", "why", err)
		_ = c.write(kindRefusal, []byte(err.Error()), nil) // whether it reads that is its own affair
		c.Close()
		return
	}
	select {
	case d.callers <- caller{c, h}:
	case <-d.stop:
		c.Close()
	}
}

// identify sees that a caller is this user's, and knows the token.
func (d *door) identify(c *channel) (h hello, err error) {
	const op = "accept successor"
	raw, err := c.SyscallConn()
	if err != nil {
		return h, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	var who *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { who, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return h, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	if int(who.Uid) != os.Geteuid() {
		return h, crux.Errorf(op, crux.Denied, "user %d is not the one that this lashup runs as", who.Uid)
	}
	known := make(chan struct{})
	defer close(known)
	d.group.Go(func() {
		select {
		case <-d.stop:
			c.Close()
		case <-known:
		}
	})
	if err := c.receive(kindHello, helloPatience, &h); err != nil {
		return h, err
	}
	switch {
	case subtle.ConstantTimeCompare(h.Token, d.token) != 1:
		return h, crux.Errorf(op, crux.Denied, "the token is not this service's")
	case h.Version != handoverVersion:
		return h, crux.Errorf(op, crux.NotSupported, "it speaks version %d of the handover, this lashup version %d", h.Version, handoverVersion)
	}
	return h, nil
}
