package run

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Nice values. Leases, votes and answers to pings are due in tens of milliseconds:
// where processors are short, a node that is late with them is taken for lost, and
// what follows costs more of them. So fulcrum goes before its built-ins' processes,
// and these before services; and the leader, which all others wait for and which
// has the most to do, goes first.
const (
	leaderNice  = -10
	nodeNice    = -5
	builtinNice = -2
	serviceNice = 0
)

// PreferNode has this process, a node, go before others where processors are
// short; leads says that it leads a flock. A priority that somebody else gave it
// stays. Errors: permission (EACCES, EPERM), it may not.
func PreferNode(leads bool) error {
	now, err := niceness()
	switch {
	case err != nil:
		return err
	case now != serviceNice && now != nodeNice && now != leaderNice:
		return nil
	case leads:
		return prefer(leaderNice)
	}
	return prefer(nodeNice)
}

// niceness is the nice value of the calling thread.
func niceness() (int, error) {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	return 20 - n, err // as the kernel gives it
}

// prefer sets the nice value of all threads, which those to come inherit, and of
// the session if it is this process's own: the kernel shares processors out by
// sessions first (autogroups).
func prefer(nice int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		return err
	}
	err = os.WriteFile("/proc/self/autogroup", fmt.Append(nil, nice), 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EAGAIN) {
		return nil // this kernel has none, or takes no more changes now
	}
	return err
}

// settle gives a child's process its nice value: it inherited the node's. The
// calling thread is the one that executes the child.
func settle(nice int) error {
	now, err := niceness()
	if err != nil || now >= serviceNice {
		return err // the node was given no more
	}
	err = prefer(nice)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil // whoever gave the node its priority did not give it the right to
	}
	return err
}
