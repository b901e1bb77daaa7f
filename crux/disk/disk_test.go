package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"fulcrum.example/crux/disk"
)

// holds checks that dir holds exactly the given files, for their owner only.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) {
		t.Errorf("%v, want %v", entries, want)
	}
	for name, text := range want {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(b) != text {
			t.Errorf("%s holds %q, %v; want %q", name, b, err, text)
		}
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

func TestReplaceMakesAndReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"one", "", "three"} {
		if err := disk.Replace(dir, "f", []byte(text)); err != nil {
			t.Fatal(err)
		}
		holds(t, dir, map[string]string{"f": text})
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := disk.Create(dir, "f", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := disk.Create(dir, "f", []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	holds(t, dir, map[string]string{"f": "one"})
}

func TestFailureLeavesTheOldAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "taken", "by a folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := disk.Replace(dir, "taken", []byte("x")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := disk.Replace(filepath.Join(dir, "none"), "f", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
	for _, name := range []string{"../f", "a/b", "", "."} {
		if err := disk.Replace(dir, name, nil); err == nil {
			t.Errorf("a file was written as %q", name)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestSweepRemovesOnlyWhatWasCutShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := disk.Replace(dir, "f", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".new-f-123"), []byte("tw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"f": "one"})
}
