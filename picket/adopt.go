package picket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"fulcrum.example/crux"
	"fulcrum.example/crux/disk"
	"fulcrum.example/picket/socket"
)

// adoptAll takes up what an earlier fulcrum left: children that live are
// listened to again, those that are gone are started again.
func (p *Picket) adoptAll() {
	all, bad := records(p.cfg.Dir)
	if bad != nil {
		p.cfg.Log.Error("some units of an earlier fulcrum are not known any more; their processes end with their lease", "why", bad)
	}
	p.sweep(all)
	p.adopting.Store(1) // this function
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range all {
		u := newUnit(p, r.Unit)
		u.begun, u.restarts, u.adopted = true, r.Restarts, true
		p.adopting.Add(1)
		p.addLocked(u, p.adopt(u, r))
	}
	p.adoptionSettled()
}

// adoptionSettled counts down to AdoptionDone.
func (p *Picket) adoptionSettled() {
	if p.adopting.Add(-1) == 0 {
		close(p.adoptionDone)
	}
}

// adopt finds a recorded child; nil: it is to be started anew.
func (p *Picket) adopt(u *unit, r record) instance {
	process, err := r.find()
	if err != nil {
		u.blame(crux.Errorf(string(u.Inst), crux.NotFound, "it ended while no fulcrum ran"))
		p.cfg.Log.Warn("a child of an earlier fulcrum is gone and is started again", "inst", u.Inst, "pid", r.PID, "why", err)
		return nil
	}
	c := &child{p: p, u: u, process: process, logFrom: r.LogFrom}
	dir, err := p.serviceDir(u)
	if err == nil {
		var l net.Listener
		if l, err = socket.Listen(filepath.Join(p.cfg.Dir, socketsDir, r.Socket)); err == nil {
			c.socket = p.answer(l, u, dir, r.Token)
		}
	}
	if err != nil {
		u.blame(err)
		p.cfg.Log.Error("a child of an earlier fulcrum cannot be reached and is replaced", "inst", u.Inst, "pid", r.PID, "why", err)
		c.discard()
		return nil
	}
	p.pin(u)
	u.nowPID = r.PID
	p.cfg.Log.Info("a child of an earlier fulcrum is taken up", "inst", u.Inst, "horde", u.Horde, "pid", r.PID, "restarts", r.Restarts)
	return c
}

// sweep removes the sockets of children that nobody remembers, and records that
// were not finished.
func (p *Picket) sweep(all []record) {
	known := make(map[string]bool, len(all))
	for _, r := range all {
		known[r.Socket] = true
	}
	err := errors.Join(
		removeFiles(filepath.Join(p.cfg.Dir, socketsDir), func(name string) bool { return isChildSocket(name) && !known[name] }),
		disk.Sweep(filepath.Join(p.cfg.Dir, unitsDir)),
	)
	if err != nil {
		p.cfg.Log.Warn("what an earlier fulcrum left is not all gone", "why", err)
	}
}

// removeFiles removes those files of a folder whose names fit.
func removeFiles(dir string, fits func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if fits(e.Name()) {
			if rm := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(rm, fs.ErrNotExist) {
				err = errors.Join(err, rm)
			}
		}
	}
	return err
}
