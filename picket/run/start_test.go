package run

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

func TestChildGetsOnlyWhatItIsPromised(t *testing.T) {
	t.Setenv("SECRET_OF_FULCRUM", "must not be passed on")
	t.Setenv("TZ", "Europe/Berlin")
	w := newWorld(t, probe)
	// A descriptor that fulcrum inherited from who started it stays open on exec.
	leak, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)

	c := w.start(t)
	k := w.meet(t)
	if got := k.Args; !slices.Equal(got, []string{"probe1_0"}) {
		t.Errorf("arguments %q", got)
	}
	env := slices.Sorted(slices.Values(k.Env))
	want := []string{"FULCRUM_SOCKET=" + w.Socket, "GOTRACEBACK=single", "HOME=" + w.Dir, "LANG=C.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + w.Dir, "TZ=Europe/Berlin"}
	if env = slices.DeleteFunc(env, func(s string) bool { return strings.HasPrefix(s, "PWD=") }); !slices.Equal(env, want) {
		t.Errorf("environment\n%q, want\n%q", env, want)
	}
	if k.Dir != w.Dir {
		t.Errorf("working directory %s, want %s", k.Dir, w.Dir)
	}
	if want := hex.EncodeToString(w.Token[:]); k.Token != want {
		t.Errorf("token %q, want %q", k.Token, want)
	}
	if !strings.Contains(k.Status, "NoNewPrivs:\t1") {
		t.Errorf("no_new_privs is not set:\n%s", k.Status)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		_, rest, _ := strings.Cut(k.Status, set+":\t")
		text, _, _ := strings.Cut(rest, "\n")
		caps, err := strconv.ParseUint(text, 16, 64)
		if err != nil || caps&^(1<<unix.CAP_NET_BIND_SERVICE) != 0 {
			t.Errorf("%s is %q, want at most CAP_NET_BIND_SERVICE; %v", set, text, err)
		}
	}
	if k.PID != c.PID() || k.SID != k.PID {
		t.Errorf("process %d of session %d, want %d and its own session", k.PID, k.SID, c.PID())
	}
	if k.Core != 0 || k.Files == 0 || k.Files > defaultFiles || k.Umask != 0o077 {
		t.Errorf("core limit %d, file limit %d, umask %o", k.Core, k.Files, k.Umask)
	}
	checkDescriptors(t, k.Descriptors, w.Log)
	if !k.Append {
		t.Error("the log is not opened for appending")
	}
	if st, err := os.Stat(w.Log); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("log: %v %v, want mode 0600", st, err)
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID())); err != nil || !strings.HasPrefix(exe, "/memfd:probe1_0") {
		t.Errorf("the program is %q (%v), want the sealed memfd", exe, err)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID()))
	if err != nil || strings.Contains(string(cmdline), k.Token) {
		t.Errorf("command line %q, %v", cmdline, err)
	}
}

func checkDescriptors(t *testing.T, got map[string]string, log string) {
	t.Helper()
	if len(got) != 4 || got["0"] != os.DevNull || got["1"] != log || got["2"] != log || !strings.HasPrefix(got["3"], "pipe:") {
		t.Errorf("descriptors %v, want /dev/null, twice %s, and a pipe", got, log)
	}
}

func TestLimitsReachTheChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t, probe)
	w.Limits = Limits{Files: 77, Memory: 1 << 30}
	c := w.start(t)
	k := w.meet(t)
	if k.Files != 77 {
		t.Errorf("file limit %d, want 77", k.Files)
	}
	if !slices.Contains(k.Env, fmt.Sprintf("GOMEMLIMIT=%d", 1<<30/10*9)) {
		t.Errorf("no GOMEMLIMIT in %q", k.Env)
	}
	var l unix.Rlimit
	if err := unix.Prlimit(c.PID(), unix.RLIMIT_DATA, nil, &l); err != nil || l.Max != 1<<30 {
		t.Errorf("data limit %d, %v", l.Max, err)
	}
}

func TestLandlockKeepsAServiceToItsOwn(t *testing.T) {
	t.Parallel()
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		t.Skip("this kernel has no Landlock")
	}
	w := newWorld(t, probe)
	secret := filepath.Join(filepath.Dir(w.Dir), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	k := w.meet(t)
	own := filepath.Join(w.Dir, "file")
	for _, c := range []struct {
		words   []any
		allowed bool
	}{
		{[]any{"write", own}, true},
		{[]any{"read", own}, true},
		{[]any{"list", w.Dir}, true},
		{[]any{"write", w.Log}, true},
		{[]any{"write", os.DevNull}, true},
		{[]any{"read", "/etc/passwd"}, true},
		{[]any{"read", "/etc/hosts"}, true},
		{[]any{"read", "/etc/shadow"}, false},
		{[]any{"read", "/etc/fstab"}, false},
		{[]any{"read", "/proc/self/status"}, true},
		{[]any{"run", "/bin/true"}, true},
		{[]any{"tcp"}, true},
		{[]any{"run", own}, false}, // what it wrote, it may not execute
		{[]any{"read", secret}, false},
		{[]any{"list", filepath.Dir(w.Dir)}, false},
		{[]any{"write", filepath.Join(filepath.Dir(w.Dir), "new")}, false},
		{[]any{"write", w.Socket + "2"}, false},
		{[]any{"write", "/etc/fulcrum-test-must-not-exist"}, false},
		{[]any{"read", fmt.Sprintf("/proc/%d/environ", os.Getpid())}, false},
		{[]any{"read", probe}, false},
	} {
		if got := k.tell(t, c.words...); (got == "ok") != c.allowed {
			t.Errorf("%v: %s, want allowed: %v", c.words, got, c.allowed)
		}
	}
	if got := k.tell(t, "signal", os.Getpid()); abi >= 6 && got == "ok" {
		t.Error("the child can signal fulcrum")
	}
}

func TestWrongChecksumIsRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	for _, kind := range []crux.UnitKind{crux.Executable, crux.Plugin} {
		w := newWorld(t, probe)
		w.Unit.Kind, w.Unit.Func = kind, "F"
		w.Unit.Checksum[0] ^= 1
		w.Self = "/bin/false" // what would run, if anything did
		_, err := Start(w.Spec)
		if crux.KindOf(err) != crux.Corrupt {
			t.Errorf("%s: %v, want Corrupt", kind, err)
		}
		if _, err := os.Stat(w.Log); err == nil {
			t.Errorf("%s: a log was opened for what must not run", kind)
		}
	}
}

func TestArtifactChangedAfterStartChangesNothing(t *testing.T) {
	t.Parallel()
	copied := filepath.Join(t.TempDir(), "artifact")
	b, err := os.ReadFile(probe)
	if err == nil {
		err = os.WriteFile(copied, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, copied)
	w.start(t)
	if err := os.WriteFile(copied, []byte("gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.meet(t).tell(t, "tcp"); got != "ok" {
		t.Error(got)
	}
}

func TestSealedArtifactCannotBeWritten(t *testing.T) {
	t.Parallel()
	f, err := sealed(probe, fileSum(t, probe), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("written")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("truncated")
	}
}

func TestStartSaysWhyItFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name, artifact string
		change         func(*Spec)
		kind           crux.Kind
		text           string
	}{
		{"no program", file("text", "only text"), nil, crux.Invalid, "exec format error"},
		{"no interpreter", file("script", "#!/no/such/interpreter\n"), nil, crux.Invalid, "interpreter"},
		{"empty", file("empty", ""), nil, crux.Invalid, "exec format error"},
		{"no launcher", probe, func(s *Spec) { s.Self = "/bin/true" }, crux.Internal, "without a word"},
		{"no fulcrum", probe, func(s *Spec) { s.Self = "/no/such/fulcrum" }, crux.Internal, "no such file"},
		{"no artifact", probe, func(s *Spec) { s.Artifact = "/no/such/artifact" }, crux.NotFound, "no file"},
		{"a folder", probe, func(s *Spec) { s.Artifact = dir }, crux.Invalid, "regular"},
		{"no dir", probe, func(s *Spec) { s.Dir = "/no/such/dir" }, crux.NotFound, "folder"},
		{"built-in", probe, func(s *Spec) { s.Unit.Kind = crux.Builtin }, crux.Invalid, "builtin"},
		{"relative", probe, func(s *Spec) { s.Log = "log" }, crux.Invalid, "absolute"},
		{"too many files", probe, func(s *Spec) { s.Limits.Files = 1 << 60 }, crux.Invalid, "open file limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.artifact)
			if c.change != nil {
				c.change(&w.Spec)
			}
			child, err := Start(w.Spec)
			if err == nil {
				end(t, child)
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.text) || crux.KindOf(err) != c.kind {
				t.Errorf("%v (%v), want %q and %v", err, crux.KindOf(err), c.text, c.kind)
			}
		})
	}
}

func TestScriptRuns(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho hello from $HOME\nread token <&3\necho ${#token}\nexit 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, script)
	c := w.start(t)
	waitDone(t, c)
	if got, want := w.log(t), "hello from "+w.Dir+"\n64\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v, want exit status 7", err)
	}
}

func TestLogIsAppendedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, probe)
	if err := os.WriteFile(w.Log, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	if got := w.meet(t).tell(t, "log", "now"); got != "ok" {
		t.Fatal(got)
	}
	if got := w.log(t); got != "before\nnow\n" {
		t.Errorf("log %q", got)
	}
	if st, err := os.Stat(w.Log); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestPluginCopiesAreSharedAndSwept(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "api1")
	artifact := filepath.Join(base, "a.so")
	if err := os.WriteFile(artifact, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := private(artifact, fileSum(t, artifact), dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := private(artifact, fileSum(t, artifact), dir)
	if err != nil || again != path {
		t.Errorf("%s and %s, %v", path, again, err)
	}
	for p, mode := range map[string]os.FileMode{path: 0o400, filepath.Dir(path): 0o700} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	// A copy that is not what its name says is made anew.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("forged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := private(artifact, fileSum(t, artifact), dir); err != nil || fileSum(t, path) != fileSum(t, artifact) {
		t.Errorf("the forged copy stayed: %v", err)
	}
	// Another version, long after: the first goes.
	old := time.Now().Add(-2 * privateLife)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(artifact, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := private(artifact, fileSum(t, artifact), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the old copy is still there: %v", err)
	}
}

func BenchmarkStart(b *testing.B) {
	w := newWorld(b, probe)
	for b.Loop() {
		c, err := Start(w.Spec)
		if err != nil {
			b.Fatal(err)
		}
		w.meet(b)
		if err := c.Signal(syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		waitDone(b, c)
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
