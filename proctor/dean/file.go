package dean

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"fulcrum.example/crux"
)

const (
	stateName = "dean.json"
	stateTemp = "dean.json.new"
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
	root *os.Root
	dir  string
	saved
}

func openFile(dir string, log *slog.Logger) (*file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, crux.Errorf("", crux.Unavailable, "the folder %s cannot be made: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, crux.Errorf("", crux.Unavailable, "the folder %s cannot be opened: %w", dir, err)
	}
	f := &file{root: root, dir: dir}
	b, err := root.ReadFile(stateName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		root.Close()
		return nil, crux.Errorf("", crux.Unavailable, "%s cannot be read: %w", filepath.Join(dir, stateName), err)
	}
	if err := json.Unmarshal(b, &f.saved); err != nil {
		f.saved = saved{}
		log.Error("dean's list on disk is damaged and set aside; the next list from proctor replaces it",
			"file", filepath.Join(dir, stateBad), "err", err)
		if err := root.Rename(stateName, stateBad); err != nil {
			root.Close()
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
	w, err := f.root.OpenFile(stateTemp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	if err == nil {
		err = w.Sync()
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	if err := f.root.Rename(stateTemp, stateName); err != nil {
		return err
	}
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
