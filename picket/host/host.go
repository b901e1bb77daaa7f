package host

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/picket/run"
)

// Main runs the function that args name (path, checksum, function, and
// optionally the descriptor of the report) and does not return.
func Main(args []string) {
	f, err := prepare(args)
	if err != nil {
		fail(Command, err)
	}
	serve(f, args[2])
}

// fail ends the process.
func fail(command string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", command, strings.ReplaceAll(err.Error(), "\n", "; "))
	os.Exit(1)
}

// serve is an ordinary service process from here on, with the one function.
func serve(f crux.Service, startedFor string) {
	service.MainLookup(func(name string) (crux.Service, error) {
		if name != startedFor {
			return nil, crux.Errorf("find function", crux.Conflict, "the node asks for %q, but this process was started for %q", name, startedFor)
		}
		return f, nil
	})
}

// prepare finds the function, and reports how that went.
func prepare(args []string) (crux.Service, error) {
	if len(args) != 3 && len(args) != 4 {
		return nil, crux.Errorf("", crux.Invalid, "want PATH CHECKSUM FUNC: this command is not for people, fulcrum starts it")
	}
	if len(args) == 3 {
		return find(args[0], args[1], args[2])
	}
	return reported(args[3], func() (crux.Service, error) { return find(args[0], args[1], args[2]) })
}

// reported finds a function and says on the descriptor how that went.
func reported(descriptor string, find func() (crux.Service, error)) (crux.Service, error) {
	fd, err := strconv.Atoi(descriptor)
	if err != nil {
		return nil, crux.Errorf("", crux.Invalid, "%q is not a descriptor", descriptor)
	}
	report, err := run.NewReport(fd)
	if err != nil {
		return nil, err
	}
	f, err := find()
	if err != nil {
		return nil, errors.Join(err, report.Fail(err))
	}
	return f, errors.Join(report.Ready(), report.Close())
}

// find verifies and loads the plugin, and looks its function up.
func find(path, checksum, name string) (crux.Service, error) {
	sum, err := crux.ParseChecksum(checksum)
	if err != nil {
		return nil, err
	}
	// The file stays open until it is loaded, from a folder in which only
	// fulcrum itself can write.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, crux.Errorf("open plugin", crux.NotFound, "%w", err)
	}
	defer f.Close()
	if err := verify(f, sum); err != nil {
		return nil, err
	}
	soft, err := fits(f)
	if err != nil {
		return nil, err
	}
	return load(f, name, soft)
}

func verify(f *os.File, want crux.Checksum) error {
	const op = "verify plugin"
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return crux.Wrap(op, err)
	}
	if got := crux.Checksum(h.Sum(nil)); got != want {
		return crux.Errorf(op, crux.Corrupt, "%s is %s, not what its name says; it was not loaded", f.Name(), got)
	}
	return nil
}
