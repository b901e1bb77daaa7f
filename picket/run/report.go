package run

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// startPatience bounds the time from fork to the artifact's first instruction
// (or, for a plugin, to the end of its loading).
const startPatience = 20 * time.Second

// maxReport bounds what a child can make its parent read.
const maxReport = 8 << 10

// reportReady goes before exec; what follows it is an error: a kind and a text.
const reportReady = 'x'

// Report is the child's end of the pipe on which Start hears how starting went.
// It closes by itself at exec.
type Report struct{ f *os.File }

// NewReport takes over descriptor fd, and keeps it from what is executed later.
func NewReport(fd int) (*Report, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, crux.Errorf("report", crux.Invalid, "descriptor %d is not the pipe that picket gives its children: this command is not for people", fd)
	}
	unix.CloseOnExec(fd)
	return &Report{os.NewFile(uintptr(fd), "report")}, nil
}

// Ready says that nothing is in the way any more.
func (r *Report) Ready() error {
	_, err := r.f.Write([]byte{reportReady})
	return crux.Wrap("report", err)
}

// Fail says why nothing was started.
func (r *Report) Fail(cause error) error {
	msg := append([]byte{byte(crux.KindOf(cause))}, oneLine(cause.Error())...)
	_, err := r.f.Write(msg[:min(len(msg), maxReport-1)])
	return crux.Wrap("report", err)
}

// Close ends the report; without Ready before, Start takes it for a failure.
func (r *Report) Close() error { return r.f.Close() }

// readReport is the parent's end: it returns when the child has become the
// artifact or said why not. Silence is an error too.
func readReport(r *os.File) error {
	const op = "start child"
	if err := r.SetReadDeadline(time.Now().Add(startPatience)); err != nil {
		return crux.Wrap(op, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxReport))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return crux.Errorf(op, crux.Timeout, "it was not running %v after its start", startPatience)
	}
	if err != nil {
		return crux.Wrap(op, err)
	}
	failure, ready := bytes.CutPrefix(b, []byte{reportReady})
	switch {
	case len(failure) > 0:
		return crux.Errorf(op, crux.Kind(failure[0]), "%s", failure[1:])
	case !ready:
		return crux.Errorf(op, crux.Internal, "the launcher ended without a word; the child's log may say more")
	}
	return nil
}

// oneLine keeps an error to one line of a log.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
