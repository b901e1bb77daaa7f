//go:build cgo

package picket_test

import (
	"context"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// buildPlugin builds the tutorial's plugin as this test binary was built.
func buildPlugin(t *testing.T) (path string, sum crux.Checksum) {
	t.Helper()
	if testing.Short() {
		t.Skip("building a plugin takes long")
	}
	path = filepath.Join(t.TempDir(), "galumph.so")
	args := []string{"build", "-buildmode=plugin", "-o", path}
	if own, ok := debug.ReadBuildInfo(); ok && slices.Contains(own.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../examples/galumph/plugin/main.go")...).CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, sha256.Sum256(b)
}

func TestPluginIsAUnitLikeAnyOther(t *testing.T) {
	t.Parallel()
	path, sum := buildPlugin(t)
	w, p := open(t, func(w *world) { w.art.files[sum] = path })
	plug := func(inst crux.Inst, f string) crux.Unit {
		u := unit(inst, f)
		u.Kind, u.Checksum = crux.Plugin, sum
		return u
	}
	// A wrong function touches neither its neighbour of the same artifact nor the
	// newer version beside it.
	start(t, p, plug("galumph2_2", "Nonsense"))
	began := time.Now()
	start(t, p, plug("galumph2_3", "Galumph2_3"))
	start(t, p, plug("galumph2_4", "Galumph2_4"))
	first := untilServing(t, w, p, "galumph2_3")
	t.Logf("serving after %v", time.Since(began))
	untilServing(t, w, p, "galumph2_4")
	until(t, "the wrong one tells why", func() bool { return status(p, "galumph2_2").Error != "" })
	if s := status(p, "galumph2_2"); s.State != "failed" && s.State != "starting" ||
		!strings.Contains(s.Error, `no function "Nonsense"`) || !strings.Contains(s.Error, "Galumph2_3, Galumph2_4") {
		t.Errorf("the wrong one is %+v", s)
	}
	if s := status(p, "galumph2_3"); s.PID != first.PID || s.Restarts != 0 {
		t.Errorf("the right one is %+v, was %+v", s, first)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := p.Stop(ctx, first.Key()); err != nil {
		t.Fatal(err)
	}
	if w.rows.serving("galumph2_3") != 0 || w.rows.serving("galumph2_4") != 1 {
		t.Errorf("the registry heard %q", w.rows.said())
	}
}
