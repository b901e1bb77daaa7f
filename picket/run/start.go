package run

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

const searchPath = "/usr/local/bin:/usr/bin:/bin"

// Start runs the artifact of s. It returns when the process has become the
// artifact (a plugin: when the function was found), or why not: Corrupt if the
// bytes are not those that the unit names, Invalid if they are no program for
// this machine or the plugin does not fit, NotFound if there is no such file or
// function. Nothing of the artifact has run before its checksum was compared.
func Start(s Spec) (*Child, error) {
	c, err := start(s)
	if err != nil {
		return nil, crux.Wrap("start "+string(s.Unit.Inst), err)
	}
	return c, nil
}

func start(s Spec) (*Child, error) {
	err := s.check()
	if err != nil {
		return nil, err
	}
	var files closers
	defer files.close()

	o := order{Name: string(s.Unit.Inst), Dir: s.Dir, Socket: s.Socket, Log: s.Log,
		Checksum: s.Unit.Checksum, Func: s.Unit.Func, Limits: s.Limits}
	var artifact *os.File
	switch s.Unit.Kind {
	case crux.BuiltinChild:
		o.Builtin = true
	case crux.Plugin:
		o.Plugin, err = private(s.Artifact, s.Unit.Checksum, s.Dir)
	default:
		artifact, err = sealed(s.Artifact, s.Unit.Checksum, string(s.Unit.Inst))
		files.add(artifact)
	}
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	files.add(null)
	if err != nil {
		return nil, err
	}
	log, err := openLog(s.Log)
	files.add(log)
	if err != nil {
		return nil, err
	}
	token, err := tokenPipe(s.Token)
	files.add(token)
	if err != nil {
		return nil, err
	}
	heard, said, err := os.Pipe()
	files.add(heard)
	if err != nil {
		return nil, err
	}
	inherited := []*os.File{null, log, log, token, said}
	if artifact != nil {
		inherited = append(inherited, artifact)
	}
	c, err := s.fork(o, inherited)
	// Our copy must go before we listen: the child's end is then the last.
	closeErr := said.Close()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(closeErr, readReport(heard)); err != nil {
		return nil, errors.Join(err, c.abandon())
	}
	return c, nil
}

// check refuses what would only fail later and less clearly.
func (s *Spec) check() error {
	kind := s.Unit.Kind
	if kind != crux.BuiltinChild && !kind.HasArtifact() {
		return crux.Errorf("", crux.Invalid, "a unit of kind %q does not run as a process", kind)
	}
	if s.Unit.Inst == "" || kind.HasArtifact() && s.Unit.Checksum.IsZero() {
		return crux.Errorf("", crux.Invalid, "the unit has no instance or no checksum")
	}
	if kind != crux.Executable && s.Unit.Func == "" {
		return crux.Errorf("", crux.Invalid, "the function of a unit of kind %q is not named", kind)
	}
	paths := []string{s.Self, s.Socket, s.Dir, s.Log}
	if kind.HasArtifact() {
		paths = append(paths, s.Artifact)
	}
	for _, p := range paths {
		if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) {
			return crux.Errorf("", crux.Invalid, "%q is not an absolute path", p)
		}
	}
	if st, err := os.Stat(s.Dir); err != nil || !st.IsDir() {
		return crux.Errorf("", crux.NotFound, "the service's folder %s is not there", s.Dir)
	}
	return nil
}

// fork starts the launcher stage with files as its descriptors 0, 1, ….
func (s *Spec) fork(o order, files []*os.File) (*Child, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	proc, err := os.StartProcess(s.Self, []string{"fulcrum", LaunchCommand, string(text)}, &os.ProcAttr{
		Dir: s.Dir, Env: s.environment(), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	// Until it is waited for, its number is its own.
	st, err := statOf(proc.Pid)
	if err == nil {
		var pidfd *os.File
		if pidfd, err = openPidfd(proc.Pid); err == nil {
			return watch(proc.Pid, st.start, pidfd, proc), nil
		}
	}
	err = errors.Join(err, proc.Kill())
	_, waitErr := proc.Wait()
	return nil, errors.Join(err, waitErr)
}

// abandon kills a child that did not start, and waits for its end.
func (c *Child) abandon() error {
	err := c.Signal(unix.SIGKILL)
	if crux.KindOf(err) == crux.NotFound {
		err = nil
	}
	<-c.done
	return errors.Join(err, c.Close())
}

// builtinShare is the part of the processors that a built-in's process uses: one in
// so many, or one.
const builtinShare = 4

// environment is made from nothing: what fulcrum was given is not passed on.
func (s *Spec) environment() []string {
	env := []string{
		"PATH=" + searchPath,
		"HOME=" + s.Dir,
		"TMPDIR=" + s.Dir,
		"LANG=C.UTF-8",
		"GOTRACEBACK=single",
		"FULCRUM_SOCKET=" + s.Socket,
	}
	if tz, ok := os.LookupEnv("TZ"); ok {
		env = append(env, "TZ="+tz)
	}
	if s.Unit.Kind == crux.BuiltinChild {
		// It serves what else runs on this machine, and leaves it the most of it: on
		// one processor its goroutines wake each other for a fraction of the cost.
		// And memory, too: its collector runs when the heap has grown by half.
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.NumCPU()/builtinShare)), "GOGC=50")
	}
	if m := s.Limits.Memory; m > 0 {
		// Go's collector works harder before the kernel says no.
		env = append(env, fmt.Sprintf("GOMEMLIMIT=%d", m/10*9))
	}
	return env
}

// openLog opens the log for appending, readable by its owner only. The path's
// last element may not be a symbolic link.
func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, crux.Wrap("open log", err)
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, crux.Wrap("open log", errors.Join(err, f.Close()))
	}
	return f, nil
}

// tokenPipe gives the read end of a pipe that holds the token and ends there.
func tokenPipe(token [32]byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, crux.Wrap("token pipe", err)
	}
	_, err = w.WriteString(hex.EncodeToString(token[:]))
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, crux.Wrap("token pipe", errors.Join(err, r.Close()))
	}
	return r, nil
}

// closers are files to be closed together. They were only read from, or handed
// to the child: there is nothing that closing them could lose.
type closers []*os.File

func (c *closers) add(f *os.File) {
	if f != nil {
		*c = append(*c, f)
	}
}

func (c *closers) close() {
	for _, f := range *c {
		f.Close()
	}
}
