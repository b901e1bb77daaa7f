package run

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// procStat is what we need of /proc/PID/stat.
type procStat struct {
	state byte   // R, S, D, …; Z and X for one that has ended
	start uint64 // when it started, in clock ticks since boot
}

func (s procStat) ended() bool { return s.state == 'Z' || s.state == 'X' || s.state == 'x' }

// parseStat reads the text of /proc/PID/stat (proc(5)). The second field is the
// command's name in parentheses, which may itself hold spaces, parentheses and
// line breaks: the last closing parenthesis ends it.
func parseStat(b []byte) (procStat, error) {
	const startField = 22 - 3 // the state, field 3, is the first after the name
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	if i < 0 || len(fields) <= startField || len(fields[0]) != 1 {
		return procStat{}, crux.Errorf("read process state", crux.Corrupt, "%q is not what /proc/PID/stat holds", b)
	}
	start, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return procStat{}, crux.Errorf("read process state", crux.Corrupt, "start time: %w", err)
	}
	return procStat{fields[0][0], start}, nil
}

// statOf reads the state of process pid.
func statOf(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return procStat{}, crux.Errorf("read process state", crux.NotFound, "there is no process %d", pid)
	}
	if err != nil {
		return procStat{}, crux.Wrap("read process state", err)
	}
	return parseStat(b)
}
