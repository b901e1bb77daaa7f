package host

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"fulcrum.example/crux"
)

const remedy = "build the plugin with the same Go, build flags and module versions as fulcrum, or publish it as an executable"

// hardSettings are the build settings in which plugin and host must agree: Go's
// own check when loading misses some of them and then crashes, or says only
// that a package differs.
var hardSettings = []string{"-compiler", "-race", "-msan", "-asan", "-trimpath", "CGO_ENABLED", "GOARCH", "GOOS", "GOEXPERIMENT", "GOFIPS140"}

// softSettings may differ harmlessly; they are named only if loading fails.
var softSettings = []string{"-tags", "-gcflags", "-cover", "DefaultGODEBUG"}

// fits compares how the plugin in f and this program were built. The error, of
// kind Invalid, names all that differs and the remedy; soft names differences
// that may be harmless.
func fits(f *os.File) (soft []string, err error) {
	const op = "compare builds"
	own, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, crux.Errorf(op, crux.NotSupported, "this fulcrum was built without build information, so no plugin can be checked: build it with go build in module mode")
	}
	its, err := buildinfo.Read(f)
	if err != nil {
		return nil, crux.Errorf(op, crux.Invalid, "the artifact is no Go plugin (%w): build it with go build -buildmode=plugin", err)
	}
	hard, soft := differences(its, own)
	if len(hard) > 0 {
		return nil, crux.Errorf(op, crux.Invalid, "the plugin does not fit this fulcrum: %s; %s", strings.Join(hard, ", "), remedy)
	}
	return soft, nil
}

// differences lists, in words, where the plugin's build differs from our own.
func differences(its, own *debug.BuildInfo) (hard, soft []string) {
	differ := func(what, a, b string) string {
		return fmt.Sprintf("%s: plugin %s, fulcrum %s", what, orNone(a), orNone(b))
	}
	if its.GoVersion != own.GoVersion {
		hard = append(hard, differ("Go", its.GoVersion, own.GoVersion))
	}
	if mode := setting(its, "-buildmode"); mode != "plugin" {
		hard = append(hard, "it was built with -buildmode="+orNone(mode)+" instead of plugin")
	}
	names := hardSettings
	if arch := setting(own, "GOARCH"); arch != "" {
		names = append(names[:len(names):len(names)], "GO"+strings.ToUpper(arch)) // as GOAMD64: the microarchitecture
	}
	for _, s := range names {
		if a, b := setting(its, s), setting(own, s); a != b {
			hard = append(hard, differ(s, a, b))
		}
	}
	for _, s := range softSettings {
		if a, b := setting(its, s), setting(own, s); a != b {
			soft = append(soft, differ(s, a, b))
		}
	}
	mine := make(map[string]string)
	for _, m := range own.Deps {
		mine[m.Path] = version(m)
	}
	for _, m := range its.Deps {
		v, both := mine[m.Path]
		if !both || v == version(m) {
			continue
		}
		hard = append(hard, differ(m.Path, version(m), v))
	}
	// The main modules carry no version that says what their packages hold; Go
	// compares those packages when it loads.
	if v := mainVersion(its, own.Main.Path); v != "" && v != own.Main.Version {
		soft = append(soft, differ(own.Main.Path, v, own.Main.Version))
	}
	return hard, soft
}

// mainVersion gives the version of fulcrum's own module in the plugin, if it
// uses it.
func mainVersion(its *debug.BuildInfo, path string) string {
	if its.Main.Path == path {
		return its.Main.Version
	}
	for _, m := range its.Deps {
		if m.Path == path {
			return version(m)
		}
	}
	return ""
}

// version prints a module's version, with what replaces it.
func version(m *debug.Module) string {
	if r := m.Replace; r != nil {
		return strings.TrimSpace(fmt.Sprintf("%s => %s %s", m.Version, r.Path, r.Version))
	}
	return m.Version
}

func setting(b *debug.BuildInfo, key string) string {
	i := slices.IndexFunc(b.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
	if i < 0 {
		return ""
	}
	return b.Settings[i].Value
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
