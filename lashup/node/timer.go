package node

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// timer is one of the kernel's. The runtime's own wake two threads when they
// fire, and when they were to fire and were put off as well, which nearly all of a
// detector's are; in a process that is idle but for pings that is most of the work.
type timer struct {
	file *os.File
	raw  syscall.RawConn
	fd   uintptr // file's, which is open while set is called
	wait func(fd uintptr) bool
	// Of the read that wait does.
	fired [8]byte
	errno syscall.Errno
}

func newTimer() (*timer, error) {
	const op = "make timer"
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	t := &timer{file: os.NewFile(uintptr(fd), "timer"), fd: uintptr(fd)}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		t.file.Close()
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	t.wait = t.read
	return t, nil
}

// set has the timer fire once, d from now, in place of what was set before;
// never, not at all.
func (t *timer) set(d time.Duration) {
	var spec unix.ItimerSpec
	if d != never {
		spec.Value = unix.NsecToTimespec(int64(max(d, 1)))
	}
	// It fails for a wrong descriptor or a wrong time only.
	_, _, _ = syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, t.fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

// next waits until the timer fires; false: it was closed.
func (t *timer) next() bool { return t.raw.Read(t.wait) == nil && t.errno == 0 }

func (t *timer) read(fd uintptr) bool {
	_, _, t.errno = syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&t.fired)), unsafe.Sizeof(t.fired))
	return t.errno != syscall.EAGAIN
}

func (t *timer) close() { _ = t.file.Close() }
