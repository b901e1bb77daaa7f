package run

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// Child is a running process that Start started or Adopt found. One goroutine
// watches it, until the process ends or Close.
type Child struct {
	pid   int
	start uint64
	pidfd *os.File
	proc  *os.Process // nil for an adopted one, whose exit status is not ours to learn

	done    chan struct{} // closed when the process has ended
	err     error         // written before done is closed
	closed  chan struct{} // closed by Close
	watched chan struct{} // closed when the watching goroutine has returned
	closing sync.Once
}

// Adopt watches the process pid that started at startTime, as StartTime gave it
// to an earlier fulcrum. The error is of kind NotFound if that very process is
// gone, whoever has its number now.
func Adopt(pid int, startTime uint64) (*Child, error) {
	const op = "adopt child"
	if pid <= 0 {
		return nil, crux.Errorf(op, crux.Invalid, "%d is not a process ID", pid)
	}
	// The pidfd comes first: what is read of pid afterwards is about the
	// process that it holds, or about a later one, whose start time differs.
	pidfd, err := openPidfd(pid)
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	st, err := statOf(pid)
	if err == nil && (st.start != startTime || st.ended()) {
		err = crux.Errorf("", crux.NotFound, "process %d is not the one that started at %d: that one has ended", pid, startTime)
	}
	if err != nil {
		return nil, crux.Wrap(op, errors.Join(err, pidfd.Close()))
	}
	return watch(pid, startTime, pidfd, nil), nil
}

// openPidfd gives a handle on the process that has the number pid now.
func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil, crux.Errorf("open process", crux.NotFound, "there is no process %d", pid)
	case errors.Is(err, unix.ENOSYS):
		return nil, crux.Errorf("open process", crux.NotSupported, "this kernel has no pidfd: Linux 5.11 or newer is needed")
	case err != nil:
		return nil, crux.Errorf("open process", crux.Internal, "process %d: %w", pid, err)
	}
	// Non-blocking makes it one for the runtime's poller: watching costs a
	// goroutine, not a thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, crux.Wrap("open process", errors.Join(err, unix.Close(fd)))
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid))
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		return nil, crux.Errorf("open process", crux.NotSupported, "this kernel cannot poll a pidfd: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

func watch(pid int, start uint64, pidfd *os.File, proc *os.Process) *Child {
	c := &Child{pid: pid, start: start, pidfd: pidfd, proc: proc,
		done: make(chan struct{}), closed: make(chan struct{}), watched: make(chan struct{})}
	go c.watch()
	return c
}

func (c *Child) watch() {
	defer close(c.watched)
	err := waitEnd(c.pidfd)
	if err == nil {
		c.killGroup()
	}
	switch {
	case err != nil && c.isClosed():
		return
	case err != nil:
		// Not to know is to call it ended: picket then kills and starts anew.
		c.err = crux.Errorf("watch child", crux.Internal, "process %d cannot be watched any more: %w", c.pid, err)
	case c.proc == nil:
		c.err = crux.Errorf("", crux.Internal, "it ended; why is unknown, since an earlier fulcrum started it")
	default:
		c.err = c.reap()
	}
	close(c.done)
}

// killGroup ends what the process left behind in the group that it led. The
// kernel gives the group's number to nobody else while the group has a member,
// nor while the process was not waited for.
func (c *Child) killGroup() { _ = unix.Kill(-c.pid, unix.SIGKILL) } // none there: nothing to do

func (c *Child) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// waitEnd returns nil when the process has ended, an error when pidfd is closed.
func waitEnd(pidfd *os.File) error {
	rc, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var pollErr error
	err = rc.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			pollErr = err
			return true
		}
		return n > 0
	})
	return errors.Join(err, pollErr)
}

// reap collects the exit status and puts it into words; nil for 0.
func (c *Child) reap() error {
	state, err := c.proc.Wait()
	if err != nil {
		return crux.Errorf("", crux.Internal, "it ended; its exit status was lost: %w", err)
	}
	if state.Success() {
		return nil
	}
	return crux.Errorf("", crux.Internal, "it ended: %s", state)
}

// PID is the process ID.
func (c *Child) PID() int { return c.pid }

// StartTime is when the process started, in clock ticks since boot (field 22 of
// /proc/PID/stat). Together with PID it names the process, for Adopt.
func (c *Child) StartTime() uint64 { return c.start }

// Done is closed when the process has ended. It never is after Close, if the
// process was still running then.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err says why the process ended: nil while it runs and after exit status 0. Of
// an adopted process it only says that the reason is not known.
func (c *Child) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Signal sends a signal to this very process; NotFound if it has ended.
func (c *Child) Signal(sig syscall.Signal) error {
	const op = "signal child"
	rc, err := c.pidfd.SyscallConn()
	if err != nil {
		return crux.Wrap(op, err)
	}
	var sent error
	if err := rc.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return crux.Errorf(op, crux.Conflict, "process %d is not watched any more: %w", c.pid, err)
	}
	if errors.Is(sent, unix.ESRCH) {
		return crux.Errorf(op, crux.NotFound, "process %d has ended", c.pid)
	}
	return crux.Wrap(op, sent)
}

// Close stops watching, and leaves the process as it is: running, if it runs.
func (c *Child) Close() error {
	var err error
	c.closing.Do(func() {
		close(c.closed)
		err = c.pidfd.Close()
		<-c.watched
		select {
		case <-c.done: // reaped
		default:
			if c.proc != nil {
				err = errors.Join(err, c.proc.Release())
			}
		}
	})
	<-c.watched
	return crux.Wrap("close child", err)
}
