package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/picket/run"
)

// wantBuilds says whether plugins can and should be built here.
func wantBuilds() bool {
	own, ok := debug.ReadBuildInfo()
	return ok && setting(own, "CGO_ENABLED") == "1" && !testing.Short()
}

func needBuilds(t testing.TB) {
	t.Helper()
	if !wantBuilds() {
		t.Skip("plugins are built and loaded only with cgo and without -short")
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	needBuilds(t)
	for _, c := range []struct {
		name, artifact, function string
		kind                     crux.UnitKind
	}{
		{"function of a plugin", "plugin.so", "Beat", crux.Plugin},
		{"variable of a plugin", "plugin.so", "Held", crux.Plugin},
		{"executable", "service", "Beat", crux.Executable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.artifact, c.function)
			w.Unit.Kind = c.kind
			began := time.Now()
			c := w.start(t)
			loaded := time.Since(began)
			select {
			case b := <-w.beats:
				if b.GetApi() != "beat1" || b.GetInst() != "beat1_2" {
					t.Errorf("beat %v", b)
				}
			case <-c.Done():
				t.Fatalf("%v\nlog: %s", c.Err(), w.log())
			case <-time.After(patience):
				t.Fatalf("no heartbeat\nlog: %s", w.log())
			}
			t.Logf("loaded after %v, first heartbeat after %v, %s", loaded, time.Since(began), resident(t, c.PID()))
			close(w.quit)
			select {
			case <-c.Done():
			case <-time.After(patience):
				t.Fatal("it did not end when asked to")
			}
			if err := c.Err(); err != nil {
				t.Errorf("%v\nlog: %s", err, w.log())
			}
		})
	}
}

// resident gives the line of /proc/PID/status that says how much memory it has.
func resident(t *testing.T, pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	text, _, _ := strings.Cut(rest, "\n")
	return "resident " + strings.TrimSpace(text)
}

func TestStartSaysWhyAPluginDoesNotFit(t *testing.T) {
	t.Parallel()
	needBuilds(t)
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no plugin"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, artifact, function string
		kind                     crux.Kind
		words                    []string
	}{
		{"no such function", "plugin.so", "Bead", crux.NotFound, []string{`no function "Bead"`, "Beat", "Held", "Number"}},
		{"not a service", "plugin.so", "Number", crux.Invalid, []string{"*int", "crux.Service"}},
		{"empty variable", "plugin.so", "Empty", crux.Invalid, []string{"holds no function"}},
		{"other modules", "stranger.so", "Number", crux.Invalid, []string{"golang.org/x/sys: plugin v0.1.0 => ./sys", "fulcrum v0.", "build the plugin with the same Go"}},
		{"an executable", "fulcrum", "Beat", crux.Invalid, []string{"-buildmode=exe instead of plugin"}},
		{"not even Go", text, "Beat", crux.Invalid, []string{"no Go plugin", "-buildmode=plugin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.artifact, c.function)
			child, err := run.Start(w.Spec)
			if err == nil {
				child.Close()
				t.Fatal("started")
			}
			if crux.KindOf(err) != c.kind {
				t.Errorf("%v is %v, want %v", err, crux.KindOf(err), c.kind)
			}
			log := w.log()
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) || !strings.Contains(log, word) {
					t.Errorf("%q is not in %q or not in the log %q", word, err, log)
				}
			}
			if strings.Count(log, "\n") != 1 || strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %q, log %q", err, log)
			}
		})
	}
}

func TestHostVerifiesWhatItOpened(t *testing.T) {
	t.Parallel()
	needBuilds(t)
	b, err := artifacts()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(b.fulcrum, Command, b.plugin, strings.Repeat("ab", 32), "Beat").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it was not loaded") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDifferencesNameWhatDiffers(t *testing.T) {
	t.Parallel()
	info := func(change func(*debug.BuildInfo)) *debug.BuildInfo {
		b := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "fulcrum.example", Version: "(devel)"},
			Deps: []*debug.Module{{Path: "a.example", Version: "v1.0.0"}, {Path: "b.example", Version: "v1.0.0"}},
			Settings: []debug.BuildSetting{{Key: "-buildmode", Value: "plugin"}, {Key: "CGO_ENABLED", Value: "1"},
				{Key: "GOARCH", Value: "amd64"}, {Key: "GOOS", Value: "linux"}, {Key: "GOAMD64", Value: "v1"}}}
		if change != nil {
			change(b)
		}
		return b
	}
	add := func(key, value string) func(*debug.BuildInfo) {
		return func(b *debug.BuildInfo) {
			b.Settings = append([]debug.BuildSetting{{Key: key, Value: value}}, b.Settings...)
		}
	}
	for _, c := range []struct {
		name       string
		its        *debug.BuildInfo
		hard, soft string
	}{
		{"the same", info(nil), "", ""},
		{"Go", info(func(b *debug.BuildInfo) { b.GoVersion = "go1.26.9" }), "Go: plugin go1.26.9, fulcrum go1.26.8", ""},
		{"race", info(add("-race", "true")), "-race: plugin true, fulcrum none", ""},
		{"trimpath", info(add("-trimpath", "true")), "-trimpath: plugin true, fulcrum none", ""},
		{"cgo", info(add("CGO_ENABLED", "0")), "CGO_ENABLED: plugin 0, fulcrum 1", ""},
		{"microarchitecture", info(add("GOAMD64", "v3")), "GOAMD64: plugin v3, fulcrum v1", ""},
		{"no plugin", info(add("-buildmode", "c-shared")), "-buildmode=c-shared instead of plugin", ""},
		{"tags", info(add("-tags", "x")), "", "-tags: plugin x, fulcrum none"},
		{"module", info(func(b *debug.BuildInfo) { b.Deps[1] = &debug.Module{Path: "b.example", Version: "v1.0.1"} }),
			"b.example: plugin v1.0.1, fulcrum v1.0.0", ""},
		{"its own module", info(func(b *debug.BuildInfo) { b.Deps[1] = &debug.Module{Path: "c.example", Version: "v9.0.0"} }), "", ""},
		{"fulcrum as a dependency", info(func(b *debug.BuildInfo) {
			b.Main = debug.Module{Path: "stranger.example"}
			b.Deps = append(b.Deps, &debug.Module{Path: "fulcrum.example", Version: "v1.2.3"})
		}), "", "fulcrum.example: plugin v1.2.3, fulcrum (devel)"},
	} {
		hard, soft := differences(c.its, info(nil))
		if got := strings.Join(hard, ", "); c.hard == "" && got != "" || !strings.Contains(got, c.hard) {
			t.Errorf("%s: hard %q, want %q", c.name, got, c.hard)
		}
		if got := strings.Join(soft, ", "); c.soft == "" && got != "" || !strings.Contains(got, c.soft) {
			t.Errorf("%s: soft %q, want %q", c.name, got, c.soft)
		}
	}
}
