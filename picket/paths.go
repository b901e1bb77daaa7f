package picket

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// Folders in the data folder.
const (
	unitsDir    = "units"
	socketsDir  = "run"
	servicesDir = "svc"
	logsDir     = "log"
)

// socketBytes is how many random bytes name a socket: short, for a socket's
// address has room for 108.
const socketBytes = 4

// inHorde is a file name for something in a horde; neither part has an @.
func inHorde(name string, h crux.Horde) string {
	if h == crux.DefaultHorde {
		return name
	}
	return name + "@" + string(h)
}

// Logs is where the output of a unit's process goes. Older output may be beside
// it, with .1 at the end.
func (p *Picket) Logs(k crux.UnitKey) string {
	return filepath.Join(p.cfg.Dir, logsDir, inHorde(string(k.Inst), k.Horde)+".log")
}

// serviceDir makes the folder of a service: one for each API and horde.
func (p *Picket) serviceDir(u *unit) (string, error) {
	dir := filepath.Join(p.cfg.Dir, servicesDir, inHorde(string(u.API), u.Horde))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", crux.Errorf("make service folder", crux.Unavailable, "%w", err)
	}
	return dir, nil
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

// trimLogs keeps the logs of running children within bounds, until ctx ends.
func (p *Picket) trimLogs(ctx context.Context) {
	for {
		select {
		case <-p.cfg.Clock.After(p.cfg.LogCheck):
		case <-ctx.Done():
			return
		}
		for _, u := range p.Units() {
			if u.PID == 0 {
				continue // nobody writes; the next start moves it aside
			}
			if err := trim(p.Logs(u.Key()), p.cfg.MaxLog); err != nil {
				p.cfg.Log.Warn("a log grows beyond its bound", "inst", u.Inst, "why", err)
			}
		}
	}
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

// newSocket finds a path for a socket that nothing has.
func (p *Picket) newSocket() (string, error) {
	var b [socketBytes]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return "", crux.Wrap("name socket", err)
		}
		path := filepath.Join(p.cfg.Dir, socketsDir, hex.EncodeToString(b[:])+".sock")
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
}

// isChildSocket says whether a name in the sockets' folder is one of newSocket.
func isChildSocket(name string) bool {
	digits, ok := strings.CutSuffix(name, ".sock")
	return ok && len(digits) == 2*socketBytes && strings.Trim(digits, "0123456789abcdef") == ""
}
