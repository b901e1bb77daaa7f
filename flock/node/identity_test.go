package node

import (
	"bytes"
	"crypto/ed25519"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
)

func TestANodeKeepsItsKeyAndCountsItsRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, err := LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", st.Mode(), err)
	}
	last := first.Incarnation
	for range 5 {
		id, err := LoadIdentity(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !id.Key.Equal(first.Key) || id.Incarnation <= last {
			t.Errorf("key changed, or incarnation %d after %d", id.Incarnation, last)
		}
		last = id.Incarnation
	}
	// A clock that was set back.
	future := uint64(1) << 60
	if err := os.WriteFile(filepath.Join(dir, incarnationFile), []byte(strconv.FormatUint(future, 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := LoadIdentity(dir); err != nil || id.Incarnation != future+1 {
		t.Errorf("incarnation %d after %d: %v", id.Incarnation, future, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOneOfManyMakesTheKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := make([]ed25519.PrivateKey, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = LoadKey(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if !bytes.Equal(k, keys[0]) {
			t.Fatal("two keys for one node")
		}
	}
}

func TestDamagedIdentitiesAreNotReplacedSilently(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		mode       os.FileMode
		kind       crux.Kind
		says       string
	}{
		"garbage key":         {keyFile, "garbage", 0o600, crux.Corrupt, keyFile},
		"truncated key":       {keyFile, nodeKeyPrefix + "AAAA", 0o600, crux.Corrupt, keyFile},
		"key others can read": {keyFile, "x", 0o640, crux.Denied, "chmod 600"},
		"garbage count":       {incarnationFile, "many", 0o600, crux.Corrupt, incarnationFile},
		"last count":          {incarnationFile, strconv.FormatUint(math.MaxUint64, 10), 0o600, crux.Corrupt, incarnationFile},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.file)
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(dir); crux.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want a %v error that says %q", name, err, c.kind, c.says)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != c.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestASecretThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	want := bloc.Secondary{7}
	if err := os.WriteFile(path, []byte(want.Format()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadSecret(path); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := LoadSecret(path)
	if crux.KindOf(err) != crux.Denied || !strings.Contains(err.Error(), "chmod 600 "+path) || strings.Contains(err.Error(), want.Format()) {
		t.Errorf("got %v", err)
	}
	if _, err := LoadSecret(path + "x"); crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("no such file: %v", err)
	}
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(path); crux.KindOf(err) != crux.Invalid || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no key in it: %v", err)
	}
}
