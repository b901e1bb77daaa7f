package picket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// Logs is where the output of a unit's process goes. Older output may be beside
// it, with .1 at the end.
func (p *Picket) Logs(k crux.UnitKey) string {
	return filepath.Join(p.cfg.Dir, logsDir, inHorde(string(k.Inst), k.Horde)+".log")
}

// rotate moves a log that has grown long aside.
func (p *Picket) rotate(log string) error {
	st, err := os.Lstat(log)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() <= p.cfg.MaxLog {
		return nil
	}
	if err == nil {
		err = os.Rename(log, log+".1")
	}
	if err != nil {
		return crux.Errorf("rotate log", crux.Unavailable, "%w", err)
	}
	return nil
}

// tidy keeps the logs of running children within bounds, and saves records that
// the disk did not take before, until ctx ends.
func (p *Picket) tidy(ctx context.Context) {
	for {
		select {
		case <-p.cfg.Clock.After(p.cfg.Tidy):
		case <-ctx.Done():
			return
		}
		for _, u := range p.processes() {
			u.recordAgain()
			if err := trim(p.Logs(u.Key()), p.cfg.MaxLog); err != nil {
				p.cfg.Log.Warn("a log grows beyond its bound", "inst", u.Inst, "why", err)
			}
		}
	}
}

// processes lists the units that have a process now.
func (p *Picket) processes() (out []*unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.units {
		if u.report().PID > 0 {
			out = append(out, u)
		}
	}
	return out
}

// trim copies the end of a log that has grown longer than max aside, and empties
// it under its writer, who appends and so goes on at the new end. What is
// written between the copy and the cut is lost.
func trim(log string, max int64) (err error) {
	const op = "trim log"
	f, err := os.OpenFile(log, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	if st.Size() <= max {
		return nil
	}
	old, err := os.CreateTemp(filepath.Dir(log), ".trim-*") // mode 0600
	if err != nil {
		return crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	_, err = io.Copy(old, io.NewSectionReader(f, st.Size()-max, max))
	if err = errors.Join(err, old.Close()); err == nil {
		err = os.Rename(old.Name(), log+".1")
	}
	if err != nil {
		return crux.Errorf(op, crux.Unavailable, "%w", errors.Join(err, os.Remove(old.Name())))
	}
	if err := f.Truncate(0); err != nil {
		return crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	return nil
}

// What of a log is read for its last words, and how much of a line is shown.
const (
	lastBytes = 16 << 10
	lineLimit = 300
)

// size is how long a log is now; 0 if there is none.
func size(log string) int64 {
	st, err := os.Lstat(log)
	if err != nil {
		return 0
	}
	return st.Size()
}

// lastWords gives the line of a log, written from offset on, that most likely
// says why its writer ended: a Go panic's first, otherwise the last that is not
// empty; fit for a listing, and without the writer's own name before it. A log
// that is shorter than offset was cut meanwhile. Empty: it said nothing.
func lastWords(log string, offset int64, name string) string {
	f, err := os.OpenFile(log, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	if st.Size() < offset {
		offset = 0
	}
	from := max(offset, st.Size()-lastBytes)
	b := make([]byte, st.Size()-from)
	n, err := f.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return ""
	}
	var last []byte
	for line := range bytes.Lines(b[:n]) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 {
			last = line
		}
		if bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: ")) {
			break
		}
	}
	return presentable(strings.TrimPrefix(string(last), name+": "))
}

// presentable makes what a stranger wrote fit for a terminal.
func presentable(line string) string {
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, line)
	if len(line) > lineLimit {
		line = strings.ToValidUTF8(line[:lineLimit], "") + "…"
	}
	return line
}
