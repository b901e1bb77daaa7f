package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// Descriptors of the launcher stage, beside 0 to 2.
const (
	tokenFD    = 3
	reportFD   = 4
	artifactFD = 5 // only for an executable
)

// order is what Start tells the launcher, as its one argument. It holds no
// secret: command lines are for all to read.
type order struct {
	Name     string        // argv[0] of the artifact
	Dir      string        //
	Socket   string        //
	Log      string        //
	Plugin   string        // path of the private copy; empty for what is no plugin
	Builtin  bool          // a function of this very binary
	Checksum crux.Checksum //
	Func     string        //
	Limits   Limits        //
}

// LaunchMain is the launcher stage: it confines this process and then becomes
// the artifact (or the plugin host). It does not return. Errors go to Start and
// are a line of the child's log; the exit status is then 1.
func LaunchMain(args []string) {
	// Landlock, no_new_privs and capabilities are attributes of a thread; exec
	// keeps those of the thread that calls it.
	runtime.LockOSThread()
	report, err := NewReport(reportFD)
	if err == nil {
		err = launch(report, args)
		err = errors.Join(err, report.Fail(err))
	}
	fmt.Fprintf(os.Stderr, "picket: %s\n", oneLine(err.Error()))
	os.Exit(1)
}

// launch returns only if it failed.
func launch(report *Report, args []string) error {
	const op = "launch"
	var o order
	if len(args) != 1 {
		return crux.Errorf(op, crux.Invalid, "this command is not for people: fulcrum starts it")
	}
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return crux.Errorf(op, crux.Invalid, "order: %w", err)
	}
	if err := closeFrom(reportFD); err != nil {
		return crux.Wrap(op, err)
	}
	switch {
	case o.Plugin != "":
		// The host takes over the report.
		return launchSelf(o, hostCommand, o.Plugin, o.Checksum.String(), o.Func, fmt.Sprint(reportFD))
	case o.Builtin:
		return launchSelf(o, builtinCommand, o.Func, fmt.Sprint(reportFD))
	}
	script, err := isScript(artifactFD)
	if err != nil {
		return crux.Wrap(op, err)
	}
	if err := confine(o, false); err != nil {
		return err
	}
	if script {
		// The interpreter opens the script by its descriptor.
		if err := keepOnExec(artifactFD); err != nil {
			return crux.Wrap(op, err)
		}
	}
	if err := report.Ready(); err != nil {
		return err
	}
	err = syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", artifactFD), []string{o.Name}, os.Environ())
	return execError(o.Name, err)
}

// launchSelf becomes another stage of this binary, which takes over the report.
func launchSelf(o order, args ...string) error {
	const op = "launch a stage of fulcrum"
	if err := confine(o, true); err != nil {
		return err
	}
	if err := keepOnExec(reportFD); err != nil {
		return crux.Wrap(op, err)
	}
	// Its own image rather than its path, where another version may be by now.
	return crux.Wrap(op, syscall.Exec("/proc/self/exe", append([]string{o.Name}, args...), os.Environ()))
}

func keepOnExec(fd uintptr) error {
	_, err := unix.FcntlInt(fd, unix.F_SETFD, 0)
	return err
}

// isScript says whether the artifact begins with #!.
func isScript(fd int) (bool, error) {
	head := make([]byte, 2)
	n, err := unix.Pread(fd, head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(head[:n], []byte("#!")), nil
}

// execError says what an exec error means for who published the artifact.
func execError(name string, err error) error {
	const op = "execute"
	switch {
	case errors.Is(err, unix.ENOEXEC):
		return crux.Errorf(op, crux.Invalid, "the artifact of %s is no program for this machine (%w): publish one built for linux/%s", name, err, runtime.GOARCH)
	case errors.Is(err, unix.ENOENT):
		return crux.Errorf(op, crux.Invalid, "the artifact of %s names an interpreter or a loader that this machine has not (%w): publish a static executable", name, err)
	case errors.Is(err, unix.EACCES):
		return crux.Errorf(op, crux.Denied, "the artifact of %s or its interpreter may not be executed here: %w", name, err)
	}
	return crux.Errorf(op, crux.Internal, "the artifact of %s: %w", name, err)
}
