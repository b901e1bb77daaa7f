package picket

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"fulcrum.example/crux"
	"fulcrum.example/picket/run"
)

// adoptAll takes up what an earlier fulcrum left: children that live are
// listened to again, those that are gone are started again.
func (p *Picket) adoptAll() {
	all, bad := records(p.cfg.Dir)
	if bad != nil {
		p.cfg.Log.Error("some units of an earlier fulcrum are not known any more; their processes end with their lease", "why", bad)
	}
	p.sweepSockets(all)
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
	process, err := run.Adopt(r.PID, r.StartTime)
	if err != nil {
		u.blame(crux.Errorf(string(u.Inst), crux.NotFound, "it ended while no fulcrum ran"))
		p.cfg.Log.Warn("a child of an earlier fulcrum is gone and is started again", "inst", u.Inst, "pid", r.PID, "why", err)
		return nil
	}
	c := &child{p: p, u: u, process: process}
	dir, err := p.serviceDir(u)
	if err == nil {
		c.socket, err = p.listen(u, dir, filepath.Join(p.cfg.Dir, socketsDir, r.Socket), r.Token)
	}
	if err != nil {
		u.blame(err)
		p.cfg.Log.Error("a child of an earlier fulcrum cannot be reached and is replaced", "inst", u.Inst, "pid", r.PID, "why", err)
		c.discard()
		return nil
	}
	p.cfg.Artifacts.Pin(u.Checksum)
	u.nowPID = r.PID
	p.cfg.Log.Info("a child of an earlier fulcrum is taken up", "inst", u.Inst, "horde", u.Horde, "pid", r.PID, "restarts", r.Restarts)
	return c
}

// sweepSockets removes the sockets of children that nobody remembers.
func (p *Picket) sweepSockets(all []record) {
	known := make(map[string]bool, len(all))
	for _, r := range all {
		known[r.Socket] = true
	}
	dir := filepath.Join(p.cfg.Dir, socketsDir)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if isChildSocket(e.Name()) && !known[e.Name()] {
			if rm := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(rm, fs.ErrNotExist) {
				err = errors.Join(err, rm)
			}
		}
	}
	if err != nil {
		p.cfg.Log.Warn("old sockets stay", "why", err)
	}
}
