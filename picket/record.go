package picket

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fulcrum.example/crux"
	"fulcrum.example/crux/disk"
	"fulcrum.example/picket/run"
)

// record is what the next fulcrum needs to find a child again. It holds the
// child's token: the file is for its owner only.
type record struct {
	Unit      crux.Unit `json:"unit"`
	PID       int       `json:"pid"`
	StartTime uint64    `json:"start"` // with PID and Boot: that very process
	Boot      string    `json:"boot"`  // which boot of this machine
	Token     string    `json:"token"`
	Socket    string    `json:"socket"`   // its base name
	LogFrom   int64     `json:"log_from"` // where in its log it began
	Restarts  int       `json:"restarts"`
}

const recordSuffix = ".json"

// bootID names this boot of the machine: process IDs and start times of another
// mean nothing. Empty where the kernel does not tell.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// find finds the recorded process; NotFound if that very one is gone.
func (r *record) find() (*run.Child, error) {
	if r.Boot != bootID() {
		return nil, crux.Errorf("find child", crux.NotFound, "process %d was of an earlier boot of this machine", r.PID)
	}
	return run.Adopt(r.PID, r.StartTime)
}

func recordPath(dataDir string, k crux.UnitKey) string {
	return filepath.Join(dataDir, unitsDir, inHorde(string(k.Inst), k.Horde)+recordSuffix)
}

// save writes the record: whole or not at all, and on the disk when it returns.
func (r *record) save(dataDir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return crux.Wrap("record unit", err)
	}
	path := recordPath(dataDir, r.Unit.Key())
	if err := disk.Replace(filepath.Dir(path), filepath.Base(path), b); err != nil {
		return crux.Errorf("record unit", crux.Unavailable, "%w", err)
	}
	return nil
}

// record saves the record of the child that u has now, or notes that it is to be
// tried again.
func (u *unit) record(r *record) error {
	u.recordMu.Lock()
	defer u.recordMu.Unlock()
	u.unsaved = nil
	err := r.save(u.p.cfg.Dir)
	if err != nil {
		u.unsaved = r
	}
	return err
}

// recordAgain saves what could not be saved before; a disk is not full for ever.
func (u *unit) recordAgain() {
	u.recordMu.Lock()
	defer u.recordMu.Unlock()
	if u.unsaved == nil || u.unsaved.save(u.p.cfg.Dir) != nil {
		return // the first failure was logged
	}
	u.p.cfg.Log.Info("a child is recorded after all", "inst", u.Inst, "pid", u.unsaved.PID)
	u.unsaved = nil
}

// dropRecord forgets a unit that is gone for good.
func (p *Picket) dropRecord(u *unit) {
	u.recordMu.Lock()
	defer u.recordMu.Unlock()
	u.unsaved = nil
	path := recordPath(p.cfg.Dir, u.Key())
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		p.cfg.Log.Error("a stopped unit's record stays; the next fulcrum would start it again", "inst", u.Inst, "why", err)
	}
}

// records reads what an earlier fulcrum left. What does not read is reported
// and left out.
func records(dataDir string) (out []record, bad error) {
	dir := filepath.Join(dataDir, unitsDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, crux.Errorf("read units", crux.Unavailable, "%w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) {
			continue
		}
		r, err := readRecord(filepath.Join(dir, e.Name()))
		if err == nil && filepath.Base(recordPath(dataDir, r.Unit.Key())) != e.Name() {
			err = crux.Errorf("read unit", crux.Corrupt, "%s is about %s", e.Name(), r.Unit.Inst)
		}
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		out = append(out, r)
	}
	return out, bad
}

func readRecord(path string) (record, error) {
	var r record
	b, err := os.ReadFile(path)
	if err != nil {
		return r, crux.Errorf("read unit", crux.Unavailable, "%w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, crux.Errorf("read unit", crux.Corrupt, "%s: %w", filepath.Base(path), err)
	}
	if err := check(r.Unit); err != nil {
		return r, crux.Wrap("read unit "+filepath.Base(path), err)
	}
	if r.Unit.Kind == crux.Builtin || r.PID <= 1 || len(r.Token) != 64 || !isChildSocket(r.Socket) || r.Restarts < 0 || r.LogFrom < 0 {
		return r, crux.Errorf("read unit", crux.Corrupt, "%s is not a record of a child", filepath.Base(path))
	}
	return r, nil
}

// Recorded gives the process IDs of the children that a Picket with this data
// folder recorded and that still live, for a tool that cleans up after a killed
// fulcrum.
func Recorded(dataDir string) []int {
	all, _ := records(dataDir) // what does not read names no process
	var out []int
	for _, r := range all {
		if c, err := r.find(); err == nil {
			out = append(out, r.PID)
			c.Close() // it only lets go of a handle that nothing was written to
		}
	}
	return out
}
