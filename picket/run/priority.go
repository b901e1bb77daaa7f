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
// short; leads says that it leads a flock. Errors: permission (EACCES, EPERM), it
// may not.
func PreferNode(leads bool) error {
	if leads {
		return prefer(leaderNice)
	}
	return prefer(nodeNice)
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
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	if now = 20 - now; now >= serviceNice {
		return nil // the node was given no more
	}
	return prefer(nice)
}
