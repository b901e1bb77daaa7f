package picket

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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

// serviceDir makes the folder of a service: one for each API and horde.
func (p *Picket) serviceDir(u *unit) (string, error) {
	dir := filepath.Join(p.cfg.Dir, servicesDir, inHorde(string(u.API), u.Horde))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", crux.Errorf("make service folder", crux.Unavailable, "%w", err)
	}
	return dir, nil
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
