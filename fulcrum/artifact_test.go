package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestBrokenArtifacts: an artifact that cannot serve is named, with what is
// wrong with it, by rollout and units; what ran before runs on, untouched; and
// rolling back works.
func TestBrokenArtifacts(t *testing.T) {
	ctx := whole(t)
	b, _ := startBloc(ctx, t, 2)
	n := b.Nodes[0]
	c := commands(t, n)
	c.galumph(2)
	servedBy(ctx, t, b, "galumph2_3", 2)
	before := runners(ctx, t, b, "galumph2_3")
	load := call(t, n)

	good := artifact(t, "galumph2_4")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho this is not a service >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := []struct {
		inst, path, function, says string
	}{
		{"galumph2_4", good, "Nonsense", `no function "Nonsense" in this artifact; it has Galumph2_4`},
		{"galumph2_5", foreign(t, good), "Galumph2_4", `no program for this machine .*publish one built for linux/`},
		{"galumph2_6", script, "Galumph2_6", `this is not a service`},
	}
	if withPlugins(t) {
		so := plugin(t)
		broken = append(broken, []struct{ inst, path, function, says string }{
			{"galumph2_7", otherModules(t, so), "Galumph2_3", `the plugin does not fit this fulcrum: google.golang.org/grpc: plugin v\S+, fulcrum v\S+; build the plugin with the same Go`},
			{"galumph2_8", so, "Nonsense", `"?Nonsense"?`},
			{"galumph2_9", noPlugin(t, good), "Galumph2_4", `built with -buildmode=exe instead of plugin`},
		}...)
	}
	for _, x := range broken {
		c.ok("publish", x.path, "--inst", x.inst, "--func", x.function)
		re := regexp.MustCompile(x.says)
		out, errs, exit := c.run("rollout", x.inst, "--count", "2", "--timeout", "4s")
		if exit != 1 || !re.MatchString(errs) || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, x.inst) {
			t.Errorf("rollout of %s: exit status %d, want %q:\n%s%s", x.inst, exit, x.says, out, errs)
		}
		eventually(ctx, t, func(context.Context) string {
			for _, line := range strings.Split(c.ok("units"), "\n") {
				if strings.HasPrefix(line, x.inst+": ") && re.MatchString(line) {
					return ""
				}
			}
			return fmt.Sprintf("units to say of %s: %q", x.inst, x.says)
		})
	}
	if after := runners(ctx, t, b, "galumph2_3"); !reflect.DeepEqual(after, before) {
		t.Errorf("galumph2_3 runs as %v, before as %v", after, before)
	}
	c.rollout("galumph2_3", 2)
	if after := runners(ctx, t, b, "galumph2_3"); !reflect.DeepEqual(after, before) {
		t.Errorf("rolled back, galumph2_3 runs as %v, before as %v", after, before)
	}
	eventually(ctx, t, func(ctx context.Context) string {
		for _, x := range broken {
			if out := c.ok("units"); strings.Contains(out, x.inst) {
				return "units to be rid of " + x.inst + ":\n" + out
			}
		}
		return ""
	})
	if got := load.stop(t); got.Failed != 0 || got.ByInst["galumph2_3"] != got.Calls || got.Calls == 0 {
		t.Errorf("the client: %+v", got)
	}
}

// foreign makes of a program one for another machine.
func foreign(t *testing.T, path string) string {
	return rewrite(t, path, "foreign", func(text []byte) []byte {
		const machine = 18 // where the ELF header names it
		if text[machine] == byte(elf.EM_S390) {
			text[machine] = byte(elf.EM_X86_64)
		} else {
			text[machine] = byte(elf.EM_S390)
		}
		return text
	})
}

// otherModules makes of a plugin one that says that it was built with another
// gRPC.
func otherModules(t *testing.T, path string) string {
	return rewrite(t, path, "other.so", func(text []byte) []byte {
		dep := []byte("dep\tgoogle.golang.org/grpc\tv1.")
		if !bytes.Contains(text, dep) {
			t.Fatal("the plugin does not say what it was built with")
		}
		return bytes.ReplaceAll(text, dep, []byte("dep\tgoogle.golang.org/grpc\tv9."))
	})
}

// noPlugin gives a program the name of a plugin.
func noPlugin(t *testing.T, path string) string {
	return rewrite(t, path, "program.so", func(text []byte) []byte { return text })
}

func rewrite(t *testing.T, path, name string, f func([]byte) []byte) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(out, f(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return out
}

// withPlugins says whether this fulcrum can load plugins.
func withPlugins(t *testing.T) bool {
	t.Helper()
	return strings.Contains(cli{t: t}.ok("version"), "plugins: yes")
}

func plugin(t *testing.T) string {
	t.Helper()
	return artifact(t, "galumph.so", "-buildmode=plugin")
}

// TestPlugin: a Go plugin is published, rolled out, replaced and called like an
// executable.
func TestPlugin(t *testing.T) {
	ctx := whole(t)
	if !withPlugins(t) {
		t.Skip("this fulcrum was built without cgo and loads no plugins")
	}
	b, _ := startBloc(ctx, t, 2)
	c := commands(t, b.Nodes[0])
	so := plugin(t)
	c.publish(so, "galumph2_3", "Galumph2_3")
	c.rollout("galumph2_3", 2)
	load := call(t, b.Nodes[0])
	c.publish(so, "galumph2_4", "Galumph2_4")
	c.rollout("galumph2_4", 2)
	servedBy(ctx, t, b, "galumph2_4", 2)
	for _, n := range b.Nodes {
		if u, err := unit(ctx, n.Dir, "galumph2_4"); err != nil || u.Kind != "plugin" || u.PID == 0 {
			t.Errorf("%s: %+v, %v", n.Name, u, err)
		}
	}
	got := load.stop(t)
	if got.Failed != 0 || got.ByInst["galumph2_3"] == 0 || got.ByInst["galumph2_4"] == 0 {
		t.Errorf("the client: %+v", got)
	}
}
