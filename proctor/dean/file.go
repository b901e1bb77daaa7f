package dean

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"fulcrum.example/crux"
	"fulcrum.example/crux/disk"
)

const (
	stateName = "dean.json"
	stateBad  = "dean.json.bad"
)

// saved is what survives a restart.
type saved struct {
	// Revision and Units are the last accepted list.
	Revision crux.Revision `json:"revision"`
	Units    []crux.Unit   `json:"units"`
	// Started is what dean had verified and began to start, and has not
	// stopped: written before it is started, removed after it is gone.
	Started []crux.Unit `json:"started"`
}

// file keeps saved on disk: whole, synced, replaced by a rename.
type file struct {
	dir string
	saved
}

func openFile(dir string, log *slog.Logger) (*file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, crux.Errorf("", crux.Unavailable, "the folder %s cannot be made: %w", dir, err)
	}
	if err := disk.Sweep(dir); err != nil {
		return nil, crux.Errorf("", crux.Unavailable, "the folder %s cannot be used: %w", dir, err)
	}
	f := &file{dir: dir}
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, crux.Errorf("", crux.Unavailable, "it cannot be read: %w", err)
	}
	if err := json.Unmarshal(b, &f.saved); err != nil {
		f.saved = saved{}
		log.Error("dean's list on disk is damaged and set aside; the next list from proctor replaces it",
			"file", filepath.Join(dir, stateBad), "err", err)
		if err := os.Rename(filepath.Join(dir, stateName), filepath.Join(dir, stateBad)); err != nil {
			return nil, crux.Errorf("", crux.Unavailable, "the damaged %s cannot be set aside: %w", stateName, err)
		}
	}
	return f, nil
}

// save makes s the state, on disk first.
func (f *file) save(s saved) error {
	if err := f.write(s); err != nil {
		return crux.Errorf("save dean's list", crux.Unavailable, "%s cannot be written: %w", filepath.Join(f.dir, stateName), err)
	}
	f.saved = s
	return nil
}

func (f *file) write(s saved) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return disk.Replace(f.dir, stateName, b)
}
